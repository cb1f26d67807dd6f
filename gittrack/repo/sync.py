"""Converge with remotes: pull is fetch and join, push is push, and on rejection pull and again."""

from __future__ import annotations

import time
from typing import NamedTuple

from gittrack.errors import CorruptStoreError, RefMovedError, RemoteError
from gittrack.repo import stored
from gittrack.repo.seal import check_readable
from gittrack.store import layout, remote
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.union import join_trees
from gittrack.store.write import commit_join, move_ref, pause, read_ref, turn

#: Sixteen that push at once need about as many tries; a lost race costs one round trip.
_MAX_TRIES = 50


class Synced(NamedTuple):
    """What a sync did: runs that came, runs that went, and with whom."""

    remote: str
    received: int = 0
    sent: int = 0


def join_into(git: Git, theirs: str, *, fsync: bool, is_peer: bool = False) -> str:
    """Make our store the join of what it is and another store commit; the tip after it.

    With U and V the commits, joins not counted, that only ours and only theirs have:

        V empty                            ours stays
        U empty, and the join is theirs    theirs is taken, descendant or not
        both empty                         theirs is taken; between peers the greater id
        else                               one join commit, the same whoever makes it

    Args:
        is_peer: whether theirs is another clone's, not that of a remote that all meet at. Three
            clones in a ring would otherwise hand their commits on for ever.
    Raises:
        CorruptStoreError, StoreFormatError: theirs is refused; ours stays as it was.
    """
    check_readable(git, theirs)
    for attempt in range(_MAX_TRIES):
        with turn(git):
            tip = _try(git, theirs, is_peer=is_peer, fsync=fsync)
        if tip is not None:
            return tip
        pause(attempt)
    raise RefMovedError(
        f"{layout.STORE_REF} moved {_MAX_TRIES} times while stores were joined",
        why="many processes write to this repository at once",
        next="gittrack sync",
    )


def _try(git: Git, theirs: str, *, is_peer: bool, fsync: bool) -> str | None:
    """One attempt; None if our ref moved meanwhile."""
    ours = read_ref(git, layout.STORE_REF)
    if ours is None:
        return theirs if move_ref(git, layout.STORE_REF, theirs, None) else None
    if ours == theirs:
        return ours
    only_ours, only_theirs = _count(git, ours, theirs)
    if not only_theirs and (only_ours or (is_peer and ours > theirs)):
        return ours
    if not only_ours and _is_whole(git, ours, theirs):
        return theirs if move_ref(git, layout.STORE_REF, theirs, ours) else None
    return _join(git, ours, theirs, fsync=fsync)


def _count(git: Git, ours: str, theirs: str) -> tuple[int, int]:
    out = git.run("rev-list", "--no-merges", "--count", "--left-right", f"{ours}...{theirs}")
    left, right = out.split()
    return int(left), int(right)


def take_without_commit(git: Git, theirs: str) -> bool:
    """Take another store commit if nothing has to be joined for that; whether it is taken.

    For those who only read: they may move our ref, and never make a commit.
    """
    check_readable(git, theirs)
    ours = read_ref(git, layout.STORE_REF)
    if ours is None:
        return move_ref(git, layout.STORE_REF, theirs, None)
    if ours == theirs:
        return True
    only_ours, only_theirs = _count(git, ours, theirs)
    if not only_theirs:
        return True
    if only_ours or not _is_whole(git, ours, theirs):
        return False
    return move_ref(git, layout.STORE_REF, theirs, ours)


def _is_whole(git: Git, ours: str, theirs: str) -> bool:
    """Whether theirs is the join of both already."""
    reader = CatFileReader(git)
    return not join_trees(reader, _tree(reader, theirs), _tree(reader, ours), _format_of(ours))


def _join(git: Git, ours: str, theirs: str, *, fsync: bool) -> str | None:
    """Commit the join of both; None if our ref moved meanwhile."""
    reader = CatFileReader(git)
    mine = _tree(reader, ours)
    changes = join_trees(reader, mine, _tree(reader, theirs), _format_of(ours))
    try:
        return commit_join(git, layout.STORE_REF, ours, theirs, mine, changes, fsync=fsync)
    except RefMovedError:
        return None


def _tree(reader: CatFileReader, commit: str) -> str:
    tree = stored.tree_of(reader, commit)
    if tree is None:
        raise CorruptStoreError(
            f"commit {commit} of the store is missing", why="git has dropped it", next="git fsck"
        )
    return tree


def _format_of(oid: str) -> str:
    return "sha1" if len(oid) == 40 else "sha256"


def pull(git: Git, name: str, *, fsync: bool, deadline_s: float | None, asks: bool) -> Synced:
    """Bring a remote's runs into our store."""
    remote.fetch(git, name, deadline_s=deadline_s, asks=asks)
    theirs = read_ref(git, remote.tracking_ref(name))
    return Synced(name, received=0 if theirs is None else take(git, theirs, fsync=fsync))


def take(git: Git, theirs: str, *, fsync: bool) -> int:
    """Join a store commit into ours; how many runs came or changed."""
    before = read_ref(git, layout.STORE_REF)
    return count_runs(git, before, join_into(git, theirs, fsync=fsync))


def push(
    git: Git,
    name: str,
    *,
    fsync: bool,
    deadline_s: float | None,
    asks: bool,
) -> Synced:
    """Send our runs; who was overtaken brings the others' runs first, and tries again.

    Raises:
        RemoteError: the remote refused, or the deadline passed.
    """
    give_up = None if deadline_s is None else time.monotonic() + deadline_s
    received = 0
    for attempt in range(_MAX_TRIES):
        ours = read_ref(git, layout.STORE_REF)
        if ours is None:
            return Synced(name, received)
        known = read_ref(git, remote.tracking_ref(name))
        left_s = None if give_up is None else max(0.5, give_up - time.monotonic())
        if known is not None and ours == known and attempt:
            return Synced(name, received)
        sent = count_runs(git, known, ours)
        if remote.push(git, name, ours, deadline_s=left_s, asks=asks):
            return Synced(name, received, sent)
        pause(attempt, 0.05)
        received += pull(git, name, fsync=fsync, deadline_s=left_s, asks=asks).received
        if give_up is not None and time.monotonic() > give_up:
            break
    raise RemoteError(
        f"the runs did not get to {name}",
        why=f"somebody else pushed first, {_MAX_TRIES} times or until the deadline",
        next=f"gittrack push {name}",
    )


def count_runs(git: Git, old: str | None, new: str) -> int:
    """How many runs of a store are new or changed since another state of it."""
    reader = CatFileReader(git)
    before = {} if old is None else {layout.STORE_REF: old}
    changes = stored.find_changes(reader, before, {layout.STORE_REF: new})
    return len(changes.runs)
