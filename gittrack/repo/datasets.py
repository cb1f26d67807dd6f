"""Which datasets there are, in which versions, and which runs used them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gittrack.core.model import Dataset, Run
from gittrack.core.query import Compare, Field
from gittrack.errors import DatasetNotFoundError
from gittrack.repo.view import View


class DatasetSummary(NamedTuple):
    """A dataset: how many digests it had, in how many runs, and the start of the last in ms.

    `digest` is that of the last run.
    """

    name: str
    versions: int
    runs: int
    last_used_ms: int
    digest: str


class DatasetVersion(NamedTuple):
    """One digest of a dataset, as the last run that used it has it, and the runs, newest first.

    `contexts` are all in which they used it.
    """

    dataset: Dataset
    runs: tuple[Run, ...]
    contexts: tuple[str, ...]

    @property
    def last_used_ms(self) -> int:
        """The start of the last run that used it."""
        return self.runs[0].start_ms


def summarise_uses(view: View) -> list[DatasetSummary]:
    """The datasets of all runs that are not deleted, the one that was used last first."""
    uses: dict[str, list[tuple[int, str, str]]] = {}
    for name, digest, run_id, start_ms in _uses(view):
        uses.setdefault(name, []).append((start_ms, run_id, digest))
    found = []
    for name, some in uses.items():
        last_ms, _, digest = max(some)
        digests, runs = {item[2] for item in some}, {item[1] for item in some}
        found.append(DatasetSummary(name, len(digests), len(runs), last_ms, digest))
    return sorted(found, key=lambda item: (-item.last_used_ms, item.name))


def _uses(view: View) -> Iterator[tuple[str, str, str, int]]:
    # Of runs that go on, the index may know less, or older, than their journals.
    live = view.live()
    yield from view.ask(lambda index: index.dataset_uses(live.keys()))
    hidden = set(view.ask(lambda index: index.hidden_experiments())) if live else set()
    for item in live.values():
        run = view.live_run(item)
        if not run.deleted and run.experiment_id not in hidden:
            for name, digest in dict.fromkeys((d.name, d.digest) for d in run.inputs):
                yield name, digest, run.id, run.start_ms


def read_versions(
    view: View, inputs: Callable[[Run], Sequence[Dataset]], name: str
) -> list[DatasetVersion]:
    """The versions of a dataset, the one that was used last first.

    Args:
        inputs: gives the datasets of a run with their schemas.
    Raises:
        DatasetNotFoundError: no run used one of that name.
    """
    runs = view.search(Compare(Field("dataset", "name"), "=", name), (), None)
    if not runs:
        raise _not_found(view, name)
    used: dict[str, list[Run]] = {}
    contexts: dict[str, dict[str, None]] = {}
    for run in runs:
        for item in run.inputs:
            if item.name == name:
                if run not in used.setdefault(item.digest, [])[-1:]:
                    used[item.digest].append(run)
                contexts.setdefault(item.digest, {})[item.context] = None
    versions = []
    for digest, some in used.items():
        there = [*inputs(some[0]), *some[0].inputs]
        full = next(item for item in there if (item.name, item.digest) == (name, digest))
        known = tuple(sorted(filter(None, contexts[digest])))
        versions.append(DatasetVersion(full, tuple(some), known))
    return sorted(versions, key=lambda item: (-item.last_used_ms, item.dataset.digest))


def _not_found(view: View, name: str) -> DatasetNotFoundError:
    from difflib import get_close_matches

    known = [item.name for item in summarise_uses(view)]
    near = get_close_matches(name[:200], known, n=1)
    why = f"there are {', '.join(known[:8])}" if known else "no run has recorded one"
    return DatasetNotFoundError(
        f"there is no dataset '{name}'",
        why=f"did you mean '{near[0]}'?" if near else why,
        next="gittrack data" if known else "gittrack.log_input(frame, name='train')",
    )
