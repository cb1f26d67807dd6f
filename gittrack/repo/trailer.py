"""The line of a commit message that names the run which the commit comes from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

from gittrack.core.commits import TRAILER
from gittrack.core.model import END_STATUSES, Run
from gittrack.store.git import Git

#: Sources of a message, see githooks(5), whose commit no run is made for: amended, and merges.
_OTHERS = ("commit", "merge", "squash")
#: In git's folder while something else than a new commit is made.
_GOING_ON = ("CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


class Base(NamedTuple):
    """The commit that a new one is made on, and when it was committed."""

    commit: str
    time_ms: int


def find_base(git: Git, source: str) -> Base | None:
    """What a commit is made on that may come from a run; None if it is no such commit.

    Args:
        source: what git says of where the message comes from.
    """
    is_going = any(os.path.exists(os.path.join(git.git_dir, name)) for name in _GOING_ON)
    if source in _OTHERS or is_going:
        return None
    said = git.run("log", "-1", "--no-show-signature", "--format=%H %ct", check=False).split()
    return Base(said[0].decode(), int(said[1]) * 1000) if len(said) == 2 else None


def choose_run(base: Base, runs: Sequence[Run]) -> Run | None:
    """The newest of these that has ended, and was started after the commit was made.

    One that was recorded from the commit itself has its time, and so is none.
    """
    ended = [run for run in runs if run.status in END_STATUSES and run.start_ms > base.time_ms]
    return max(ended, key=lambda run: (run.start_ms, run.id), default=None)


def write_trailer(git: Git, path: str, run: Run) -> None:
    """Name the run in a message, once.

    Raises:
        GitError: the file cannot be written.
    """
    line = f"{TRAILER}: {run.short_id}"
    git.run(
        "interpret-trailers", "--in-place", "--if-exists", "addIfDifferent", "--trailer", line,
        os.path.abspath(path),
    )  # fmt: skip
