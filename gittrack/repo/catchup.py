"""Commits that nobody has told us of: found, recorded, and linked to the runs that they belong to.

Hooks leave hints, but git calls none in many cases (a fetch, a merge on a server, a program with a
git library of its own), so every command looks whether branches have moved since the last one. What
was seen is remembered in a file that can be deleted: the next look then begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from gittrack.config import Config
from gittrack.core import codec
from gittrack.core.commits import Commit
from gittrack.core.committed import ENTRY, Held, is_of_commit
from gittrack.core.model import FINISHED, Run
from gittrack.core.names import is_object_id
from gittrack.core.query import And, Compare, Field, Order
from gittrack.repo import hints
from gittrack.repo.committing import Found, Reader, Recorder, matches_branch, trees_of_parents
from gittrack.repo.linking import Link, Linker, is_made_of
from gittrack.repo.seen import BRANCHES, REMOTES, Look, State, filter_map
from gittrack.repo.sources import Sources
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.commits import head_of, list_commits, read_commits
from gittrack.store.git import Git
from gittrack.store.source import doing
from gittrack.store.write import list_refs

#: More commits that come at once were made long ago: they are not recorded unless asked for.
_MOST_AT_ONCE = 500
#: How many of the latest commits a run is compared with that arrives after them.
_RECENT = 200
_LATE_MS = 30 * 86_400_000
_MOST_LATE = 100
_MOST_REWRITES = 5000
_FILTER_REPO = "filter-repo"
_PASSING = ("rebasing", "bisecting")


class Taken(NamedTuple):
    """What became of some commits: the runs that they make, and the links that they call for.

    `known` were recorded before, `empty` hold nothing to record.
    """

    found: tuple[Found, ...] = ()
    links: tuple[Link, ...] = ()
    known: tuple[str, ...] = ()
    empty: tuple[Commit, ...] = ()


class CatchUp:
    """Takes in the commits of one repository.

    Args:
        reader: what commits hold.
        recorder: writes their runs.
        link: writes links, by the id of the run.
        sources: opens the trees of what ran.
        warn: says what a person should know.
    """

    def __init__(
        self,
        git: Git,
        view: View,
        config: Config,
        reader: Reader,
        recorder: Recorder,
        link: Callable[[Mapping[str, Sequence[Link]]], None],
        sources: Callable[[], Sources],
        warn: Callable[[str], None],
    ) -> None:
        self._git = git
        self._view = view
        self._config = config
        self._reader = reader
        self._recorder = recorder
        self._link = link
        self._sources = sources
        self._warn = warn
        self._held: dict[str, Held | None] = {}
        self._patches: dict[str, str] = {}

    # -- by themselves -------------------------------------------------------------------

    def catch_up(self, state: State | None, look: Look) -> None:
        """Take in what is new since the last time.

        The first time only remembers what there is, but for what a hook told of: history is
        recorded when somebody asks.

        Args:
            state: what was seen the last time.
            look: how things looked before anything is asked.
        """
        common = self._git.common_dir
        refs = self._branches()
        # What a rebase is making has no branch yet, and may be squashed in its next step.
        head = None if doing(self._git) in _PASSING else head_of(self._git)
        tips = sorted({*refs.values(), *([head] if head else ())})
        hinted, offset = hints.read_hints(common, 0 if state is None else state.offset)
        patterns = self._config.commits_branches
        matched = [oid for ref, oid in refs.items() if patterns and matches_branch(ref, patterns)]
        if state is None:
            # What a hook told of before came after all that.
            told = read_commits(
                self._git, {hint.oid for hint in hinted if hint.kind == hints.COMMIT}
            )
            new = {commit.oid for commit in told}
            before = [oid for oid in tips if oid not in new]
            before += [oid for commit in told for oid in commit.parents]
            state = State(look, before, offset, patterns=patterns, matched=before)
            if not told:
                state._replace(matched=matched).write(common)
                return
        rewrites = self.rewrites()
        self._patches = dict(state.patches)
        commits = self._new_commits(tips, state.tips, hinted, rewrites)
        allowed: Collection[str] = {commit.oid for commit in commits}
        if patterns:
            # What another branch had already comes to these when that is merged.
            is_same = tuple(state.patterns) == tuple(patterns)
            listed = list_commits(self._git, matched, state.matched if is_same else state.tips)
            merged = [oid for oid in listed if oid not in allowed]
            commits = [*read_commits(self._git, merged), *commits]
            allowed = set(listed)
        tips_ever = [*tips, *state.tips]
        if commits:
            if not hints.is_enabled(common):
                allowed = ()
            taken = self.take(commits, rewrites, tips_ever, allowed)
            self.write(taken)
            self.tell_of(taken.empty)
        looked = state.looked
        if look.store != state.look.store:
            looked = self._take_late(tips, commits, rewrites, tips_ever, set(state.looked))
        State(look, tips, offset, looked, self._patches, patterns, matched).write(common)

    def _branches(self) -> dict[str, str]:
        """Every branch, ours and remotes', but those that hold a store."""
        refs = {**list_refs(self._git, BRANCHES), **list_refs(self._git, REMOTES)}
        store = layout.BRANCH_REF.removeprefix(BRANCHES).split("/")[0]
        return {
            ref: oid
            for ref, oid in refs.items()
            if ref.split("/")[3 if ref.startswith(REMOTES) else 2] != store
        }

    def _new_commits(
        self,
        tips: Sequence[str],
        seen: Sequence[str],
        hinted: Sequence[hints.Hint],
        rewrites: Mapping[str, Mapping[str, str]],
    ) -> list[Commit]:
        """What has come since, oldest first.

        A commit that no branch holds any more is among it if a hook told of it: it was made, and
        thrown away. One that became another is not.
        """
        oids = list_commits(self._git, tips, seen)
        listed = set(oids)
        became = {old for olds in rewrites.values() for old in olds}
        told = [hint.oid for hint in hinted if hint.oid and hint.oid not in listed]
        told = [oid for oid in dict.fromkeys(told) if oid not in became]
        commits = read_commits(self._git, [*told, *oids])
        if told:
            commits.sort(key=lambda commit: commit.time_s)
        return commits

    def _take_late(
        self,
        tips: Sequence[str],
        done: Sequence[Commit],
        rewrites: Mapping[str, Mapping[str, str]],
        tips_ever: Sequence[str],
        looked: set[str],
    ) -> list[str]:
        """Link runs that came after the commits that they belong to; gives who was looked at."""
        newest = max((commit.time_s for commit in done), default=0) * 1000
        now_ms = max(newest, time.time_ns() // 1_000_000)
        since = Compare(Field("attribute", "start_time"), ">", now_ms - _LATE_MS)
        dirty = Compare(Field("attribute", "dirty"), "=", True)
        order = Order(Field("attribute", "start_time"), descending=True)
        late = self._view.search(And((dirty, since)), [order], _MOST_LATE)
        waiting = [run.id for run in late if not run.links]
        oids: list[str] = []
        if set(waiting) - looked and tips:
            out = self._git.run(
                "rev-list", "--date-order", "--reverse", f"--max-count={_RECENT}",
                "--ignore-missing", "--stdin", input="".join(f"{t}\n" for t in tips).encode(),
            )  # fmt: skip
            oids = out.decode().split()
        olds = {old: new for new, made_of in rewrites.items() for old in made_of}
        orphans = self._view.search(None, (), None, commits=list(olds)) if olds else []
        news = [olds[commit] for run in orphans for commit in run.commits if commit in olds]
        oids += [oid for oid in news if oid not in olds]
        known = {commit.oid for commit in done}
        commits = read_commits(self._git, [oid for oid in dict.fromkeys(oids) if oid not in known])
        if commits:
            commits.sort(key=lambda commit: commit.time_s)
            self.write(self.take(commits, rewrites, tips_ever, ()))
        return waiting

    # -- rewritten history ---------------------------------------------------------------

    def rewrites(self) -> dict[str, dict[str, str]]:
        """Each commit that was made of others, with them and git's word for how."""
        found: dict[str, dict[str, str]] = {}
        told, _ = hints.read_hints(self._git.common_dir, 0)
        for hint in [hint for hint in told if hint.old][-_MOST_REWRITES:]:
            if hint.old != hint.oid:
                found.setdefault(hint.oid, {})[hint.old] = hint.how
        for old, new in self._filtered():
            found.setdefault(new, {})[old] = _FILTER_REPO
        return found

    def _filtered(self) -> Iterable[tuple[str, str]]:
        """What git-filter-repo made of which commit; of those that have runs."""
        try:
            with open(filter_map(self._git), encoding="ascii", errors="replace") as file:
                pairs = [tuple(line.split()) for line in file]
        except OSError:
            return []
        news = {
            pair[0]: pair[1]
            for pair in pairs
            if len(pair) == 2 and all(map(is_object_id, pair)) and pair[0] != pair[1]
            if pair[1].strip("0")
        }
        runs = self._view.search(None, (), None, commits=list(news), include_deleted=True)
        return [(old, news[old]) for run in runs for old in run.commits if old in news]

    # -- taking in -----------------------------------------------------------------------

    def take(
        self,
        commits: Sequence[Commit],
        rewrites: Mapping[str, Mapping[str, str]],
        tips: Sequence[str],
        allowed: Collection[str],
        *,
        asked: bool = False,
        always: bool = False,
    ) -> Taken:
        """What these commits make and call for; nothing is written.

        Args:
            commits: oldest first.
            tips: where branches are, and were.
            allowed: those that may be recorded.
            asked: somebody asks for it, so that a message cannot keep a commit from it, and what
                was recorded by other settings does not count.
            always: even if a commit did not change its files.
        """
        parents = trees_of_parents(self._git, commits)
        linker = Linker(
            self._git, self._view, rewrites, tips, self._hold, self._sources, self._patches
        )
        # A fetch may bring ten thousand: their patches would take a minute.
        linker.prepare(commits, parents, most=len(commits) if asked else _MOST_AT_ONCE)
        wanted = [
            commit
            for commit in commits
            if commit.oid in allowed
            and self._reader.wants(commit, parents, asked=asked, always=always)
        ]
        if not asked and len(wanted) > _MOST_AT_ONCE:
            self._warn(
                f"{len(wanted)} commits that came at once were not recorded; "
                f"next: gittrack record {self._range_of(wanted)}"
            )
            wanted = []
        found: list[Found] = []
        known: list[str] = []
        empty: list[Commit] = []
        wanted_oids = {commit.oid for commit in wanted}
        for commit in commits:
            linker.link(commit)
            if commit.oid not in wanted_oids:
                continue
            item = self._reader.find(commit)
            if item is None:
                empty.append(commit)
                continue
            same = [run for run in linker.runs_at(commit.oid) if _is_same(run, item, asked=asked)]
            if not same and item.held.points:
                # A clean tree, a program that ran, and then its results were committed.
                same = linker.link_results(commit, partial(_tells, held=item.held))
            if same:
                known += [run.id for run in same]
                continue
            found.append(item)
            linker.learn(_run_of(item))
        return Taken(tuple(found), tuple(linker.links()), tuple(known), tuple(empty))

    def _range_of(self, commits: Sequence[Commit]) -> str:
        """What names all of these; those of several branches, or without parents, have no range."""
        first, last = commits[0], commits[-1]
        inside = list_commits(self._git, [last.oid], first.parents[:1]) if first.parents else ()
        is_all = {commit.oid for commit in commits} <= set(inside)
        return f"{first.oid[:12]}^..{last.oid[:12]}" if is_all else "--all"

    def patterns(self, commit: Commit) -> list[str]:
        """The files that hold a commit's experiment, as its settings name them."""
        return self._reader.patterns(commit)

    def trouble(self, commit: Commit) -> str:
        """What is wrong with a file of a commit, if one cannot be read."""
        return self._reader.trouble(commit)

    def tell_of(self, empty: Iterable[Commit]) -> None:
        """Say which commits made no run because their files could not be read."""
        found = [(commit, trouble) for commit in empty if (trouble := self.trouble(commit))]
        if found:
            commit, trouble = found[-1]
            were = f"and {len(found) - 1} more were" if len(found) > 1 else "was"
            self._warn(f"commit {commit.oid[:12]} {were} not recorded: {trouble}")

    def _hold(self, commit: Commit) -> Held | None:
        if commit.oid not in self._held:
            item = self._reader.find(commit)
            self._held[commit.oid] = None if item is None else item.held
        return self._held[commit.oid]

    def write(self, taken: Taken) -> set[str]:
        """Write it into the store; the ids of the runs that are new in it."""
        new = self._recorder.write(taken.found) if taken.found else set()
        made = {item.run_id for item in taken.found}
        by_run: dict[str, list[Link]] = {}
        for link in taken.links:
            if link.run_id in new or link.run_id not in made:
                by_run.setdefault(link.run_id, []).append(link)
        if by_run:
            self._link(by_run)
        return new


def _is_same(run: Run, item: Found, *, asked: bool) -> bool:
    """Whether a run makes it needless to record a commit."""
    if run.id == item.run_id or is_made_of(run, item.commit, item.held) or _tells(run, item.held):
        return True
    return not asked and is_of_commit(run) and run.commit == item.commit.oid


def _tells(run: Run, held: Held) -> bool:
    """Whether a program's run has every value that a commit holds: its results were committed."""
    if is_of_commit(run) or held.artifacts:
        return False
    ends = codec.summarise_points(dict(held.points))
    return all(run.params.get(key, ...) == value for key, value in held.params.items()) and all(
        key in run.metrics and repr(run.metrics[key].last) == repr(summary.last)
        for key, summary in ends.items()
    )


def _run_of(item: Found) -> Run:
    """The run that is about to be recorded, as far as linking needs it."""
    commit = item.commit
    return Run(
        item.run_id, "", item.experiment, item.name, FINISHED, commit.time_s * 1000,
        entry=ENTRY, commit=commit.oid, tree=commit.tree,
    )  # fmt: skip
