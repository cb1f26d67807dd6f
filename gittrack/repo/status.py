"""How things stand in a repository."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gittrack.core.model import LOST, RUNNING, Run
from gittrack.core.query import Compare, Field
from gittrack.errors import CorruptStoreError
from gittrack.repo import stored
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.write import list_refs

#: How many of the latest runs are looked through for what a person should look at.
RECENT = 1000

_STATUS = Field("attribute", "status")


class Status(NamedTuple):
    """What runs, what was lost, what is not shared, what of the latest runs needs a look.

    `unpushed` maps each remote that runs were ever shared with to the number of runs here that
    differ from what it is known to hold, or that it lacks; it is as fresh as the last fetch.
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


def get_status(git: Git, view: View) -> Status:
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
        tip=view.tips().get(layout.STORE_REF),
        with_conflicts=chosen(lambda run: run.conflicts),
        deleted=view.ask(lambda index: index.count(include_deleted=True) - index.count()),
        unpushed=_unpushed(git, view),
    )


def _unpushed(git: Git, view: View) -> dict[str, int]:
    remotes: dict[str, dict[str, str]] = {}
    for ref, oid in list_refs(git, layout.REMOTE_REFS).items():
        remote, own_ref = layout.split_remote_ref(ref)
        if own_ref is not None:
            remotes.setdefault(remote, {})[own_ref] = oid
    here = view.tips()
    counts = {}
    for remote, there in sorted(remotes.items()):
        try:
            counts[remote] = len(stored.find_changes(CatFileReader(git), there, here).runs)
        except CorruptStoreError:
            # What that remote offers is no store of ours; it has none of these runs.
            counts[remote] = view.ask(lambda index: index.count(include_deleted=True))
    return counts
