"""The code of runs, compared: with another run, with the worktree, along a list of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from gittrack.config import Config
from gittrack.core.diff import FileChange, SourceDiff, diff_sources
from gittrack.core.model import Run, Source
from gittrack.errors import SourceError
from gittrack.repo.files import RunReader
from gittrack.repo.view import View
from gittrack.store.git import Git
from gittrack.store.rebuild import Trees


class TreePair(NamedTuple):
    """Two trees to hand to git, with the environment in which it sees them."""

    old: str
    new: str
    env: Mapping[str, str]
    withheld: tuple[str, ...] = ()


class Sources:
    """The sources of runs as git trees; a context manager, since the trees are thrown away."""

    def __init__(self, git: Git, view: View, config: Config) -> None:
        self._git = git
        self._view = view
        self._config = config
        self._trees = Trees(git)
        self._sources: dict[str, Source] = {}

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self._trees.__exit__()

    def source(self, run: Run) -> Source:
        """What ran, as it was recorded."""
        if run.id not in self._sources:
            self._sources[run.id] = RunReader(self._git, self._view, run).source()
        return self._sources[run.id]

    def tree(self, run: Run) -> str:
        """The tree of what ran.

        Raises:
            SourceError: nothing was recorded, or its base is not here.
        """
        if not run.withheld and self._trees.is_commits(run.commit, run.tree):
            return str(run.tree)
        source = self.source(run)
        if source.tree is None:
            raise SourceError(
                f"run '{run.name}' has no source",
                why="it was recorded outside a repository, or source.capture was off",
            )
        overlay = RunReader(self._git, self._view, run).overlay(source) if source.files else {}
        return self._trees.of(source, overlay)

    def commit_tree(self, commit: str) -> str:
        """The tree of a commit.

        Raises:
            SourceError: it is not here.
        """
        return self._trees.of_commit(commit)

    def changes(self, old: str, new: str) -> list[tuple[str, str]]:
        """What differs between two trees: the kind of change and the path of each file."""
        return list(self._trees.changes(old, new))

    def pair(self, a: Run | None, b: Run | None) -> TreePair:
        """The trees of two runs; None stands for the worktree as it is now.

        Raises:
            SourceError: one of the two cannot be had.
        """
        trees = [self._worktree() if run is None else self.tree(run) for run in (a, b)]
        withheld = {path for run in (a, b) if run is not None for path in self.source(run).withheld}
        return TreePair(trees[0], trees[1], self._trees.env, tuple(sorted(withheld)))

    def pair_with_commit(self, run: Run) -> TreePair:
        """The tree of the commit that a run stands on, and its own: what was not committed."""
        source = self.source(run)
        old = self._trees.of_nothing()
        if source.commit is not None:
            old = self._trees.of_commit(source.commit)
        return TreePair(old, self.tree(run), self._trees.env, tuple(sorted(source.withheld)))

    def _worktree(self) -> str:
        return self._trees.of_worktree(self._config.source_untracked)

    def diff(self, a: Run, b: Run | None) -> SourceDiff:
        """How the code of two runs differs, or of a run and (None) the worktree."""
        if b is None:
            return self._diff_worktree(a)
        old, new = self.source(a), self.source(b)
        told = diff_sources(old, new)
        if told.same or old.tree is None or new.tree is None:
            return told
        try:
            found = self._trees.changes(self.tree(a), self.tree(b))
        except SourceError:
            # A base is not here: what the records alone tell is all there is.
            return told
        withheld = [FileChange(path, "maybe") for path in {*old.withheld, *new.withheld}]
        files = [FileChange(path, kind) for kind, path in found]
        files += [item for item in withheld if item.path not in {f.path for f in files}]
        return told._replace(files=tuple(sorted(files)), complete=not withheld)

    def _diff_worktree(self, a: Run) -> SourceDiff:
        source = self.source(a)
        pair = self.pair(a, None)
        files = [FileChange(path, kind) for kind, path in self._trees.changes(pair.old, pair.new)]
        known = {item.path for item in files}
        files += [FileChange(path, "maybe") for path in source.withheld if path not in known]
        commits = (source.commit, self._git.run("rev-parse", "--verify", "-q", "HEAD", check=False))
        return SourceDiff(
            None if source.withheld and not known else not files,
            (commits[0], commits[1].decode().strip() or None),
            tuple(sorted(files)),
            not source.withheld,
        )

    def _find_tree(self, run: Run) -> str | None:
        """The tree of what ran, or where that is gone, of a commit that took its place."""
        with suppress(SourceError):
            return self.tree(run)
        for commit in run.links:
            with suppress(SourceError):
                return self._trees.of_commit(commit)
        return None

    # -- along a list --------------------------------------------------------------------

    def follow(self, runs: Sequence[Run], path: str) -> list[Run]:
        """The runs, newest first, whose file differs from that of the run before.

        The run before is that of the same experiment; a file that git takes for renamed is
        followed under its old name. A run whose source is not here is passed over.

        Args:
            path: relative to the top of the worktree.
        """
        names: dict[str, str] = {}
        newer: dict[str, tuple[Run, str, str | None]] = {}
        changed: set[str] = set()
        for run in runs:
            found_tree = self._find_tree(run)
            if found_tree is None:
                continue
            tree = found_tree
            group = run.experiment_id
            name = names.setdefault(group, path)
            if group in newer:
                later, later_tree, later_file = newer[group]
                found = self._trees.file_id(tree, name)
                if found is None and later_file is not None:
                    old = self._trees.renamed_from(tree, later_tree, name)
                    if old is not None:
                        names[group] = name = old
                        found = self._trees.file_id(tree, name)
                        changed.add(later.id)
                if found != later_file:
                    changed.add(later.id)
            newer[group] = (run, tree, self._trees.file_id(tree, name))
        # The oldest of each experiment has nothing before it; having the file is its change.
        changed.update(run.id for run, _, found in newer.values() if found is not None)
        return [run for run in runs if run.id in changed]
