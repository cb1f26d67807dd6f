"""Record any program as a run: its output, its exit code, and the results it leaves in files."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from glob import glob
from typing import TYPE_CHECKING, NamedTuple

from gittrack.capture import results
from gittrack.core.model import FAILED, FINISHED, KILLED
from gittrack.errors import GittrackError, ParamChangedError
from gittrack.tracking.active import ActiveRun

if TYPE_CHECKING:
    from gittrack.repo import Repo
    from gittrack.repo.values import Older

#: Sent to us by name, they are meant for the program. From a terminal it has got them itself.
_FORWARDED = {
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
}  # fmt: skip
#: A program that ends by one of these was ended by somebody; by any other it failed.
_KILLING = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL}
_FROM_KERNEL = 0x80
EXIT_NOT_FOUND, EXIT_NOT_EXECUTABLE = 127, 126


class Ended(NamedTuple):
    """How a program ended: the exit code to pass on, and the signal that it died of, or 0."""

    exit_code: int
    signal: int = 0
    error: str = ""

    @property
    def status(self) -> str:
        """The status of its run."""
        if self.signal:
            return KILLED if self.signal in _KILLING else FAILED
        return FAILED if self.exit_code or self.error else FINISHED


def run_program(
    repo: Repo,
    run: ActiveRun,
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    inputs: Sequence[str] = (),
    artifacts: Sequence[str] = (),
) -> Ended:
    """Run a command as a run that has begun, take in what it left, and end the run.

    Call it inside `signals_blocked`.

    Args:
        inputs: files, folders and URIs whose digests are recorded while the program runs.
        artifacts: patterns of files to keep, from the current folder.
    """
    folder = os.getcwd() if repo.is_bare else repo.root
    config = repo.config
    patterns = (*config.run_params, *config.run_metrics, *config.run_history)
    before = results.look(folder, [results.split_selector(pattern)[0] for pattern in patterns])
    describing = _describe(run, inputs)
    ended = spawn_and_wait(command, environ)
    if not wait_for(describing):
        run.note("a signal came while inputs were still being read; they were not all recorded")
    for patterns, take in (
        (config.run_params, _take_params),
        (config.run_history, _take_history),
        (config.run_metrics, _take_metrics),
    ):
        chosen = results.choose(before, folder, patterns)
        # What the program's own gittrack has logged, and the history, come before.
        older = repo.find_live(run.id) if chosen else None
        for name, key in chosen:
            try:
                take(run, os.path.join(folder, name), key, older)
            except (ValueError, OSError, GittrackError) as error:
                text = error.message if isinstance(error, GittrackError) else str(error)
                run.note(f"{name} was not taken in: {text}")
    _keep(run, artifacts)
    if ended.error:
        run.note(ended.error)
    run.end(ended.status, ended.exit_code)
    return ended


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Hold back what `run_program` forwards; threads that start inside leave it alone, too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FORWARDED, signal.SIGCHLD})
    try:
        yield
    finally:
        # What came after the program had ended has nobody to go to.
        if hasattr(signal, "sigtimedwait"):
            while signal.sigtimedwait([*_FORWARDED], 0) is not None:
                pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def spawn_and_wait(
    command: Sequence[str], environ: Mapping[str, str], *, prints_on_stderr: bool = False
) -> Ended:
    """Run a program to its end and pass on to it the signals that reach us.

    Call it inside `signals_blocked`.
    """
    moved = [(os.POSIX_SPAWN_DUP2, 2, 1)] if prints_on_stderr else []
    # posix_spawn and not fork: other threads of ours are running.
    restored = [signal.SIGPIPE, *([signal.SIGXFSZ] if hasattr(signal, "SIGXFSZ") else [])]
    try:
        child = os.posix_spawnp(
            command[0], list(command), dict(environ), file_actions=moved, setsigmask=[],
            setsigdef=restored,
        )  # fmt: skip
    except FileNotFoundError:
        return Ended(EXIT_NOT_FOUND, error=f"{command[0]} was not found")
    except OSError as error:
        return Ended(EXIT_NOT_EXECUTABLE, error=f"{command[0]} did not start: {error.strerror}")
    telling = _tell_of_the_end(child)
    while True:
        number = _next_signal()
        if number in _FORWARDED:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            telling.join()
            code = os.waitstatus_to_exitcode(status)
            return Ended(code) if code >= 0 else Ended(128 - code, -code)


def _tell_of_the_end(child: int) -> threading.Thread:
    """Send this thread a SIGCHLD of its own once the program has ended.

    The system sends one to the process. A thread that was there before the signals were held back
    may be given it, and what nobody handles is then gone.
    """
    waiting = threading.get_ident()

    def tell() -> None:
        if not hasattr(os, "waitid"):  # macOS has it since Python 3.13
            return
        # Not reaped here: until then no other process can have its number.
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError):
            signal.pthread_kill(waiting, signal.SIGCHLD)

    thread = threading.Thread(target=tell, name="gittrack-program", daemon=True)
    thread.start()
    return thread


def _next_signal() -> int:
    """The next signal that concerns the program: one to forward, or the news that it ended."""
    wanted = {*_FORWARDED, signal.SIGCHLD}
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(wanted)
        from_terminal = info.si_code == _FROM_KERNEL and info.si_signo != signal.SIGCHLD
        return 0 if from_terminal else info.si_signo
    number = int(signal.sigwait(wanted))
    return 0 if number in (signal.SIGINT, signal.SIGQUIT) and os.isatty(0) else number


# -- what goes in and what comes out -------------------------------------------------------


def _describe(run: ActiveRun, inputs: Sequence[str]) -> threading.Thread:
    """Read the inputs while the program does; data of any size delays nothing."""

    def describe() -> None:
        for path in inputs:
            before = _look(path)
            try:
                run.log_input(path)
            except GittrackError as error:
                run.note(f"input {path} was not recorded: {error.message}")
                continue
            if _look(path) != before:
                run.note(f"input {os.path.normpath(path)} changed while it was read")

    thread = threading.Thread(target=describe, name="gittrack-inputs", daemon=True)
    thread.start()
    return thread


def wait_for(thread: threading.Thread) -> bool:
    """Wait until a thread has ended, or a signal comes; whether it has ended.

    Call it inside `signals_blocked`.
    """
    if not hasattr(signal, "sigtimedwait"):
        thread.join()
    while thread.is_alive():
        thread.join(0.1)
        if thread.is_alive() and signal.sigtimedwait([*_FORWARDED], 0) is not None:
            return False
    return True


def _look(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _take_params(run: ActiveRun, path: str, key: str, older: Older | None) -> None:
    for name, value in results.read_mapping(path, key).items():
        try:
            run.log_param(str(name), value)
        except ParamChangedError as error:
            run.note(f"{os.path.basename(path)}: {error.message}")


def _take_history(run: ActiveRun, path: str, key: str, older: Older | None) -> None:
    points = results.read_history(path, key)
    run.log_points((p.key, p.value, p.step, p.time_ms) for p in points)


def _take_metrics(run: ActiveRun, path: str, key: str, older: Older | None) -> None:
    for name, value in results.numbers(results.read_mapping(path, key)):
        # What a series ended with is not logged a second time, as a step of its own.
        if older is None or repr(older.last.get(name)) != repr(value):
            run.log_metric(name, value, None if older is None else older.next_steps.get(name))


def _keep(run: ActiveRun, patterns: Sequence[str]) -> None:
    for pattern in patterns:
        found = sorted(glob(pattern, recursive=True))
        if not found:
            run.note(f"no artifact matches {pattern}")
        for path in found:
            folder = os.path.dirname(os.path.normpath(path))
            inside = not folder.startswith(("/", ".."))
            try:
                run.log_artifact(path, folder if inside and folder else None)
            except GittrackError as error:
                run.note(f"artifact {path} was not kept: {error.message}")
