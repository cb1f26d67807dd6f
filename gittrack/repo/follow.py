"""What a running run prints, as it comes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence

from gittrack import journal

#: How often output is looked for, and how often whether the run still goes.
_POLL_S, _ASK_S = 0.2, 1.0
#: Sealing takes a second at most after the end.
_PATIENCE_S = 15.0


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
        head, dropped, tail = journal.split_output(data)
        at_tail = len(head) + dropped
        self._given[writer] = max(at_tail + len(tail), given)
        return head[given:] + tail[max(0, given - at_tail) :]


def follow(
    folders: Sequence[str],
    run_id: str,
    is_running: Callable[[], bool],
    sealed: Callable[[], Sequence[tuple[str, bytes]]],
) -> Iterator[tuple[str, bytes]]:
    """Pieces of output with their writers, until the run has ended.

    Args:
        is_running: asked about once a second, for it reads the run's journals.
        sealed: takes over what a dead process left, and gives what the store then holds, by writer.
    """
    follower = Follower()
    ask_at = 0.0
    while True:
        if time.monotonic() >= ask_at:
            if not is_running():
                break
            ask_at = time.monotonic() + _ASK_S
        yield from _news(follower, folders, run_id)
        time.sleep(_POLL_S)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        yield from _news(follower, folders, run_id)
        stored = sealed()
        for writer, data in stored:
            piece = follower.news(writer, data)
            if piece:
                yield writer, piece
        if not _journals(folders, run_id) or time.monotonic() > deadline:
            return
        time.sleep(_POLL_S)


def _news(follower: Follower, folders: Sequence[str], run_id: str) -> Iterator[tuple[str, bytes]]:
    for path in _journals(folders, run_id):
        for writer in journal.list_outputs(path):
            piece = follower.news(writer, journal.read_output(os.path.join(path, writer)))
            if piece:
                yield writer, piece


def _journals(folders: Sequence[str], run_id: str) -> list[str]:
    paths = [os.path.join(folder, run_id) for folder in folders]
    return [path for path in paths if os.path.isdir(path)]
