"""Converge with remotes: pull is fetch and join, push is push, and on rejection pull and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import NamedTuple

from gittrack.errors import RefMovedError, RemoteError
from gittrack.repo import stored
from gittrack.repo.seal import check_readable
from gittrack.store import layout, remote
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.union import join_trees
from gittrack.store.write import commit_join, move_ref, read_ref, turn

#: Sixteen that push at once need about as many tries; a lost race costs one round trip.
_MAX_TRIES = 50


class Synced(NamedTuple):
    """What a sync did: runs that came, runs that went, and with whom."""

    remote: str
    received: int = 0
    sent: int = 0


def join_into(
    git: Git, theirs: str, *, fsync: bool, is_peer: bool = False, commits: bool = True
) -> str:
    """Make our store the join of what it is and another store commit; the tip after it.

    With U and V the commits, joins not counted, that only ours and only theirs have:

        V empty                            ours stays
        U empty, and the join is theirs    theirs is taken, descendant or not
        both empty                         theirs is taken; between peers the greater id
        else                               one join commit, the same whoever makes it

    Args:
        is_peer: whether theirs is another clone's, not that of a remote that all meet at. Three
            clones in a ring would otherwise hand their commits on for ever.
        commits: whether a join commit may be made; a read only takes what is the join already.
    Raises:
        CorruptStoreError, StoreFormatError: theirs is refused; ours stays as it was.
    """
    check_readable(git, theirs)
    for attempt in range(_MAX_TRIES):
        with turn(git):
            tip = _try(git, theirs, is_peer=is_peer, commits=commits, fsync=fsync)
        if tip is not None:
            return tip
        time.sleep(0.01 * os.urandom(1)[0] / 255 * min(attempt + 1, 10))
    raise RefMovedError(
        f"{layout.STORE_REF} moved {_MAX_TRIES} times while stores were joined",
        why="many processes write to this repository at once",
        next="gittrack sync",
    )


def _try(git: Git, theirs: str, *, is_peer: bool, commits: bool, fsync: bool) -> str | None:
    """One attempt; None if our ref moved meanwhile."""
    ours = read_ref(git, layout.STORE_REF)
    if ours is None:
        return theirs if move_ref(git, layout.STORE_REF, theirs, None) else None
    if ours == theirs:
        return ours
    only_ours, only_theirs = _count(git, ours, theirs)
    if not only_theirs and (only_ours or (is_peer and ours > theirs)):
        return ours
    if only_ours and not commits:
        return ours
    return _join(git, ours, theirs, takes=not only_ours, fsync=fsync)


def _count(git: Git, ours: str, theirs: str) -> tuple[int, int]:
    out = git.run("rev-list", "--no-merges", "--count", "--left-right", f"{ours}...{theirs}")
    left, right = out.split()
    return int(left), int(right)


def has_more(git: Git, theirs: str, ours: str) -> bool:
    """Whether another store commit holds commits, joins not counted, that ours lacks."""
    return _count(git, ours, theirs)[1] > 0


def _join(git: Git, ours: str, theirs: str, *, takes: bool, fsync: bool) -> str | None:
    """Take theirs if it is the join, else commit the join; None if our ref moved meanwhile."""
    reader = CatFileReader(git)
    trees = [stored.tree_of(reader, commit) for commit in (ours, theirs)]
    mine, other = trees
    assert mine is not None and other is not None
    object_format = "sha1" if len(ours) == 40 else "sha256"
    if takes and not join_trees(reader, other, mine, object_format):
        return theirs if move_ref(git, layout.STORE_REF, theirs, ours) else None
    changes = join_trees(reader, mine, other, object_format)
    try:
        return commit_join(git, layout.STORE_REF, ours, theirs, mine, changes, fsync=fsync)
    except RefMovedError:
        return None


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
    now: Callable[[], float] = time.monotonic,
) -> Synced:
    """Send our runs; who was overtaken brings the others' runs first, and tries again.

    Raises:
        RemoteError: the remote refused, or the deadline passed.
    """
    give_up = None if deadline_s is None else now() + deadline_s
    received = 0
    for attempt in range(_MAX_TRIES):
        ours = read_ref(git, layout.STORE_REF)
        if ours is None:
            return Synced(name, received)
        known = read_ref(git, remote.tracking_ref(name))
        left_s = None if give_up is None else max(0.5, give_up - now())
        if known is not None and ours == known and attempt:
            return Synced(name, received)
        sent = count_runs(git, known, ours)
        done = remote.push(git, name, ours, deadline_s=left_s, asks=asks)
        if done.done:
            return Synced(name, received, sent)
        time.sleep(0.05 * os.urandom(1)[0] / 255 * min(attempt, 10))
        received += pull(git, name, fsync=fsync, deadline_s=left_s, asks=asks).received
        if give_up is not None and now() > give_up:
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
