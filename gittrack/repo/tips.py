"""The store commits that are read: ours, and those of remotes that are not joined with it yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from gittrack.core.converge import Outcome
from gittrack.errors import CorruptStoreError, GittrackError, StoreFormatError
from gittrack.repo.memory import Memory
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.remote import Link
from gittrack.store.write import list_refs, move_ref, refs_look


class Apart(NamedTuple):
    """A remote's store that holds what ours does not."""

    remote: str
    ref: str
    tip: str


class Tips:
    """Asks git for our refs, and looks at what plain `git fetch` has brought.

    No hook of ours is called for a fetch, so this is where a colleague's runs arrive. A read never
    commits: it takes a remote's store over where nothing has to be joined for that, and else reads
    both.

    Args:
        links: the remotes that get and give runs.
        can_write: whether refs may be moved.
        warn: says what a person should know.
    """

    def __init__(
        self,
        git: Git,
        links: Callable[[], Mapping[str, Link]],
        memory: Memory,
        *,
        can_write: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._git = git
        self._links = links
        self._memory = memory
        self._can_write = can_write
        self._warn = warn
        self._look: tuple[Any, ...] | None = None
        self._stores: dict[str, str] = {}
        self._apart: tuple[Apart, ...] = ()

    def own(self) -> str | None:
        """The tip of our own store."""
        self._refresh()
        return self._stores.get(layout.STORE_REF)

    def apart(self) -> tuple[Apart, ...]:
        """The remotes' stores that hold more than ours."""
        self._refresh()
        return self._apart

    def all(self) -> dict[str, str]:
        """Every commit that is read, by the ref that points to it; their union is the store."""
        self._refresh()
        return {**self._stores, **{item.ref: item.tip for item in self._apart}}

    def _refresh(self) -> None:
        # Asking git takes 3 ms, looking whether its files have changed 20 us.
        look = refs_look(self._git, layout.REFS)
        if look is not None and look == self._look:
            return
        refs = list_refs(self._git, layout.REFS)
        self._stores = {r: tip for r, tip in refs.items() if r.startswith(layout.STORE_REFS)}
        fetched = [r for r in refs if r.startswith(layout.REMOTE_REFS)]
        self._apart = ()
        if fetched:
            links = [link for link in self._links().values() if link.tracking in refs]
            found = [self._meet(link, refs[link.tracking]) for link in links]
            self._apart = tuple(item for item in found if item is not None)
        # What was moved just now is seen the next time.
        self._look = look

    def _meet(self, link: Link, theirs: str) -> Apart | None:
        """What of a remote's store has to be read beside ours; takes it over if that is all."""
        ours = self._stores.get(layout.STORE_REF)
        ref = link.tracking
        if ours == theirs or (ours and self._memory.is_joined(ref, theirs)):
            return None
        if self._memory.refusal(theirs) is not None:
            return None
        try:
            return self._judge(link, ours, theirs)
        except (CorruptStoreError, StoreFormatError) as error:
            why = f": {error.why}" if error.why else ""
            self._warn(f"what {link.remote} has is refused: {error.message}{why}")
        except (GittrackError, OSError) as error:
            self._warn(f"what git fetched from {link.remote} was not looked at: {error}")
        return None

    def _judge(self, link: Link, ours: str | None, theirs: str) -> Apart | None:
        from gittrack.repo import sync

        sync.examine(self._git, theirs, ours, self._memory)
        outcome = Outcome.THEIRS
        if ours is not None:
            outcome = sync.judge(self._git, ours, theirs).outcome
        if outcome is Outcome.THEIRS:
            if not self._can_write or not move_ref(self._git, layout.STORE_REF, theirs, ours):
                return Apart(link.remote, link.tracking, theirs)
            self._stores[layout.STORE_REF] = theirs
        elif outcome is Outcome.JOIN:
            return Apart(link.remote, link.tracking, theirs)
        self._memory.joined(link.tracking, theirs)
        return None


def count_lost(git: Git, before: str, now: str | None) -> int:
    """How many commits, joins not counted, our store had and has no more.

    None are lost to a history that was rewritten on purpose, or that git has dropped since.
    """
    from gittrack.repo.sync import epoch_of

    cat_file = git.cat_file()
    found = cat_file.read(before)
    if found is None or found.type != "commit":
        return 0
    if now is None:
        return int(git.run("rev-list", "--no-merges", "--count", before))
    new = cat_file.read(now)
    # What comes after it, as nearly always, is told by the commit alone.
    if new is None or f"parent {before}\n".encode() in new.data:
        return 0
    try:
        if epoch_of(git, now) > epoch_of(git, before):
            return 0
    except GittrackError:
        return 0  # what is wrong with it is said where it is read
    return int(git.run("rev-list", "--no-merges", "--count", before, "--not", now))
