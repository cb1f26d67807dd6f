"""What a running run prints, as it comes."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence

from gittrack import journal

_LEFT_OUT = re.compile(rb"(?m)^\[\.\.\. \d+ lines, (\d+) bytes left out \.\.\.\]\n")


class Follower:
    """Remembers of each writer how much was given out already, whatever became of its files."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def news(self, writer: str, data: bytes) -> bytes:
        """What is new in a writer's output since it was last asked for.

        Args:
            data: all of it, as it is kept: its beginning, a line for what was left out, its end.
        """
        dropped = sum(int(match[1]) for match in _LEFT_OUT.finditer(data))
        whole = _LEFT_OUT.sub(b"", data)
        total = len(whole) + dropped
        fresh = total - self._given.get(writer, 0)
        self._given[writer] = max(total, self._given.get(writer, 0))
        return whole[-min(fresh, len(whole)) :] if fresh > 0 else b""


def follow(
    folders: Sequence[str],
    run_id: str,
    sealed: Callable[[], Sequence[tuple[str, bytes]]],
    poll_s: float = 0.2,
) -> Iterator[tuple[str, bytes]]:
    """Pieces of output with their writers, until the run has ended.

    Args:
        sealed: what the store holds of it in the end, by writer.
    """
    follower = Follower()
    while True:
        states = [state for folder in folders for state in journal.read_run(folder, run_id)]
        for state in states:
            piece = follower.news(state.writer, state.output())
            if piece:
                yield state.writer, piece
        if not states or any(state.end and not state.joins for state in states):
            break
        time.sleep(poll_s)
    # Sealing takes a second at most after the end; what was printed last is in the store then.
    deadline = time.monotonic() + 15
    while any(os.path.isdir(os.path.join(folder, run_id)) for folder in folders):
        if time.monotonic() > deadline:
            break
        time.sleep(poll_s)
    for writer, data in sealed():
        piece = follower.news(writer, data)
        if piece:
            yield writer, piece
