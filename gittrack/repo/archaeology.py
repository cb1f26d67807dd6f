"""Which commit changed a result: what `bisect` and `blame` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gittrack.core.bisection import History
from gittrack.core.committed import is_of_commit
from gittrack.core.model import Run
from gittrack.errors import GitError, GittrackError
from gittrack.repo.linking import AMEND, SQUASH
from gittrack.repo.naming import Namer, find_commit
from gittrack.repo.select import unknown_revision
from gittrack.store.ancestry import Tips, list_history, parse_range
from gittrack.store.git import Git

#: Links to commits that hold other code than what ran, if the trees are not the same.
_OTHER_CODE = (AMEND, SQUASH)


def read_range(git: Git, namer: Namer, revisions: Sequence[str], command: str) -> Tips:
    """The ends of a range.

    Raises:
        UsageError: git does not know a revision.
        GittrackError: there is no commit yet.
    """
    try:
        return parse_range(git, revisions)
    except GitError as error:
        if not find_commit(git, "HEAD") and not git.run(
            "rev-list", "-1", "--branches", "--remotes"
        ):
            raise GittrackError(
                "there is no commit yet",
                why="results are compared from commit to commit",
                next="git commit",
            ) from None
        raise unknown_revision(git, revisions, namer, error.why, command) from None


def read_history(git: Git, tips: Tips) -> History:
    """All commits of a range, each after its parents."""
    return History(*list_history(git, tips))


def split_changed(
    git: Git, found: Mapping[str, Sequence[Run]]
) -> tuple[dict[str, list[Run]], dict[str, list[Run]]]:
    """The runs of the code that is committed there, and those of code that was changed.

    A run on a dirty tree says nothing about its commit, unless the commit holds just that tree; no
    more does one of a commit that was amended, or squashed with others, about what it became.
    """

    def is_doubtful(run: Run, commit: str) -> bool:
        # What is recorded from a commit is linked only to commits that hold the same.
        return run.dirty or (run.links.get(commit) in _OTHER_CODE and not is_of_commit(run))

    doubtful = [c for c, runs in found.items() if any(is_doubtful(run, c) for run in runs)]
    trees = git.cat_file().read_many(f"{commit}^{{tree}}" for commit in doubtful)
    tree_of = {
        commit: tree.oid for commit, tree in zip(doubtful, trees, strict=True) if tree is not None
    }
    own: dict[str, list[Run]] = {}
    changed: dict[str, list[Run]] = {}
    for commit, runs in found.items():
        for run in runs:
            is_own = not is_doubtful(run, commit) or run.tree == tree_of.get(commit, "")
            (own if is_own else changed).setdefault(commit, []).append(run)
    return own, changed


def absent_commits(git: Git, commits: Sequence[str]) -> set[str]:
    """Those of these commits that are not in this repository."""
    asked = "".join(f"{commit}\n" for commit in commits).encode()
    said = git.run("cat-file", "--batch-check=%(objecttype)", input=asked).decode().splitlines()
    return {commit for commit, kind in zip(commits, said, strict=True) if kind.strip() != "commit"}
