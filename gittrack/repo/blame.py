"""Where the level of a metric shifts along the commits, and what changed there."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import median, median_low
from typing import NamedTuple

from gittrack.config import Config
from gittrack.core import query
from gittrack.core.bisection import History
from gittrack.core.diff import Change, changes_between
from gittrack.core.direction import direction, is_better
from gittrack.core.levels import MIN_POINTS, Level, find_levels
from gittrack.core.model import FINISHED, Run
from gittrack.core.query import Field
from gittrack.repo.archaeology import (
    absent_commits,
    read_history,
    read_range,
    split_changed,
)
from gittrack.repo.naming import Namer, has_key, metric_of, no_such_key
from gittrack.repo.view import View
from gittrack.store.ancestry import CommitInfo, FileStat, changed_files, read_commits
from gittrack.store.git import Git


class Side(NamedTuple):
    """A level, seen from a shift.

    `commit` is the one beside the shift, `here` its runs, newest first, and `run` the one of them
    that has its median. `commits` and `runs` count all that the level is the median of.
    """

    level: float
    commits: int
    runs: int
    commit: CommitInfo
    run: Run
    here: tuple[Run, ...]


class Shift(NamedTuple):
    """The level is another one from a commit on; `after.commit` is named for it.

    `between` counts the commits from one side to the other that have no value: any of them may be
    the one. `params` differ between the two runs, and `files` between the two commits.
    """

    before: Side
    after: Side
    better: bool | None
    between: int
    params: tuple[Change, ...]
    files: tuple[FileStat, ...]

    @property
    def is_weak(self) -> bool:
        """Whether a single run is all that speaks for one of the two levels."""
        return self.before.runs == 1 or self.after.runs == 1


class Blame(NamedTuple):
    """The shifts of a metric, oldest first; what there was to find them in.

    `shifts` are all `count` of them, or the first alone, as it was asked for. `way` is `max`,
    `min` or None, as in `core.direction`. `commits` counts the commits that have a value, of
    `history` in all. `left_out` are runs whose value is NaN or infinite, `changed` those of code
    that was not committed, `elsewhere` those of commits outside the range, and `absent` those of
    them whose commit is not here.
    """

    key: str
    stat: str
    way: str | None
    level: float | None
    count: int  # type: ignore[assignment]  # tuple.count is unused
    shifts: tuple[Shift, ...]
    commits: int
    runs: int
    history: int
    left_out: int
    changed: int
    elsewhere: int
    absent: int
    experiments: tuple[str, ...]
    is_shallow: bool

    @property
    def is_short(self) -> bool:
        """Whether there are too few commits to tell a shift from noise."""
        return self.commits < MIN_POINTS


class _Point(NamedTuple):
    commit: str
    runs: tuple[tuple[float, Run], ...]

    @property
    def value(self) -> float:
        return median(value for value, _ in self.runs)

    @property
    def run(self) -> Run:
        middle = median_low(value for value, _ in self.runs)
        return next(run for value, run in self.runs if value == middle)


def blame(
    git: Git,
    view: View,
    namer: Namer,
    config: Config,
    runs_at: Callable[[Sequence[str]], Mapping[str, Sequence[Run]]],
    metric: str,
    revisions: Sequence[str],
    experiment_id: str | None,
    where: str,
    *,
    every: bool,
) -> Blame:
    """Find the shifts of a metric; see `Repo.blame`."""
    key, stat = metric_of(metric)
    field = Field("metric", key, stat or "last")
    if not has_key(view, "metric", key):
        raise no_such_key(view, "metric", key)
    condition = query.parse(where, now_ms=time.time_ns() // 1_000_000)
    history = read_history(git, read_range(git, namer, revisions, "blame"))
    points: list[_Point] = []
    left_out = 0
    found = runs_at(history.order)
    own, changed = split_changed(git, found)

    def values_of(runs: Sequence[Run]) -> list[tuple[float, Run]]:
        valued = []
        for run in runs:
            value = query.field_value(field, run)
            if (
                isinstance(value, (int, float))
                and run.status == FINISHED
                and experiment_id in (None, run.experiment_id)
                and query.predicate(condition, run)
            ):
                valued.append((float(value), run))
        return valued

    for commit in history.order:
        valued = values_of(own.get(commit, ()))
        finite = tuple(item for item in valued if math.isfinite(item[0]))
        left_out += len(valued) - len(finite)
        if finite:
            points.append(_Point(commit, finite))
    levels = find_levels([point.value for point in points])
    way = direction(key, config.metrics_maximize, config.metrics_minimize)
    # Counted, not read: a store may hold many times the runs of this range.
    known = view.ask(lambda index: index.commits_with(key, experiment_id))
    inside = {run.commit for runs in found.values() for run in runs}
    outside = {commit: count for commit, count in known.items() if commit not in inside}
    absent = absent_commits(git, list(outside)) if outside else set()
    return Blame(
        key=key,
        stat=field.stat,
        way=way,
        level=levels[-1].value if levels else None,
        count=max(0, len(levels) - 1),
        shifts=tuple(_shifts(git, history, points, levels if every else levels[:2], way)),
        commits=len(points),
        runs=sum(len(point.runs) for point in points),
        history=len(history.order),
        left_out=left_out,
        changed=sum(len(values_of(runs)) for runs in changed.values()),
        elsewhere=sum(outside.values()),
        absent=sum(outside[commit] for commit in absent),
        experiments=tuple(sorted({run.experiment for p in points for _, run in p.runs})),
        is_shallow=git.is_shallow,
    )


def _shifts(
    git: Git,
    history: History,
    points: Sequence[_Point],
    levels: Sequence[Level],
    way: str | None,
) -> list[Shift]:
    beside = [at for level in levels[1:] for at in (level.start - 1, level.start)]
    infos = read_commits(git, [points[at].commit for at in dict.fromkeys(beside)])
    shifts = []
    measured = {point.commit for point in points}
    for before, after in pairwise(levels):
        old, new = points[after.start - 1], points[after.start]
        shifts.append(
            Shift(
                before=_side(points, before, old, infos),
                after=_side(points, after, new, infos),
                better=is_better(after.value - before.value, way),
                between=_unmeasured(history, old.commit, new.commit, measured),
                params=changes_between(old.run.params, new.run.params)[0],
                files=tuple(changed_files(git, old.commit, new.commit)),
            )
        )
    return shifts


def _side(
    points: Sequence[_Point], level: Level, beside: _Point, infos: Mapping[str, CommitInfo]
) -> Side:
    part = points[level.start : level.end]
    return Side(
        level=level.value,
        commits=len(part),
        runs=sum(len(point.runs) for point in part),
        commit=infos[beside.commit],
        run=beside.run,
        here=tuple(run for _, run in beside.runs),
    )


def _unmeasured(history: History, old: str, new: str, measured: set[str]) -> int:
    """How many commits that `new` reaches and `old` does not have no value."""
    below = _reached(history, old)
    return len(_reached(history, new) - below - measured)


def _reached(history: History, commit: str) -> set[str]:
    found: set[str] = set()
    waiting = [commit]
    while waiting:
        one = waiting.pop()
        if one in history.parents and one not in found:
            found.add(one)
            waiting += history.parents[one]
    return found
