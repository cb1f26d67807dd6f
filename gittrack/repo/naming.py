"""Which run a person means: id, short prefix, name, `@`, EXPERIMENT/NAME."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gittrack.core.model import Run
from gittrack.core.names import is_run_id
from gittrack.errors import RunNotFoundError
from gittrack.repo.view import View

_BACK = re.compile(r"@(?:\{-(\d+)\})?")
_MIN_PREFIX = 4
_MOST_CANDIDATES = 8


def get_run(view: View, name: str) -> Run:
    """The one run that a name stands for.

    In this order: the id, `@` (the latest) and `@{-n}` (n before it), a prefix of the id's hex
    part of at least 4 digits, the name if only one run has it, EXPERIMENT/NAME.

    Raises:
        RunNotFoundError: none, or several; the message lists what there is.
    """
    if is_run_id(name):
        found = view.find_by_id(name)
        if found is not None:
            return found
    back = _BACK.fullmatch(name)
    if back is not None:
        return _latest(view, int(back[1] or 0))
    candidates = _by_prefix(view, name) or _by_name(view, name)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        raise RunNotFoundError(
            f"'{name}' stands for {len(candidates)} runs",
            why="\n       ".join(_describe(candidates)),
            next=f"gittrack show {candidates[0].short_id}",
        )
    raise _unknown(view, name)


def _latest(view: View, back: int) -> Run:
    runs = view.search(None, (), back + 1)
    if len(runs) > back:
        return runs[back]
    if not runs:
        raise RunNotFoundError(
            "there is no run yet",
            why="nothing has been recorded in this repository",
            next="gittrack demo",
        )
    raise RunNotFoundError(
        f"there is no run {back} before the latest",
        why=f"this repository holds {len(runs)}",
        next="gittrack log",
    )


def _by_prefix(view: View, name: str) -> list[Run]:
    if len(name) < _MIN_PREFIX:
        return []
    live = view.live()
    ids = {run_id for run_id in live if _has_prefix(run_id, name)}
    ids.update(view.ask(lambda index: index.find_ids(name)))
    return [run for run_id in sorted(ids) if (run := view.find_by_id(run_id)) is not None]


def _has_prefix(run_id: str, prefix: str) -> bool:
    return run_id.startswith(prefix) or run_id.rpartition("-")[2].startswith(prefix)


def _by_name(view: View, name: str) -> list[Run]:
    runs = _named(view, name)
    experiment, slash, rest = name.partition("/")
    while not runs and slash:
        runs = [run for run in _named(view, rest) if run.experiment == experiment]
        more, slash, rest = rest.partition("/")
        experiment = f"{experiment}/{more}"
    return runs


def _named(view: View, name: str) -> list[Run]:
    live = view.live()
    runs = [run for item in live.values() if (run := view.live_run(item)).name == name]
    runs += [run for run in view.ask(lambda index: index.find_by_name(name)) if run.id not in live]
    return sorted(runs, key=lambda run: -run.start_ms)


def _unknown(view: View, name: str) -> RunNotFoundError:
    from difflib import get_close_matches

    recent = view.search(None, (), 500)
    near = get_close_matches(name, [run.name for run in recent], n=1, cutoff=0.7)
    if near:
        return RunNotFoundError(
            f"no run is called '{name}'",
            why=f"did you mean '{near[0]}'?",
            next=f"gittrack show {near[0]}",
        )
    if not recent:
        return RunNotFoundError(
            f"no run is called '{name}'",
            why="nothing has been recorded in this repository",
            next="gittrack demo",
        )
    shown = ", ".join(f"{run.short_id} {run.name}" for run in recent[:3])
    return RunNotFoundError(
        f"no run is called '{name}'", why=f"the latest are {shown}", next="gittrack log --oneline"
    )


def _describe(runs: Sequence[Run]) -> Iterable[str]:
    for run in runs[:_MOST_CANDIDATES]:
        yield f"{run.short_id} {run.experiment}/{run.name}"
    if len(runs) > _MOST_CANDIDATES:
        yield f"and {len(runs) - _MOST_CANDIDATES} more"
