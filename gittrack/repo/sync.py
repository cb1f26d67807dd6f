"""Converge with remotes: pull is fetch and join, push is push, and on rejection pull and again."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from gittrack.core.converge import Decision, Meeting, Outcome, decide
from gittrack.errors import (
    CorruptStoreError,
    GittrackError,
    MissingObjectError,
    RefMovedError,
    RemoteError,
    StoreFormatError,
)
from gittrack.repo import stored
from gittrack.repo.memory import Memory
from gittrack.repo.seal import check_readable
from gittrack.store import layout, remote
from gittrack.store.chain import join_chain
from gittrack.store.git import Git
from gittrack.store.inspect import check_size, inspect
from gittrack.store.objects import CatFileReader, get_tree
from gittrack.store.remote import Link, Patience
from gittrack.store.union import join_trees
from gittrack.store.write import commit_join, move_ref, pause, read_ref, turn

#: Sixteen that push at once need about as many tries; a lost race costs one round trip.
_MAX_TRIES = 50


class Moved(Enum):
    """How a remote's store has moved since it was last seen, if not forward."""

    FORWARD = "forward"
    DELETED = "deleted"
    REWOUND = "rewound"
    REPLACED = "replaced"
    REWRITTEN = "rewritten"


class Synced(NamedTuple):
    """What a sync did: runs that came, runs that went, and how the remote's store had moved.

    `is_empty` says that the remote has no store; `unsent_sources`, why the commits that runs stand
    on did not go with them.
    """

    remote: str
    received: int = 0
    sent: int = 0
    moved: Moved = Moved.FORWARD
    is_empty: bool = False
    unsent_sources: str | None = None


# -- join --------------------------------------------------------------------------------------


def examine(git: Git, theirs: str, ours: str | None, memory: Memory) -> None:
    """See that a store that came may be read and joined; what is refused once stays refused.

    Raises:
        StoreFormatError: it is of a format that this version does not read.
        CorruptStoreError: it is no store, is damaged, or holds what could harm.
    """
    known = memory.refusal(theirs)
    if known is not None:
        raise known
    try:
        check_size(git, f"{theirs}:{layout.STORE_FILE}", layout.STORE_FILE)
        check_readable(git, theirs)
        inspect(git, theirs, ours)
    except MissingObjectError:
        # It may come yet; and if it is there, nothing else may be wrong.
        raise
    except (CorruptStoreError, StoreFormatError) as error:
        memory.refuse(theirs, error)
        raise


def judge(git: Git, ours: str, theirs: str, *, is_peer: bool = False) -> Decision:
    """What becomes of our store when it meets another commit; see `core.converge`.

    Raises:
        CorruptStoreError: what both have changed cannot be read.
    """
    if ours == theirs:
        return Decision(Outcome.OURS)
    out = git.run("rev-list", "--no-merges", "--count", "--left-right", f"{ours}...{theirs}")
    only_ours, only_theirs = (int(word) for word in out.split())
    return decide(
        Meeting(
            ours, theirs, epoch_of(git, ours), epoch_of(git, theirs), only_ours, only_theirs,
            ours_adds=partial(_adds, git, ours, theirs),
            theirs_adds=partial(_adds, git, theirs, ours),
            is_peer=is_peer,
        )
    )  # fmt: skip


def epoch_of(git: Git, commit: str) -> int:
    """How often the history that leads to a store commit was rewritten."""
    epoch = check_readable(git, commit).get("epoch", 0)
    return epoch if isinstance(epoch, int) else 0


def _adds(git: Git, one: str, to: str) -> bool:
    """Whether a store commit holds anything that another one's tree does not."""
    reader = CatFileReader(git)
    return bool(join_trees(reader, get_tree(reader, to), get_tree(reader, one)))


def join_into(
    git: Git,
    theirs: str,
    memory: Memory,
    *,
    fsync: bool,
    is_peer: bool = False,
    for_push: bool = False,
) -> str:
    """Make our store the join of what it is and another store commit; the tip after it.

    Args:
        is_peer: whether theirs is another clone's, not that of a remote that all meet at.
        for_push: make sure that the tip descends from theirs, as git asks of a push.
    Raises:
        CorruptStoreError, StoreFormatError: theirs is refused; ours stays as it was.
    """
    examine(git, theirs, read_ref(git, layout.STORE_REF), memory)
    for attempt in range(_MAX_TRIES):
        with turn(git):
            tip = _try(git, theirs, is_peer=is_peer, for_push=for_push, fsync=fsync)
        if tip is not None:
            return tip
        pause(attempt)
    raise RefMovedError(
        f"{layout.STORE_REF} moved {_MAX_TRIES} times while stores were joined",
        why="many processes write to this repository at once",
        next="gittrack sync",
    )


def _try(git: Git, theirs: str, *, is_peer: bool, for_push: bool, fsync: bool) -> str | None:
    """One attempt; None if our ref moved meanwhile."""
    ours = read_ref(git, layout.STORE_REF)
    if ours is None:
        return theirs if move_ref(git, layout.STORE_REF, theirs, None) else None
    decision = judge(git, ours, theirs, is_peer=is_peer)
    if decision.outcome is Outcome.OURS:
        if (
            for_push
            and epoch_of(git, ours) == epoch_of(git, theirs)
            and not descends(git, ours, theirs)
        ):
            # Only joins differ: nothing is missing here, and git would refuse ours all the same.
            decision = Decision(Outcome.JOIN, (min(ours, theirs), max(ours, theirs)))
        else:
            return ours
    if decision.outcome is Outcome.THEIRS:
        return theirs if move_ref(git, layout.STORE_REF, theirs, ours) else None
    reader = CatFileReader(git)
    mine = get_tree(reader, ours)
    changes = join_trees(reader, mine, get_tree(reader, theirs))
    try:
        return commit_join(
            git, layout.STORE_REF, ours, theirs, decision.parents, mine, changes, fsync=fsync
        )
    except RefMovedError:
        return None


def descends(git: Git, commit: str, ancestor: str) -> bool:
    """Whether a commit is another one, or comes after it."""
    return not git.run("rev-list", "--max-count=1", ancestor, "--not", commit)


# -- pull and push -----------------------------------------------------------------------------


class Exchange:
    """Pull from a remote and push to it.

    Args:
        patience: how long all of it may take, and whether git may ask for a password.
        sources: whether the commits that runs stand on go with them.
        to: the URL to push to, where the remote has several.
    """

    def __init__(
        self,
        git: Git,
        link: Link,
        memory: Memory,
        patience: Patience,
        *,
        fsync: bool,
        sources: bool,
        to: str = "",
    ) -> None:
        self._git = git
        self._link = link
        self._memory = memory
        self._patience = patience
        self._fsync = fsync
        self._sources = sources
        self._to = to

    def pull(self, *, for_push: bool = False) -> Synced:
        """Bring the remote's runs into our store.

        Raises:
            RemoteError: it could not be reached.
            CorruptStoreError, StoreFormatError: what it has is refused; ours stays as it was.
        """
        git, link = self._git, self._link
        before = read_ref(git, link.tracking)
        remote.fetch(git, link, self._patience)
        theirs = read_ref(git, link.tracking)
        if theirs is None:
            moved = Moved.FORWARD if before is None else Moved.DELETED
            return Synced(link.remote, moved=moved, is_empty=True)
        ours = read_ref(git, layout.STORE_REF)
        tip = join_into(git, theirs, self._memory, fsync=self._fsync, for_push=for_push)
        self._memory.joined(link.tracking, theirs)
        moved = Moved.FORWARD if before is None else _how(git, before, theirs)
        return Synced(link.remote, count_runs(git, ours, tip), moved=moved)

    def push(self) -> Synced:
        """Send our runs; who was overtaken brings the others' runs first, and tries again.

        Raises:
            RemoteError: the remote refused, or the deadline passed.
        """
        git, link = self._git, self._link
        pulled = Synced(link.remote)
        lease = ""
        for attempt in range(_MAX_TRIES):
            commits = self._to_send()
            if not commits or (attempt and self._has(commits)):
                return pulled
            known = read_ref(git, link.tracking)
            done = remote.push(git, link, commits, self._patience, to=self._to, lease=lease)
            if link.ref in done.refused:
                raise self._refusal(done.refused[link.ref])
            if not done.overtaken:
                pulled = pulled._replace(unsent_sources=done.refused.get(link.source_ref))
                return self._pushed(pulled, commits, done, known)
            if self._patience.is_over:
                break
            pause(attempt, 0.05)
            if link.ref in done.overtaken:
                more = self.pull(for_push=True)
                pulled = more._replace(received=pulled.received + more.received)
                lease = self._lease()
            if link.source_ref in done.overtaken:
                join_chain(git, remote.fetch_sources(git, link, self._patience))
        raise RemoteError(
            f"the runs did not get to {link.remote}",
            why=f"somebody else pushed first, {_MAX_TRIES} times or until the deadline",
            next=f"gittrack push {link.remote}",
        )

    def _to_send(self) -> dict[str, str]:
        """Our commits by the remote's refs; the chain of sources only where it is to be shared."""
        link = self._link
        own = {link.ref: layout.STORE_REF}
        if self._sources:
            own[link.source_ref] = layout.SOURCE_REF
        found = {theirs: read_ref(self._git, ours) for theirs, ours in own.items()}
        # The chain goes with the runs, and only when it has something new.
        known = read_ref(self._git, link.tracking_of(link.source_ref))
        return {
            ref: tip
            for ref, tip in found.items()
            if tip is not None and (ref == link.ref or tip != known)
        }

    def _has(self, commits: Mapping[str, str]) -> bool:
        """Whether the remote is known to have all of it."""
        link = self._link
        return all(read_ref(self._git, link.tracking_of(ref)) == c for ref, c in commits.items())

    def _pushed(
        self, pulled: Synced, commits: Mapping[str, str], done: remote.Pushed, known: str | None
    ) -> Synced:
        """What the last push came to; the remote may have been elsewhere than was known."""
        git, link = self._git, self._link
        ours = commits.get(link.ref)
        if ours is None:
            return pulled
        self._memory.joined(link.tracking, ours)
        if link.ref not in done.before:
            return pulled
        before = done.before[link.ref]
        moved = pulled.moved
        if known is not None and before != known:
            moved = Moved.DELETED if before is None else _how(git, known, before)
        try:
            sent = count_runs(git, before, ours)
        except CorruptStoreError:
            sent = count_runs(git, None, ours)  # what the remote had was no store
        return pulled._replace(sent=sent, moved=moved)

    def _refusal(self, said: str) -> RemoteError:
        name = self._link.remote
        return RemoteError(
            f"{name} does not take runs",
            why=f"it refused {self._link.ref}: {said}",
            next=f"gittrack remote check {name}",
        )

    def _lease(self) -> str:
        """The remote's tip if its history was rewritten here, so that it may be forced away."""
        git = self._git
        ours, theirs = (read_ref(git, ref) for ref in (layout.STORE_REF, self._link.tracking))
        if ours is None or theirs is None or epoch_of(git, ours) <= epoch_of(git, theirs):
            return ""
        return theirs


def _how(git: Git, before: str, after: str) -> Moved:
    """How a remote's store came from one tip to another."""
    # In a shallow clone ancestors are cut off, and nothing can be said.
    if before == after or git.is_shallow:
        return Moved.FORWARD
    try:
        if descends(git, after, before):
            return Moved.FORWARD
        if epoch_of(git, after) > epoch_of(git, before):
            return Moved.REWRITTEN
        return Moved.REWOUND if descends(git, before, after) else Moved.REPLACED
    except GittrackError:
        return Moved.REPLACED  # what it was before is not here any more, or was refused


def count_runs(git: Git, old: str | None, new: str) -> int:
    """How many runs of a store are new or changed since another state of it."""
    if old == new:
        return 0
    reader = CatFileReader(git)
    before: Mapping[str, Any] = {} if old is None else {layout.STORE_REF: old}
    changes = stored.find_changes(reader, before, {layout.STORE_REF: new})
    return len(changes.runs)
