"""Runs of the same moment: commits have whole seconds, and a rebase makes many in one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from gittrack.core.committed import is_of_commit
from gittrack.core.model import Run
from gittrack.core.names import is_object_id
from gittrack.store.git import Git


def untie(git: Git, runs: Sequence[Run]) -> list[Run]:
    """Runs, newest first, of which those recorded from commits of one second follow git's order.

    A commit comes before its ancestors, as `git log` has it; a run that has several stands where
    the first of them does. Nothing is asked where no two runs are of the same second, and what is
    not here stays behind what is.
    """
    groups = [list(group) for _, group in groupby(runs, lambda run: run.start_ms)]
    tied = [run for group in groups if len(group) > 1 for run in group if is_of_commit(run)]
    if not tied:
        return list(runs)
    oids = {oid for run in tied for oid in run.commits if is_object_id(oid)}
    since_s = min(run.start_ms for run in tied) // 1000
    out = git.run(
        "rev-list", "--topo-order", f"--max-age={since_s}", "--ignore-missing", "--stdin",
        input="".join(f"{oid}\n" for oid in sorted(oids)).encode(), check=False,
    )  # fmt: skip
    ranks = {oid: at for at, oid in enumerate(out.decode().split())}
    last = len(ranks)

    def rank(run: Run) -> int:
        return min((ranks.get(oid, last) for oid in run.commits), default=last)

    return [run for group in groups for run in sorted(group, key=rank)]
