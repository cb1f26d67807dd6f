"""Which runs belong to a commit that was made after them.

History is rewritten: commits are amended, rebased, picked, squashed, filtered. A run keeps the
commit that it was recorded at, and gets a link to each commit that took its place:

- `amend`, `rebase`, `filter-repo`: git, or git-filter-repo, said that the one became the other;
- `tree`: the commit holds exactly the files that ran;
- `trailer`: its message names the run;
- `patch`: it makes the same change as the run's commit, elsewhere in history;
- `squash`: it makes all the changes of a branch that the run's commit is on, or git wrote so;
- `differs in ...`: the run was made of uncommitted changes, and the commit after it holds some of
  them; these files are otherwise;
- `results`: the commit after the run holds results, all of which the run has.

A run that was itself recorded from a commit holds what that one held: it is linked only to commits
that hold the same. Patches are compared as git-patch-id does; links are guesses in no case where
git itself can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.commits import Commit, close_over
from gittrack.core.committed import Held, is_of_commit, run_id_of
from gittrack.core.model import Run
from gittrack.core.names import one_line
from gittrack.core.query import Compare, Field, In, Order
from gittrack.errors import GittrackError
from gittrack.repo.sources import Sources
from gittrack.repo.view import View
from gittrack.store.commits import (
    list_apart,
    list_commits,
    merge_base,
    patch_ids,
    range_patch_ids,
    read_commits,
)
from gittrack.store.git import Git

AMEND, SQUASH = "amend", "squash"
TREE, TRAILER, PATCH, DIFFERS = "tree", "trailer", "patch", "differs in"
RESULTS = "results"
#: How many of the latest commits with runs a new commit is compared with by its changes.
_MOST_PATCHES = 200
#: Squashed commits are looked for on so many branches, but on some beside each of so many lines of
#: new commits; each pair takes git 5 ms.
_MOST_TIPS, _MOST_LINES, _SOME_TIPS = 50, 10, 10
_MOST_FILES = 5
_TREE = Field("attribute", "tree")
_START = Order(Field("attribute", "start_time"), descending=True)


class Link(NamedTuple):
    """A run, a commit that it belongs to, and why."""

    run_id: str
    commit: str
    how: str


class Linker:
    """Finds the links of new commits, one after the other.

    Args:
        rewrites: a commit -> what it was made of, each with git's word for how.
        tips: commits that branches point to, or pointed to lately.
        held: what a commit holds that could be recorded, or None.
        sources: opens the trees of what ran.
        patches: the ids of changes by commit, of those that are known; more are put in.
    """

    def __init__(
        self,
        git: Git,
        view: View,
        rewrites: Mapping[str, Mapping[str, str]],
        tips: Sequence[str],
        held: Callable[[Commit], Held | None],
        sources: Callable[[], Sources],
        patches: dict[str, str],
    ) -> None:
        self._git = git
        self._view = view
        self._rewrites = rewrites
        self._tips = tips
        self._held = held
        self._sources = sources
        self._patches = patches
        self._links: dict[tuple[str, str], Link] = {}
        self._at: dict[str, list[Run]] = {}
        self._by_tree: dict[str, list[Run]] = {}
        self._by_patch: dict[str, list[str]] = {}
        self._there: list[str] = []
        self._gone: set[str] = set()
        self._olds: dict[str, dict[str, str]] = {}
        self._parents: Mapping[str, str] = {}
        self._ends: list[str] = []
        self._branches: dict[str, tuple[str, str]] | None = None

    def prepare(self, commits: Sequence[Commit], parents: Mapping[str, str], *, most: int) -> None:
        """Ask for everything that is needed to link these commits.

        Args:
            commits: each after its parents, and after those that it may be made of.
            parents: the trees of their parents.
            most: of how many of the latest the changes are looked at.
        """
        self._parents = parents
        # Where lines of new commits end: main's, and those that were merged into others.
        firsts = {commit.parents[0] for commit in commits if commit.parents}
        self._ends = [commit.oid for commit in commits if commit.oid not in firsts][-_MOST_LINES:]
        pairs = {new: set(olds) for new, olds in self._rewrites.items()}
        for commit in commits:
            words = self._rewrites.get(commit.oid, {})
            last = next(iter(words.values()), "")
            olds = close_over(pairs, commit.oid)
            self._olds[commit.oid] = {old: words.get(old, last) for old in olds}
        olds_of_all = {old for olds in self._olds.values() for old in olds}
        self._load({*olds_of_all, *firsts, *(commit.oid for commit in commits)})
        trees = tuple(dict.fromkeys(commit.tree for commit in commits))
        for run in self._view.search(In(_TREE, trees), (), None, include_deleted=True):
            self._by_tree.setdefault(str(run.tree), []).append(run)
        self._there = self._recent_commits()
        self._gone = set(self._there) - {old.oid for old in read_commits(self._git, self._there)}
        singles = [commit.oid for commit in commits[-most:] if len(commit.parents) < 2]
        unknown = [oid for oid in {*singles, *self._there} if oid not in self._patches]
        found = patch_ids(self._git, unknown)
        self._patches.update((oid, found.get(oid, "")) for oid in unknown)
        for oid in self._there:
            self._by_patch.setdefault(self._patches[oid], []).append(oid)

    def link(self, commit: Commit) -> None:
        """Find the runs that belong to one of these commits."""
        for old, how in self._olds[commit.oid].items():
            self._add_all(self._at.get(old, ()), commit, how)
        if not commit.parents or self._parents.get(commit.parents[0]) != commit.tree:
            self._add_all(self._by_tree.get(commit.tree, ()), commit, TREE)
        for name in commit.runs:
            self._add_all(self._named(name), commit, TRAILER)
        self._load(commit.squashed)
        for oid in commit.squashed:
            self._add_all(self._at[oid], commit, SQUASH)
        patch = self._patches.get(commit.oid)
        is_known = bool(self._olds[commit.oid] or commit.squashed)
        if patch and not self._link_patch(commit, patch) and not is_known:
            self._link_branch(commit, patch)
        self._link_parent(commit)

    def runs_at(self, commit: str) -> list[Run]:
        """The runs that belong to a commit, with those that were just linked to it."""
        return self._at[commit]

    def link_results(self, commit: Commit, is_told: Callable[[Run], bool]) -> list[Run]:
        """Runs of the commit before, of which this one holds the results.

        Args:
            is_told: whether a run has every value that the commit holds.
        """
        parent = commit.parents[0] if commit.parents else ""
        runs = [run for run in self._at.get(parent, ()) if run.commit == parent and is_told(run)]
        self._add_all(runs, commit, RESULTS)
        return runs

    def learn(self, run: Run) -> None:
        """A run of one of these commits that is about to be recorded."""
        commit = str(run.commit)
        self._at[commit].append(run)
        self._by_tree.setdefault(str(run.tree), []).append(run)
        if patch := self._patches.get(commit):
            self._by_patch.setdefault(patch, []).append(commit)
            self._there.append(commit)

    def links(self) -> list[Link]:
        """What was found and is not written yet."""
        return list(self._links.values())

    def _load(self, oids: Iterable[str]) -> None:
        """Ask for the runs of commits, those of all at once."""
        wanted = [oid for oid in dict.fromkeys(oids) if oid not in self._at]
        self._at.update((oid, []) for oid in wanted)
        if wanted:
            known = set(wanted)
            for run in self._view.search(None, (), None, commits=wanted, include_deleted=True):
                for oid in known.intersection(run.commits):
                    self._at[oid].append(run)

    def _named(self, name: str) -> list[Run]:
        run = self._view.find_by_id(name)
        if run is not None:
            return [run]
        ids = self._view.ask(lambda index: index.find_ids(name))
        run = self._view.find_by_id(ids[0]) if len(ids) == 1 else None
        return [] if run is None else [run]

    # -- changes -------------------------------------------------------------------------

    def _recent_commits(self) -> list[str]:
        """The latest commits that runs were recorded at, newest first."""
        recorded = Compare(Field("attribute", "commit"), "!=", "")
        recent = self._view.search(recorded, [_START], 5 * _MOST_PATCHES)
        oids = dict.fromkeys(run.commit for run in recent if run.commit is not None)
        return list(oids)[:_MOST_PATCHES]

    def _link_patch(self, commit: Commit, patch: str) -> bool:
        """Runs of a commit that makes the same change, neither before nor after this one."""
        olds = [old for old in self._by_patch.get(patch, ()) if old != commit.oid]
        if not olds:
            return False
        # One call for all: a value that goes back and forth is the same change hundreds of times.
        apart = list_apart(self._git, olds, commit.oid) | self._gone
        olds = [old for old in olds if old in apart]
        self._load(olds)
        for old in olds:
            self._add_all(self._at[old], commit, PATCH)
        return bool(olds)

    def _link_branch(self, commit: Commit, patch: str) -> None:
        """Runs of all the commits of a branch, if this one makes all their changes at once."""
        if self._branches is None:
            self._branches = self._squashed()
        base, tip = self._branches.get(patch, ("", ""))
        if not tip or tip == commit.oid:
            return
        branch = list_commits(self._git, [tip], [base])
        if commit.oid not in branch:
            self._load(branch)
            for oid in branch:
                self._add_all(self._at[oid], commit, SQUASH)

    def _squashed(self) -> dict[str, tuple[str, str]]:
        """What branches would change as a whole: where each parts from the others, and its tip."""
        ranges: dict[tuple[str, str], None] = {}
        commits = read_commits(self._git, dict.fromkeys([*self._tips, *self._there]))
        tips = [tip.oid for tip in sorted(commits, key=lambda tip: tip.time_s, reverse=True)]
        most = max(_MOST_TIPS // len(self._ends), _SOME_TIPS)
        for end in reversed(self._ends):
            # What comes before or after the end of a line is no branch that became part of it.
            apart = list_apart(self._git, tips, end)
            for tip in [tip for tip in tips if tip in apart][:most]:
                # A branch parts from all later commits of a line where it parts from its end;
                # of another line that is elsewhere, if it has merged one of them.
                base = merge_base(self._git, tip, end)
                if base is not None:
                    ranges[base, tip] = None
        patches = range_patch_ids(self._git, ranges)
        found: dict[str, tuple[str, str]] = {}
        for base, tip in ranges:
            if patch := patches.get((base, tip)):
                found.setdefault(patch, (base, tip))
        return found

    # -- uncommitted changes -------------------------------------------------------------

    def _link_parent(self, commit: Commit) -> None:
        """Runs of a dirty tree whose changes were committed next, though not all as they ran."""
        parent = commit.parents[0] if commit.parents else ""
        waiting = [
            run
            for run in self._at.get(parent, ())
            if run.dirty and run.tree and run.commit == parent and commit.oid not in run.links
            if run.tree != commit.tree and (run.id, commit.oid) not in self._links
        ]
        if waiting:
            with self._sources() as sources:
                # The thousand runs of a sweep ran the same files; asking for each takes 13 ms.
                told: dict[tuple[str, ...], str | None] = {}
                for run in waiting:
                    ran = (str(run.tree), *sorted(run.withheld))
                    if ran not in told:
                        told[ran] = _files_otherwise(sources, run, commit)
                    files = told[ran]
                    if files is not None:
                        self._add_all([run], commit, f"{DIFFERS} {files}")

    def _add_all(self, runs: Iterable[Run], commit: Commit, how: str) -> None:
        """Link runs to a commit; the first reason counts, as they come from the surest on."""
        for run in list(runs):
            if commit.oid in run.commits or (run.id, commit.oid) in self._links:
                continue
            if is_of_commit(run) and how != TRAILER and not self._holds_same(run, commit):
                continue
            self._links[run.id, commit.oid] = Link(run.id, commit.oid, how)
            self._at[commit.oid].append(run)

    def _holds_same(self, run: Run, commit: Commit) -> bool:
        held = self._held(commit)
        return held is not None and is_made_of(run, commit, held)


def is_made_of(run: Run, commit: Commit, held: Held) -> bool:
    """Whether a run that was recorded from a commit records what another one holds."""
    if not is_of_commit(run) or run.commit is None:
        return False
    old_s = run.start_ms // 1000
    points = {
        key: [(s, old_s * 1000 if t == commit.time_s * 1000 else t, v) for s, t, v in rows]
        for key, rows in held.points.items()
    }
    return run.id == run_id_of(run.commit, old_s, held._replace(points=points))


def _files_otherwise(sources: Sources, run: Run, commit: Commit) -> str | None:
    """The files of a commit that are not as they ran; None if it holds no change that ran."""
    try:
        before, ran = sources.commit_tree(str(run.commit)), sources.tree(run)
        ran_changed = {path for _, path in sources.changes(before, ran)}
        otherwise = {path for _, path in sources.changes(ran, commit.tree)}
    except GittrackError:
        return None  # the base of what ran is not here
    if not ran_changed - otherwise:
        return None
    shown = [one_line(path) for path in sorted(otherwise)[:_MOST_FILES]]
    left = len(otherwise) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")
