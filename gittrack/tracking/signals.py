"""Signals that end a process, where they come in the middle of what we do."""

from __future__ import annotations

import _thread
import os
import time
from types import FrameType

#: The rooms that hold locks, and have threads that wait for them.
_DELICATE = ("gittrack.journal.", "gittrack.repo.", "gittrack.store.", "gittrack.capture.")
#: How long a signal is put off at most, and how long it takes to come again.
_PATIENCE_S, _AGAIN_S = 2.0, 0.005


class PuttingOff:
    """Puts off a signal that comes where we write a record, commit a run, or talk with git.

    What is locked there stays locked while a signal is handled. A thread of ours that waits for
    it, and is waited for at the end of a run, would wait in vain.
    """

    def __init__(self) -> None:
        self._begun: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> bool:
        """Whether the signal was put off: it comes again in a moment.

        Args:
            frame: where it came.
        """
        if not _is_delicate(frame):
            return False
        if self._begun is None:
            self._begun = time.monotonic()
        if time.monotonic() > self._begun + _PATIENCE_S:
            return False
        try:
            # Not `threading`, whose own locks may be held where the signal came.
            _thread.start_new_thread(_send, (number,))
        except RuntimeError:  # a limit, or Python is ending
            return False
        return True


def _is_delicate(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(_DELICATE):
            return True
        frame = frame.f_back
    return False


def _send(number: int) -> None:
    time.sleep(_AGAIN_S)
    os.kill(os.getpid(), number)
