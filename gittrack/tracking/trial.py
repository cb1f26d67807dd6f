"""Run a program in a folder of its own, as `gittrack run` would there; for `Repo.bisect`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from gittrack.store.git import LOCAL_ENV
from gittrack.tracking.program import signals_blocked, spawn_and_wait

_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Trial:
    """Records a program as a run of the code in a folder; what it prints goes to standard error.

    Args:
        command: the program and its arguments.
        experiment: the experiment of the runs, if not the usual one.
    """

    def __init__(
        self,
        command: Sequence[str],
        experiment: str | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._command = list(command)
        self._options = [] if experiment is None else [f"--experiment={experiment}"]
        # The folder says which repository and which commit it is.
        away = {*LOCAL_ENV, "GITTRACK_REPO"}
        self._environ = {key: value for key, value in environ.items() if key not in away}

    def __call__(self, folder: str) -> int:
        """Run it; its exit code.

        Raises:
            KeyboardInterrupt, Interrupted: it was ended by Ctrl-C, or by such a signal.
        """
        # A process of its own: what it captures, and where it is, is nothing to this one.
        ours = [sys.executable, "-m", "gittrack", "-C", folder, "run", *self._options]
        with signals_blocked():
            ended = spawn_and_wait(
                [*ours, "--", *self._command], self._environ, prints_on_stderr=True
            )
        if ended.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if ended.signal in _ENDING:
            raise Interrupted(ended.signal)
        return ended.exit_code


@contextmanager
def interruptible() -> Iterator[None]:
    """Signals that end a process raise `Interrupted` here, so that it can tidy up before."""

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, raise_it) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
