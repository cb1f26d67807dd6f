"""Samples the machine beside the runs of this process: one thread, whatever the number of runs.

Of several processes that record one run, one on each host samples. The series of the host where
the run began are called `system/...`, those of any other `system/<host>/...`.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from gittrack.capture.process import host_name, ranks
from gittrack.capture.system import Probe, Sample
from gittrack.core.headline import SYSTEM
from gittrack.repo import warn

if TYPE_CHECKING:
    from gittrack.tracking.active import ActiveRun

#: The host that a process above this one samples already.
VARIABLE = "_GITTRACK_SAMPLED"
#: Short runs shall have a point, too.
_FIRST_S = 1.0
_EXTRA = "pip install 'gittrack[system]'"


class _Watched:
    """A run, what its series begin with, and when it gets its next point."""

    def __init__(self, run: ActiveRun, prefix: str, interval_s: float) -> None:
        self.run = run
        self.prefix = prefix
        self.interval_s = interval_s
        self.due_s = time.monotonic() + min(_FIRST_S, interval_s)
        #: The totals when the run began; None until the thread has read them.
        self.base: Mapping[str, float] | None = None


class Sampler:
    """The runs that are watched, and the thread that does it.

    Nobody waits for the thread, neither a run's end nor the interpreter's: it finds out by itself
    that a run has ended. What it reads may hang, as a disk on the network does; then points are
    missing, and nothing else.
    """

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._wake = threading.Condition()
        self._watched: list[_Watched] = []
        self._thread: threading.Thread | None = None

    def watch(self, run: ActiveRun, prefix: str, interval_s: float) -> None:
        """Give a run its points until it ends.

        Raises:
            RuntimeError: no thread can be started.
        """
        with self._wake:
            self._watched.append(_Watched(run, prefix, interval_s))
            self._wake.notify()
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="gittrack-system", daemon=True)
                thread.start()
                self._thread = thread

    def _work(self) -> None:
        while True:
            sample = self._probe.sample()
            now_ms, now_s = time.time_ns() // 1_000_000, time.monotonic()
            with self._wake:
                watched = list(self._watched)
            for text in sample.troubles:
                warn(text)
            ended = [item for item in watched if not self._give(item, sample, now_ms, now_s)]
            with self._wake:
                self._watched = [item for item in self._watched if item not in ended]
                while not self._is_due():
                    due_s = min((item.due_s for item in self._watched), default=None)
                    self._wake.wait(None if due_s is None else due_s - time.monotonic())

    def _is_due(self) -> bool:
        now_s = time.monotonic()
        return any(item.base is None or item.due_s <= now_s for item in self._watched)

    def _give(self, item: _Watched, sample: Sample, now_ms: int, now_s: float) -> bool:
        """Add a point, if it is time; whether the run goes on."""
        rows: list[tuple[str, float]] = []
        if item.base is None:
            item.base = sample.totals
        elif now_s >= item.due_s:
            # Counted from now: a machine that slept makes up for nothing.
            item.due_s = now_s + item.interval_s
            base = item.base
            grown = {key: round(now - base.get(key, 0.0), 1) for key, now in sample.totals.items()}
            rows = [(item.prefix + key, v) for key, v in {**sample.values, **grown}.items()]
        return item.run.log_sample(rows, now_ms, sample.troubles)


_sampler: Sampler | None = None
#: What is missing has been said once in this process.
_said: set[str] = set()


def watch(
    run: ActiveRun, interval_s: float, *, own: bool = True, environ: Mapping[str, str] = os.environ
) -> bool:
    """Sample the machine for a run that has begun; whether this process is the one to do it.

    What is missing is one warning and a note on the run; the run goes on without.

    Args:
        own: also what this process itself takes.
    """
    prefix = choose_prefix(run.joined, environ)
    if prefix is None:
        return False
    global _sampler
    if _sampler is None:
        psutil = _import_psutil(run)
        if psutil is None:
            return False
        nvml = _import_nvml(run)
        _sampler = Sampler(
            Probe(
                psutil, nvml, folder=_folder(), pid=os.getpid() if own else None,
                visible=environ.get("CUDA_VISIBLE_DEVICES"),
            )
        )  # fmt: skip
    try:
        _sampler.watch(run, prefix, interval_s)
    except RuntimeError as error:  # no thread can be started: a limit, or Python is ending
        _miss(run, f"system metrics are not sampled: {error}")
        return False
    os.environ[VARIABLE] = host_name()
    return True


def choose_prefix(joined: bool, environ: Mapping[str, str]) -> str | None:
    """What the keys of this process's series begin with; None if another one samples here."""
    if not joined:
        return SYSTEM
    host, place = host_name(), ranks(environ)
    sampled = environ.get(VARIABLE)
    # A worker that multiprocessing made belongs to a process that has decided.
    if sampled == host or not environ.get("GITTRACK_RUN_ID"):
        return None
    if sampled is None and place.get("rank", 0) == 0:
        return SYSTEM
    return f"{SYSTEM}{host}/" if place.get("local_rank", place.get("rank", 0)) == 0 else None


def _import_psutil(run: ActiveRun) -> ModuleType | None:
    # Imported here and not in the thread: a child forked meanwhile could never import it.
    try:
        import psutil
    except (ImportError, NotImplementedError):  # the latter from systems that psutil does not know
        _miss(run, f"system metrics need psutil, which is not installed; next: {_EXTRA}")
        return None
    except Exception as error:  # one of another system, or half of one
        _miss(run, f"system metrics need psutil, which fails: {type(error).__name__}: {error}")
        return None
    found: ModuleType = psutil
    return found


def _import_nvml(run: ActiveRun) -> ModuleType | None:
    # A container may hold the third GPU alone; below WSL there is another device.
    if not os.path.exists("/dev/nvidiactl") and not os.path.exists("/dev/dxg"):
        return None
    try:
        import pynvml
    except ImportError:
        _miss(run, f"GPUs are not sampled: nvidia-ml-py is not installed; next: {_EXTRA}")
        return None
    except Exception as error:
        _miss(run, f"GPUs are not sampled: nvidia-ml-py fails: {type(error).__name__}: {error}")
        return None
    found: ModuleType = pynvml
    return found


def _miss(run: ActiveRun, text: str) -> None:
    run.log_sample((), 0, (text,))
    if text not in _said:
        _said.add(text)
        warn(text)


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _after_fork() -> None:
    # The thread is the parent's, and it samples for both.
    global _sampler
    _sampler = None


os.register_at_fork(after_in_child=_after_fork)
