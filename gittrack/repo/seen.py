"""How the branches of a repository looked the last time, and whether they look otherwise now.

Every command asks this, so it is made of little: a dozen calls of stat, and no git.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.repo import hints
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.write import refs_look

#: Where branches lie, ours and those of remotes.
BRANCHES, REMOTES = "refs/heads/", "refs/remotes/"
#: How many ids of changes are remembered.
_MOST_PATCHES = 1000


class Look(NamedTuple):
    """Changes when a branch, HEAD, a hint or git-filter-repo's map does, or our own refs.

    `code` and `store` are None where that cannot be told without asking git.
    """

    code: Any
    store: Any


class State(NamedTuple):
    """What was seen the last time: how it looked, where branches were, how far hints were read.

    `looked` are late runs that no commit was found for, `patches` the ids of changes by commit.
    If only some branches are recorded, `patterns` named these, and they were at `matched`.
    """

    look: Look
    tips: Sequence[str]
    offset: int
    looked: Sequence[str] = ()
    patches: Mapping[str, str] = {}
    patterns: Sequence[str] = ()
    matched: Sequence[str] = ()

    @classmethod
    def read(cls, common_dir: str) -> State | None:
        """The state, or None if there is none that can be used."""
        try:
            with open(_path(common_dir), encoding="utf-8") as file:
                found = json.load(file)
            state = cls(**{**found, "look": Look(*found["look"])})
            _check(state)
        except (OSError, ValueError, TypeError, LookupError):
            return None
        return state

    def write(self, common_dir: str) -> None:
        """Remember it; if that cannot be, the next time finds the same again."""
        path = _path(common_dir)
        temporary = f"{path}.{os.getpid()}.tmp"
        latest = dict(list(self.patches.items())[-_MOST_PATCHES:])
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(temporary, "w", encoding="utf-8") as file:
                json.dump(self._replace(patches=latest)._asdict(), file)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def is_as(self, look: Look) -> bool:
        """Whether nothing has changed since, as far as that can be told."""
        return None not in look and look == self.look


def look_at(git: Git) -> Look:
    """How things look now."""
    looks = [refs_look(git, prefix) for prefix in (BRANCHES, REMOTES)]
    paths = (os.path.join(git.git_dir, "HEAD"), hints.hints_file(git.common_dir), filter_map(git))
    code = None if None in looks else [*looks, *(_stat(path) for path in paths)]
    store = refs_look(git, layout.STORE_REFS)
    # As the file gives it back: without tuples.
    return Look(*json.loads(json.dumps([code, store])))


def filter_map(git: Git) -> str:
    """Where git-filter-repo says what it made of which commit."""
    return os.path.join(git.git_dir, "filter-repo", "commit-map")


def _check(state: State) -> None:
    texts = [*state.tips, *state.looked, *state.patches, *state.patches.values()]
    texts += [*state.patterns, *state.matched]
    if not all(isinstance(text, str) for text in texts) or not isinstance(state.offset, int):
        raise ValueError("it is no state")


def _path(common_dir: str) -> str:
    return os.path.join(common_dir, "gittrack", "seen.json")


def _stat(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
