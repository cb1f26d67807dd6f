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
        given = self._given.get(writer, 0)
        mark = _LEFT_OUT.search(data)
        if mark is None:
            head, dropped, tail = data, 0, b""
        else:
            head, dropped, tail = data[: mark.start()], int(mark[1]), data[mark.end() :]
        at_tail = len(head) + dropped
        total = at_tail + len(tail)
        self._given[writer] = max(total, given)
        return head[given:] + tail[max(0, given - at_tail) :]


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
