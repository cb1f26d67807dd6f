"""The first bad commit of a history: which to try next, and what the answers say. Pure.

A commit is bad if the condition holds there. As `git bisect` does, one commit is taken to have
brought it: the bad ones are it and those that descend from it. So what a good commit reaches is
good, and the first bad one is reached from every bad one.

Source: bisect.c of git; its choice, the commit with the greatest min(reached, not reached), needs
at most log2(n) answers on a line, and log1.5(n) where no commit has more than two parents
(Courtiel, Dorbec and Lecoq (2022), Theoretical Analysis of git bisect, theorem 3).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.query import And, Expr, Field, In, IsNull, Not, Or


class History(NamedTuple):
    """Commits, each after its parents, and the parents of each; those outside do not matter."""

    order: Sequence[str]
    parents: Mapping[str, Sequence[str]]

    def inside(self, commits: Collection[str]) -> History:
        """The part of it that these commits are."""
        order = [commit for commit in self.order if commit in commits]
        return History(order, {c: [p for p in self.parents[c] if p in commits] for c in order})


class Search(NamedTuple):
    """What is known after some answers.

    The first bad commit is one of `suspects`, in the order of the history; it is `first_bad` where
    only one is left and known to be bad. `bad` is the lowest commit that is known to be. `next` is
    the one to try, None when nothing can be tried any more; `steps` is about how many more answers
    are needed.

    `back` are pairs of a bad commit and a good one that descends from it: there it had gone away
    again, and what is looked for is how it came back. `apart` are bad commits that the first bad
    one cannot have caused, because they share no suspect with `bad`.
    """

    suspects: tuple[str, ...]
    first_bad: str | None
    bad: str
    next: str | None
    steps: int
    back: tuple[tuple[str, str], ...] = ()
    apart: tuple[str, ...] = ()


def search(
    history: History,
    bad: str,
    answers: Mapping[str, bool],
    skipped: Collection[str] = (),
) -> Search:
    """What the answers say, and which commit to try next.

    Args:
        history: all that the bad commit reaches and no good one does.
        bad: the commit that reaches all others.
        answers: whether each commit that was tried is bad; others do not matter.
        skipped: those that cannot be tried.
    """
    below_good = _below(history, [c for c in history.order if answers.get(c) is False])
    back = tuple(
        (commit, below_good[commit])
        for commit in history.order
        if answers.get(commit) and commit in below_good
    )
    left = {commit for commit in history.order if commit not in below_good}
    left.add(bad)
    suspects, lowest, apart = _common(history.inside(left), bad, answers)
    part = history.inside(suspects)
    known = {commit for commit in part.order if answers.get(commit) or commit == bad}
    best = _halving(part, known | {*skipped})
    return Search(
        suspects=tuple(part.order),
        first_bad=part.order[0] if len(part.order) == 1 and known else None,
        bad=lowest,
        next=best,
        steps=0 if best is None else (len(part.order) - len(known)).bit_length(),
        back=back,
        apart=tuple(apart),
    )


def _below(history: History, commits: Sequence[str]) -> dict[str, str]:
    """Everything that these commits reach, themselves too, each with one that reaches it."""
    found = {commit: commit for commit in commits}
    for commit in reversed(history.order):
        if commit in found:
            for parent in history.parents[commit]:
                found.setdefault(parent, found[commit])
    return found


def _common(
    history: History, bad: str, answers: Mapping[str, bool]
) -> tuple[set[str], str, list[str]]:
    """What all bad commits reach, the lowest of them, and those that reach none of it."""
    has_bad_below: set[str] = set()
    lowest = []
    for commit in history.order:
        if any(parent in has_bad_below for parent in history.parents[commit]):
            has_bad_below.add(commit)
        elif answers.get(commit):
            has_bad_below.add(commit)
            lowest.append(commit)
    found = set(history.order)
    apart: list[str] = []
    # The newest first: of two that cannot be explained together the later one is asked about.
    for commit in reversed(lowest):
        common = found & _below(history, [commit]).keys()
        if common:
            found, bad = common, commit
        else:
            apart.append(commit)
    return found, bad, apart[::-1]


def _halving(history: History, without: Collection[str]) -> str | None:
    """The commit whose answer leaves least, whatever it is; the first of equal ones."""
    count = len(history.order)
    best, best_gain = None, -1
    for commit, reached in count_reached(history).items():
        gain = min(reached, count - reached)
        if gain > best_gain and commit not in without:
            best, best_gain = commit, gain
    return best


def count_reached(history: History) -> dict[str, int]:
    """How many commits each one reaches, itself too.

    Sets are bits of integers, each kept until its last child has taken it in: 10,000 commits
    take 20 ms.
    """
    waiting = dict.fromkeys(history.order, 0)
    for commit in history.order:
        for parent in history.parents[commit]:
            waiting[parent] += 1
    sets: dict[str, int] = {}
    counts = {}
    for at, commit in enumerate(history.order):
        reached = 1 << at
        for parent in history.parents[commit]:
            reached |= sets[parent]
            waiting[parent] -= 1
            if not waiting[parent]:
                del sets[parent]
        counts[commit] = reached.bit_count()
        if waiting[commit]:
            sets[commit] = reached
    return counts


def needed_fields(expr: Expr) -> set[Field]:
    """The metrics and params that a run must have to be judged by a condition.

    What is only asked whether it is null may be missing.
    """
    if isinstance(expr, (And, Or)):
        return {field for item in expr.items for field in needed_fields(item)}
    if isinstance(expr, Not):
        return needed_fields(expr.item)
    if isinstance(expr, IsNull) or expr.field.kind not in ("metric", "param"):
        return set()
    return {expr.field}


def names_nan(expr: Expr) -> bool:
    """Whether a condition asks for NaN by name."""
    if isinstance(expr, (And, Or)):
        return any(map(names_nan, expr.items))
    if isinstance(expr, Not):
        return names_nan(expr.item)
    if isinstance(expr, IsNull):
        return False
    values = expr.values if isinstance(expr, In) else (expr.value,)
    return any(value != value for value in values)
