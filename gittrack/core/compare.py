"""Several runs side by side. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.core.diff import same_value
from gittrack.core.headline import in_order
from gittrack.core.model import MetricSummary, Run


class Line(NamedTuple):
    """One key of several runs; a run that lacks it has `MISSING`."""

    kind: str  # fact | param | metric | tag
    key: str
    values: tuple[Any, ...]
    differs: bool


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


#: Not None: a param may be null.
MISSING = _Missing()

_FACTS = (
    "experiment",
    "status",
    "exit_code",
    "branch",
    "commit",
    "dirty",
    "entry",
    "author",
    "host",
)


class Comparison(list[Line]):
    """The lines of a comparison, and the runs that it compares, the baseline first."""

    def __init__(self, runs: Sequence[Run], lines: Iterable[Line]) -> None:
        super().__init__(lines)
        self.runs = tuple(runs)

    def _repr_html_(self) -> str:
        from gittrack.core.html import render_comparison

        return render_comparison(self.runs, self, MISSING)


def compare_runs(runs: Sequence[Run], *, equal: bool = False) -> Comparison:
    """What differs between runs: metrics (last values), params, tags and facts, in that order.

    Args:
        equal: also what does not differ.
    """
    summaries: dict[str, MetricSummary] = {k: v for run in runs for k, v in run.metrics.items()}
    lines = [Line("metric", key, *_values(runs, _last(key))) for key in in_order(summaries)]
    for kind, read in (("param", _params), ("tag", _tags)):
        keys = sorted({key for run in runs for key in read(run)})
        lines += [Line(kind, key, *_values(runs, _key(read, key))) for key in keys]
    lines += [Line("fact", name, *_values(runs, _fact(name))) for name in _FACTS]
    return Comparison(runs, (line for line in lines if equal or line.differs))


def _values(runs: Sequence[Run], read: Callable[[Run], Any]) -> tuple[tuple[Any, ...], bool]:
    values = tuple(read(run) for run in runs)
    return values, any(not same_value(value, values[0]) for value in values)


def _fact(name: str) -> Callable[[Run], Any]:
    return lambda run: MISSING if getattr(run, name) in (None, "") else getattr(run, name)


def _last(key: str) -> Callable[[Run], Any]:
    return lambda run: run.metrics[key].last if key in run.metrics else MISSING


def _key(read: Callable[[Run], Mapping[str, Any]], key: str) -> Callable[[Run], Any]:
    return lambda run: read(run).get(key, MISSING)


def _params(run: Run) -> Mapping[str, Any]:
    return run.params


def _tags(run: Run) -> Mapping[str, Any]:
    return run.tags
