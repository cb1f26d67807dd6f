"""The first commit at which a condition holds, from recorded runs and, if asked, from new ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gittrack.core import query
from gittrack.core.bisection import History, Search, names_nan, needed_fields, search
from gittrack.core.diff import Change, changes_between
from gittrack.core.model import END_STATUSES, FINISHED, ParamValue, Run
from gittrack.core.query import Expr, Field
from gittrack.errors import GittrackError, UndecidedError, UsageError
from gittrack.repo.archaeology import read_history, read_range, split_changed
from gittrack.repo.naming import Namer, has_key, no_such_key
from gittrack.repo.view import View
from gittrack.store.ancestry import CommitInfo, FileStat, Tips, changed_files, read_commits
from gittrack.store.git import Git
from gittrack.store.linked import laid_out, sweep

#: Gets a folder with the files of a commit; its exit code: 0 done, 125 cannot be tried.
Execute = Callable[[str], int]
EXIT_SKIP = 125
#: From here on the program did not start; from 128 on git takes it for a reason to stop.
_FIRST_ABORT = 126
#: Of a long list of suspects, what is told.
MOST_SUSPECTS = 10


class Value(NamedTuple):
    """What the condition speaks of, in the runs of both sides; None where there is none."""

    field: Field
    before: ParamValue
    after: ParamValue


class Bisection(NamedTuple):
    """What a bisection found.

    `first_bad` is the answer, if there is one; else it is one of `suspects`, of which
    at most `MOST_SUSPECTS` are told, the newest first, and `count` says how many there are.
    `before` and `after` are the runs that judge the answer and what came before it, None where no
    run does. `params` differ between them, `files` between the commit and its first parent.

    `next` would have to be tried next, about `steps` more would answer. `skipped` are commits
    that could not be judged, and why; those of `changed` have runs, but of code that was not
    committed. `known` of `history` commits had runs that
    judge them, of which `tried` were made now. `back` and `apart` are contradictions, as in
    `core.bisection.Search`.
    """

    first_bad: CommitInfo | None
    suspects: tuple[CommitInfo, ...]
    count: int  # type: ignore[assignment]  # tuple.count is unused
    bad: CommitInfo
    before: Run | None
    after: Run | None
    values: tuple[Value, ...]
    params: tuple[Change, ...]
    files: tuple[FileStat, ...]
    next: CommitInfo | None
    steps: int
    skipped: Mapping[str, str]
    changed: tuple[str, ...]
    history: int
    known: int
    tried: int
    back: tuple[tuple[CommitInfo, CommitInfo], ...]
    apart: tuple[CommitInfo, ...]
    is_shallow: bool


class Bisector:
    """Judges the commits of a range by their runs.

    Args:
        runs_at: gives the runs of commits, newest first.
        where: the condition that describes the bad commits.
        experiment_id: only runs of this experiment count, if one is given.
        progress: is told what happens, a line at a time.
    Raises:
        QueryError: the condition cannot be understood.
    """

    def __init__(
        self,
        git: Git,
        view: View,
        namer: Namer,
        runs_at: Callable[[Sequence[str]], Mapping[str, Sequence[Run]]],
        where: str,
        experiment_id: str | None,
        progress: Callable[[str], None],
    ) -> None:
        self._git = git
        self._view = view
        self._namer = namer
        self._runs_at = runs_at
        self._where = where
        self._expr = query.parse(where, now_ms=time.time_ns() // 1_000_000)
        self._needed = sorted(needed_fields(self._expr))
        self._experiment_id = experiment_id
        self._progress = progress
        self._judges: dict[str, Run] = {}
        self._answers: dict[str, bool] = {}
        self._skipped: dict[str, str] = {}
        self._changed: set[str] = set()
        if not where.strip():
            raise UsageError(
                "there is no condition",
                why="--where describes the bad commits",
                next="gittrack bisect GOOD..BAD --where 'metrics.acc < 0.9'",
            )

    def bisect(
        self, revisions: Sequence[str], execute: Execute | None, max_runs: int | None
    ) -> Bisection:
        """Find the first bad commit; see `Repo.bisect`."""
        sweep(self._git)
        if execute is None:
            for field in self._needed:
                if not has_key(self._view, field.kind, field.key):
                    raise no_such_key(self._view, field.kind, field.key)
        tips = read_range(self._git, self._namer, revisions, "bisect")
        bad = _bad_of(tips, revisions)
        history = read_history(self._git, tips)
        if not history.order:
            raise UsageError(
                f"there is no commit in {' '.join(revisions)}",
                why="the bad commit is the good one, or lies before it",
                next="gittrack bisect GOOD..BAD, the older commit first",
            )
        self._judge([*history.order, *tips.unwanted])
        self._check_ends(tips, bad)
        tried = 0
        found = search(history, bad, self._answers)
        while execute is not None and found.next is not None and tried != max_runs:
            self._try(found.next, found, execute)
            tried += 1
            found = search(history, bad, self._answers, self._skipped)
        return self._result(history, tips, found, tried)

    # -- judge ---------------------------------------------------------------------------

    def _judge(self, commits: Sequence[str]) -> None:
        own, changed = split_changed(self._git, self._runs_at(commits))
        self._changed.update(changed)
        for commit, runs in own.items():
            for run in runs:
                if self._may_judge(run):
                    self._judges[commit] = run
                    self._answers[commit] = query.predicate(self._expr, run)
                    break

    def _may_judge(self, run: Run) -> bool:
        # The values of a run that failed are not what its commit gives.
        statuses = END_STATUSES if _speaks_of_failing(self._expr) else (FINISHED,)
        return (
            run.status in statuses
            and self._experiment_id in (None, run.experiment_id)
            and all(self._has(field, run) for field in self._needed)
        )

    def _has(self, field: Field, run: Run) -> bool:
        # NaN fails every comparison, so a commit that diverged would pass for a good one.
        value = query.field_value(field, run)
        return value is not None and (value == value or names_nan(self._expr))

    def _check_ends(self, tips: Tips, bad: str) -> None:
        ends = [(bad, True), *((good, False) for good in tips.unwanted)]
        for commit, is_bad in ends:
            if self._answers.get(commit, is_bad) is is_bad:
                continue
            run = self._judges[commit]
            what = "does not hold at the bad commit" if is_bad else "holds at the good commit"
            already = "" if is_bad else " already"
            values = ", ".join(
                f"{field.key} = {query.field_value(field, run)}" for field in self._needed
            )
            raise UndecidedError(
                f"the condition {what} {commit[:12]}{already}",
                why=f"run {run.short_id} {run.name} was recorded there"
                + (f": {values}" if values else ""),
                next=f"gittrack show {run.short_id}, then choose another range or condition",
            )

    # -- try -----------------------------------------------------------------------------

    def _try(self, commit: str, found: Search, execute: Execute) -> None:
        info = read_commits(self._git, [commit])[commit]
        self._progress(
            f"{len(found.suspects)} commits may be the first, about {found.steps} more to run;"
            f" now {info.short} {info.subject}"
        )
        with laid_out(self._git, commit) as folder:
            code = execute(folder)
        if code != EXIT_SKIP and code >= _FIRST_ABORT:
            why = "the program did not start" if code < 128 else "git bisect stops there, too"
            raise GittrackError(
                f"the program ended with {code} at {info.short}, so nothing more was run",
                why=f"{why}; a commit that cannot be tried ends with {EXIT_SKIP}",
                next="the same command again goes on from the runs that there are",
            )
        if code == EXIT_SKIP:
            self._skipped[commit] = f"its run ended with {EXIT_SKIP}"
        else:
            self._judge([commit])
            if commit not in self._answers:
                self._skipped[commit] = self._why_not(commit, code)
        skipped = self._skipped.get(commit)
        said = f"skipped: {skipped}" if skipped else "bad" if self._answers[commit] else "good"
        self._progress(f"{info.short} is {said}")

    def _why_not(self, commit: str, code: int) -> str:
        if code:
            return f"its run ended with {code}"
        runs = self._runs_at([commit]).get(commit, ())
        if not runs:
            return "nothing was recorded there"
        if runs[0].dirty:
            return "its run is of code that was changed"
        missing = [
            f"{field.kind} {field.key}" for field in self._needed if not self._has(field, runs[0])
        ]
        return f"its run has no {' and no '.join(missing)}" if missing else "its run did not finish"

    # -- result --------------------------------------------------------------------------

    def _result(self, history: History, tips: Tips, found: Search, tried: int) -> Bisection:
        told = found.suspects[::-1][:MOST_SUSPECTS]
        named = [*told, found.bad, *found.apart, *(c for pair in found.back for c in pair)]
        named += [found.next] if found.next is not None else []
        infos = read_commits(self._git, list(dict.fromkeys(named)))
        before = after = None
        files: Sequence[FileStat] = ()
        if found.first_bad is not None:
            parents = history.parents[found.first_bad]
            files = changed_files(self._git, parents[0] if parents else None, found.first_bad)
            before = self._run_before(parents, tips)
            after = self._judges.get(found.first_bad)
        params: tuple[Change, ...] = ()
        if before is not None and after is not None:
            params = changes_between(before.params, after.params)[0]
        return Bisection(
            first_bad=None if found.first_bad is None else infos[found.first_bad],
            suspects=tuple(infos[commit] for commit in told),
            count=len(found.suspects),
            bad=infos[found.bad],
            before=before,
            after=after,
            values=tuple(
                Value(field, _value(field, before), _value(field, after))
                for field in dict.fromkeys(query.iter_fields(self._expr))
            ),
            params=params,
            files=tuple(files),
            next=None if found.next is None else infos[found.next],
            steps=found.steps,
            skipped=self._skipped,
            changed=tuple(c for c in told if c in self._changed and c not in self._answers),
            history=len(history.order),
            known=sum(commit in self._answers for commit in history.order),
            tried=tried,
            back=tuple((infos[a], infos[b]) for a, b in found.back),
            apart=tuple(infos[commit] for commit in found.apart),
            is_shallow=self._git.is_shallow,
        )

    def _run_before(self, parents: Sequence[str], tips: Tips) -> Run | None:
        """The run to compare the answer with: of a parent, else of a good commit of the range."""
        self._judge([parent for parent in parents if parent not in self._answers])
        places = [*parents, *tips.unwanted]
        good = [commit for commit in places if self._answers.get(commit) is False]
        return self._judges[good[0]] if good else None


def _bad_of(tips: Tips, revisions: Sequence[str]) -> str:
    if len(tips.wanted) != 1:
        count = len(tips.wanted) or "no"
        raise UsageError(
            f"{' '.join(revisions)} names {count} bad commit{'s' * (count != 1)}",
            why="there is one bad commit, and any number of good ones",
            next="gittrack bisect GOOD..BAD --where FILTER, or BAD ^GOOD1 ^GOOD2",
        )
    return tips.wanted[0]


def _speaks_of_failing(expr: Expr) -> bool:
    fields: Iterable[Field] = query.iter_fields(expr)
    return any(f.kind == "attribute" and f.key in ("status", "exit_code") for f in fields)


def _value(field: Field, run: Run | None) -> ParamValue:
    return None if run is None else query.field_value(field, run)
