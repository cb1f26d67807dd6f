"""Which columns of runs a table shows, and what stands in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from gittrack.cli.output import text as t
from gittrack.cli.output.records import render_json, strict, time_or_none
from gittrack.core.dataset import digests_of
from gittrack.core.headline import headline
from gittrack.core.model import Run
from gittrack.errors import UsageError

Rows = tuple[list[str], list[list[str]]]

_FACTS: dict[str, Callable[[Run], Any]] = {
    "id": lambda run: run.id,
    "short_id": lambda run: run.short_id,
    "name": lambda run: run.name,
    "experiment": lambda run: run.experiment,
    "status": lambda run: run.status,
    "start": lambda run: time_or_none(run.start_ms),
    "end": lambda run: time_or_none(run.end_ms),
    "duration_s": lambda run: None if run.duration_ms is None else run.duration_ms / 1000,
    "commit": lambda run: run.commit,
    "branch": lambda run: run.branch,
    "dirty": lambda run: run.dirty,
    "author": lambda run: run.author,
    "parent": lambda run: run.parent,
    "description": lambda run: run.description,
    "deleted": lambda run: run.deleted,
    "host": lambda run: run.host,
    "entry": lambda run: run.entry,
    "exit_code": lambda run: run.exit_code,
    "tree": lambda run: run.tree,
}
_MACHINE_FACTS = (
    "id", "name", "experiment", "status", "start", "end", "duration_s", "commit", "branch",
    "dirty", "author", "parent", "description", "host",
)  # fmt: skip
_VALUES: dict[str, Callable[[Run], dict[str, Any]]] = {
    "params": lambda run: dict(run.params),
    "metrics": lambda run: {key: summary.last for key, summary in run.metrics.items()},
    "tags": lambda run: dict(run.tags),
    "datasets": lambda run: digests_of(run.inputs),
}
#: Columns that every run has.
FACT_NAMES = tuple(_FACTS)
_MOST_VALUES = 4
_NAMES = ("id", "short_id", "name")


def machine_rows(runs: Sequence[Run], columns: Sequence[str]) -> Rows:
    """Header and rows for programs: exact values, every key of every run by default."""
    names = expand(columns, runs) or [*_MACHINE_FACTS, *_value_columns(runs)]
    readers = [reader(name, runs) for name in names]
    return names, [[machine_text(read(run)) for read in readers] for run in runs]


def table_rows(runs: Sequence[Run], columns: Sequence[str], *, only_changed: bool = False) -> Rows:
    """Header and rows for people: the telling columns by default.

    Args:
        only_changed: leave out columns in which all runs agree, besides id and name.
    """
    names = expand(columns, runs) or _telling(runs)
    if only_changed:
        names = [name for name in names if name in _NAMES or _varies(runs, reader(name, runs))]
    readers = [reader(name, runs) for name in names]
    kinds = [_kind(name) for name in names]
    rows = [
        [cell_text(read(run), kind) for read, kind in zip(readers, kinds, strict=True)]
        for run in runs
    ]
    return [t.safe(name) for name in (names if columns else _shortened(names))], rows


def select(runs: Sequence[Run], columns: Sequence[str]) -> list[dict[str, Any]]:
    """One flat mapping a run with these columns."""
    readers = {name: reader(name, runs) for name in expand(columns, runs)}
    return [{name: read(run) for name, read in readers.items()} for run in runs]


def machine_text(value: Any) -> str:
    """A value in CSV: nothing for null, text bare, everything else as JSON spells it."""
    value = strict(value)
    if value is None or isinstance(value, str):
        return value or ""
    return render_json(value, None).rstrip("\n")


def cell_text(value: Any, kind: str = "") -> str:
    """A value in a table for people; `kind` tells metrics, whose 3.0 is a 3, from params."""
    if value is None:
        return ""
    return t.number(value) if kind == "metrics" else t.value_text(value)


#: What filters call a column; both words work.
_ALIASES = {
    "run_id": "id",
    "run_name": "name",
    "run": "short_id",
    "user": "author",
    "start_time": "start",
    "end_time": "end",
    "duration": "duration_s",
    "exit": "exit_code",
}
_STAT = re.compile(r"(last|min|max|count)\((?:metrics?\.)?(.+)\)")


def expand(columns: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The columns with `params.*` and the like replaced by the keys that the runs have."""
    names: list[str] = []
    for name in columns:
        kind, _, pattern = name.partition(".")
        if kind in _VALUES and "*" in pattern:
            keys = sorted({key for run in runs for key in _VALUES[kind](run)})
            names += [f"{kind}.{key}" for key in keys if fnmatchcase(key, pattern)]
        else:
            names.append(name)
    return list(dict.fromkeys(names))


def reader(name: str, runs: Sequence[Run]) -> Callable[[Run], Any]:
    """What reads a column: a fact, `params.KEY`, `max(metrics.KEY)`, or a key alone.

    Raises:
        UsageError: no run has such a column.
    """
    name = _ALIASES.get(name, name)
    if name in _FACTS:
        return _FACTS[name]
    stat = _STAT.fullmatch(name)
    if stat is not None:
        which, key = stat[1], _unquoted(stat[2])
        return lambda run: getattr(run.metrics[key], which) if key in run.metrics else None
    kind, _, key = name.partition(".")
    if kind in _VALUES and key:
        key = _unquoted(key)
        if kind == "metrics":  # without a mapping of all of them for every cell
            return lambda run: run.metrics[key].last if key in run.metrics else None
        return lambda run: _VALUES[kind](run).get(key)
    for read in _VALUES.values():
        if any(name in read(run) for run in runs):
            return lambda run: read(run).get(name)
    from difflib import get_close_matches

    known = [*_FACTS, *_value_columns(runs)]
    known += [column.partition(".")[2] for column in known if "." in column]
    near = get_close_matches(name[:200], known, n=1)
    raise UsageError(
        f"there is no column '{name}'",
        why=f"did you mean '{near[0]}'?" if near else f"there are {', '.join(_FACTS)}",
        next="gittrack log --columns name,params.KEY,metrics.KEY,'max(metrics.KEY)'",
    )


def _unquoted(key: str) -> str:
    return key[1:-1] if len(key) > 2 and key[0] == key[-1] and key[0] in '`"' else key


def _kind(name: str) -> str:
    """What a column shows, as far as `cell_text` cares."""
    stat = _STAT.fullmatch(name)
    return "metrics" if stat and stat[1] != "count" else name.partition(".")[0]


def _value_columns(runs: Iterable[Run]) -> list[str]:
    found: dict[str, set[str]] = {kind: set() for kind in _VALUES}
    for run in runs:
        for kind, read in _VALUES.items():
            found[kind].update(read(run))
    return [f"{kind}.{key}" for kind, keys in found.items() for key in sorted(keys)]


def _telling(runs: Sequence[Run]) -> list[str]:
    """What differs between the runs, and the metrics that stand for them."""
    names = ["short_id", "name"]
    names += [name for name in ("experiment", "status", "dirty") if _varies(runs, _FACTS[name])]
    summaries = {key: summary for run in runs for key, summary in run.metrics.items()}
    names += [f"metrics.{key}" for key in headline(summaries, _MOST_VALUES)]
    keys = dict.fromkeys(key for run in runs for key in run.params)
    varying = [key for key in keys if _varies(runs, lambda run, key=key: run.params.get(key))]  # type: ignore[misc]
    return names + [f"params.{key}" for key in varying[:_MOST_VALUES]]


def _shortened(names: Sequence[str]) -> list[str]:
    """Names without `metrics.` or `params.` where they are still told apart."""
    short = ["run" if name == "short_id" else name.partition(".")[2] or name for name in names]
    return [
        part if short.count(part) == 1 else name for part, name in zip(short, names, strict=True)
    ]


def _varies(runs: Sequence[Run], read: Callable[[Run], Any]) -> bool:
    return len({repr(read(run)) for run in runs}) > 1
