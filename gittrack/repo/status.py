"""How things stand in a repository."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from gittrack.core.model import LOST, RUNNING, Run
from gittrack.core.query import Compare, Field
from gittrack.errors import CorruptStoreError
from gittrack.repo import stored
from gittrack.repo.tips import Tips
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.remote import Link
from gittrack.store.write import list_refs

#: How many of the latest runs are looked through for what a person should look at.
RECENT = 1000

_STATUS = Field("attribute", "status")


class Status(NamedTuple):
    """What runs, what was lost, what is not shared, what of the latest runs needs a look.

    `unpushed` maps each remote that gets runs to the number of runs here that differ from what it
    is known to hold, or that it lacks; it is as fresh as the last fetch. `unjoined` are the remotes
    whose runs were fetched and are not joined with ours; reading shows both.
    """

    runs: int
    experiments: int
    running: tuple[Run, ...]
    lost: tuple[Run, ...]
    unsealed: int
    with_warnings: tuple[Run, ...]
    with_withheld: tuple[Run, ...]
    with_redactions: tuple[Run, ...]
    tip: str | None
    with_conflicts: tuple[Run, ...] = ()
    deleted: int = 0
    unpushed: Mapping[str, int] = {}
    unjoined: tuple[str, ...] = ()


def get_status(git: Git, view: View, tips: Tips, links: Iterable[Link]) -> Status:
    """How things stand now."""
    counts = [count for _, count, _ in view.experiments()]
    recent = view.search(None, (), RECENT)

    def chosen(test: Callable[[Run], object]) -> tuple[Run, ...]:
        return tuple(run for run in recent if test(run))

    return Status(
        runs=sum(counts),
        experiments=sum(count > 0 for count in counts),
        running=tuple(view.search(Compare(_STATUS, "=", RUNNING), (), None)),
        lost=tuple(view.search(Compare(_STATUS, "=", LOST), (), None)),
        unsealed=len(view.live()),
        with_warnings=chosen(lambda run: run.warnings),
        with_withheld=chosen(lambda run: run.withheld),
        with_redactions=chosen(lambda run: run.redacted),
        tip=tips.own(),
        with_conflicts=chosen(lambda run: run.conflicts),
        deleted=view.ask(lambda index: index.count(include_deleted=True) - index.count()),
        unpushed=_unpushed(git, tips, links),
        unjoined=tuple(item.remote for item in tips.apart()),
    )


def _unpushed(git: Git, tips: Tips, links: Iterable[Link]) -> dict[str, int]:
    """For every remote that gets runs, how many here it lacks or has otherwise."""
    ours = tips.own()
    refs = list_refs(git, layout.REMOTE_REFS)
    counts = {}
    for link in links:
        theirs = refs.get(link.tracking)
        before = {} if theirs is None else {layout.STORE_REF: theirs}
        after = {} if ours is None else {layout.STORE_REF: ours}
        reader = CatFileReader(git)
        try:
            counts[link.remote] = len(stored.find_changes(reader, before, after).runs)
        except CorruptStoreError:
            # What that remote offers is no store of ours; it has none of these runs.
            counts[link.remote] = len(stored.find_changes(reader, {}, after).runs)
    return counts
