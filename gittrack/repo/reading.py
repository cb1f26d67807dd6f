"""The methods of `Repo` that read."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gittrack.core import names
from gittrack.core.model import DEFAULT_EXPERIMENT, Dataset, Experiment, Metric, Run, Source
from gittrack.errors import GittrackError
from gittrack.repo.files import Checkout
from gittrack.repo.opened import Opened, warn
from gittrack.repo.values import Older

if TYPE_CHECKING:
    from gittrack.core.compare import Comparison
    from gittrack.core.diff import RunDiff, SourceDiff
    from gittrack.repo.bisect import Bisection, Execute
    from gittrack.repo.blame import Blame
    from gittrack.repo.datasets import DatasetSummary, DatasetVersion
    from gittrack.repo.experiments import ExperimentSummary
    from gittrack.repo.fsck import FsckReport
    from gittrack.repo.history import HistoryEntry
    from gittrack.repo.scan import ScanReport
    from gittrack.repo.select import Selection
    from gittrack.repo.sources import Sources
    from gittrack.repo.status import Status


class Reading(Opened):
    """Finds runs, and gives what is known of them."""

    def search_runs(
        self,
        filter_string: str = "",
        order_by: Sequence[str] = (),
        max_results: int | None = None,
        experiment_names: Sequence[str] | None = None,
        *,
        include_deleted: bool = False,
    ) -> list[Run]:
        """The runs that satisfy a filter; of all experiments and newest first by default.

        Raises:
            QueryError: the filter or the order cannot be understood.
            ExperimentNotFoundError: an experiment of that name does not exist.
        """
        from gittrack.repo.select import Selection

        selection = Selection(
            where=filter_string,
            order_by=order_by,
            limit=max_results,
            experiments=experiment_names,
            deleted=include_deleted,
        )
        return self.select_runs(selection)

    def select_runs(self, selection: Selection) -> list[Run]:
        """The runs that are asked for, in their order; everything that `gittrack log` can ask.

        Raises:
            UsageError: a filter, a pattern, a time or a revision cannot be understood.
            ExperimentNotFoundError: an experiment of that name does not exist.
            RunNotFoundError: the parent that is asked for does not exist.
        """
        from gittrack.repo.select import select_runs

        wanted = None
        if selection.experiments is not None:
            wanted = {self.get_experiment(name).id for name in selection.experiments}
        return select_runs(selection, self._git, self.view, self._namer(), self.sources, wanted)

    def get_runs(self, name: str) -> list[Run]:
        """Every run that a name stands for: those of a commit, or of a name that several have.

        Raises:
            RunNotFoundError: there is none.
        """
        return self._namer().get_all(name)

    def runs_at(self, commits: Sequence[str]) -> dict[str, list[Run]]:
        """The runs that belong to each of these commits, newest first; without any, it is left out.

        Args:
            commits: full ids.
        """
        wanted = set(commits)
        found: dict[str, list[Run]] = {}
        for run in self.view.search(None, (), None, commits=commits):
            for commit in wanted.intersection(run.commits):
                found.setdefault(commit, []).append(run)
        for runs in found.values():
            runs.sort(key=lambda run: (-run.start_ms, run.id))
        return found

    def bisect(
        self,
        revisions: Sequence[str],
        where: str,
        *,
        experiment: str | None = None,
        execute: Execute | None = None,
        max_runs: int | None = None,
        progress: Callable[[str], None] = lambda text: None,
    ) -> Bisection:
        """Find the first commit at which a condition holds, from the runs of the commits.

        A commit is judged by its newest finished run that has a value of every metric and param
        that the condition speaks of, of just the code that is committed there. NaN is a value if
        the condition names it, and a failed run counts if it speaks of status or exit code.

        Args:
            revisions: one bad commit and what is good, as `git rev-list` takes them: `A..B`.
            where: the condition that describes the bad commits.
            experiment: only runs of this experiment count.
            execute: makes the runs that are missing: it gets a folder with the files of a commit,
                a linked worktree that is gone afterwards, and gives an exit code: 125 skips the
                commit, 126 and more stop the search. `tracking.trial.Trial` runs a program.
            max_runs: how often `execute` is called at most.
            progress: is told what happens, a line at a time.
        Raises:
            UsageError: the condition or a revision cannot be understood.
            UndecidedError: a run at one end of the range contradicts what is asked.
            RunNotFoundError: no run has a metric or param that the condition speaks of.
            ExperimentNotFoundError: an experiment of that name does not exist.
        """
        from gittrack.repo.bisect import Bisector

        found = None if experiment is None else self._experiment_id(experiment, execute is not None)
        parts = (self._git, self.view, self._namer(), self.runs_at)
        return Bisector(*parts, where, found, progress).bisect(revisions, execute, max_runs)

    def blame(
        self,
        metric: str,
        revisions: Sequence[str] = ("HEAD",),
        *,
        experiment: str | None = None,
        where: str = "",
        every: bool = False,
    ) -> Blame:
        """Find the first commit from which on the level of a metric is another one.

        The value of a commit is the median of the finished runs of just the code that is committed
        there; commits come in git's topological order. `core.levels` says what a shift is.

        Args:
            metric: a key, or `min(KEY)`, `max(KEY)`.
            where: only runs that pass count.
            every: all shifts, not only the first.
        Raises:
            RunNotFoundError: no run has such a metric.
            UsageError: the filter or a revision cannot be understood.
            ExperimentNotFoundError: an experiment of that name does not exist.
        """
        from gittrack.repo.blame import blame

        found = None if experiment is None else self._experiment_id(experiment, False)
        parts = (self._git, self.view, self._namer(), self.config, self.runs_at)
        return blame(*parts, metric, revisions, found, where, every=every)

    def _experiment_id(self, name: str, is_new: bool) -> str:
        return self.experiment_for(name)[0] if is_new else self.get_experiment(name).id

    def metric_keys(self) -> list[str]:
        """The keys of metrics that runs of the store have, sorted."""
        return self.view.ask(lambda index: index.metric_keys())

    def param_keys(self) -> list[str]:
        """The keys of params that runs of the store have, sorted."""
        return self.view.ask(lambda index: index.param_keys())

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        """All points of a metric, ordered by step, then time; empty if it was never logged."""
        return self._reader(self.get_run(run_id)).points(key)

    def get_metric_curves(self, run: Run, keys: Collection[str]) -> dict[str, list[float]]:
        """The values of metrics in the order of their steps; of a long one an even sample."""
        return self._reader(run).curves(keys)

    def get_environment(self, run: Run) -> Mapping[str, Any]:
        """The environment that the run had, flat; empty if none was recorded."""
        return self._reader(run).surroundings().environment

    def get_inputs(self, run: Run) -> tuple[Dataset, ...]:
        """The datasets that went into a run, by name, with their schemas."""
        return self._reader(run).inputs()

    def datasets(self) -> list[DatasetSummary]:
        """The datasets that runs used, the one that was used last first."""
        from gittrack.repo.datasets import summarise_uses

        return summarise_uses(self.view)

    def dataset_versions(self, name: str) -> list[DatasetVersion]:
        """The versions of a dataset, which are its digests, the one that was used last first.

        Raises:
            DatasetNotFoundError: no run used one of that name.
        """
        from gittrack.repo.datasets import read_versions

        return read_versions(self.view, self.get_inputs, name)

    def get_output(self, run: Run) -> bytes:
        """What the run printed, as far as it was recorded."""
        return self._reader(run).output()

    def follow_output(self, run: Run) -> Iterator[tuple[str, bytes]]:
        """Pieces of what the run prints, each with its writer, as they come, until it ends."""
        from gittrack.repo.follow import follow

        def sealed() -> list[tuple[str, bytes]]:
            self._recover_quietly()
            return self._reader(self.get_run(run.id)).pieces()

        view = self.view
        return follow(self._folders(), run.id, lambda: view.is_running(run.id), sealed)

    def scan(self) -> ScanReport:
        """Look for secrets in what no remote has yet, and in the runs that go on."""
        from gittrack.repo.scan import scan

        return scan(self._git, self._folders(), self.config.redact_allow)

    def list_files(self, run: Run) -> list[str]:
        """The names of the files in a run's folder."""
        return self._reader(run).listing()

    def read_run_file(self, run: Run, path: str) -> bytes:
        """One file: of the run's folder, an artifact, or a file of the source that ran."""
        return self._reader(run).read(path)

    def get_source(self, run: Run) -> Source:
        """The source that ran, as it was recorded."""
        return self._reader(run).source()

    def sources(self) -> Sources:
        """The sources of runs as git trees, to compare; close it after use."""
        from gittrack.repo.sources import Sources

        return Sources(self._git, self.view, self.config)

    def get_history(self, run: Run) -> list[HistoryEntry]:
        """Who changed what of a run, and when, newest first."""
        from gittrack.repo.history import read_history

        return read_history(self._git, self.view.tips().values(), run)

    def diff(self, a: Run, b: Run, *, equal: bool = False) -> RunDiff:
        """What differs between two runs; with `equal` also what does not."""
        from gittrack.core.diff import diff_runs

        with self.sources() as sources:
            source = sources.diff(a, b)
        around = self._reader(a).surroundings(), self._reader(b).surroundings()
        return diff_runs(a, b, source, around, equal=equal)

    def compare(self, runs: Sequence[Run], *, equal: bool = False) -> Comparison:
        """What differs between several runs, the first as baseline; with `equal` all of it."""
        from gittrack.core.compare import compare_runs

        return compare_runs(runs, equal=equal)

    def diff_worktree(self, run: Run) -> SourceDiff:
        """How the code in the worktree, as it is now, differs from what a run ran.

        Raises:
            SourceError: the run has no source that can be had here, or there is no worktree.
        """
        with self.sources() as sources:
            return sources.diff(run, None)

    def get_previous(self, run: Run) -> Run | None:
        """The run of the same experiment that started before this one, or None."""
        from gittrack.core.query import Compare, Field

        earlier = Compare(Field("attribute", "start_time"), "<", run.start_ms)
        found = self.view.search(earlier, (), 1, experiments={run.experiment_id})
        return found[0] if found else None

    def checkout(
        self, run: Run, into: str, *, dry_run: bool = False, asks: bool = False
    ) -> Checkout:
        """Lay out exactly what ran in a new folder, and verify its tree id.

        A base commit that is not here is fetched from a remote that runs are shared with.

        Args:
            dry_run: only verify that this can be done.
            asks: whether git may ask for a password.
        Raises:
            SourceError: it cannot be rebuilt, or `into` is not a new or empty folder.
        """
        from gittrack.store.rebuild import rebuild

        reader = self._reader(run)
        source = reader.source()
        if source.base is not None:
            self._bring_commit(source.base, asks=asks)
        rebuilt = rebuild(
            self._git, source, reader.overlay(source), os.path.abspath(into), dry_run=dry_run
        )
        return Checkout(
            os.path.abspath(into), source.commit, source.tree, rebuilt.files, tuple(source.withheld)
        )

    def status(self) -> Status:
        """How things stand in this repository."""
        from gittrack.repo.status import get_status

        return get_status(self._git, self.view, self._tips, self._links().values())

    def fsck(
        self,
        *,
        history: bool = False,
        sources: bool = False,
        progress: Callable[[str], None] = lambda text: None,
    ) -> FsckReport:
        """Check every object, file and law of the store, and what this clone keeps beside it.

        Args:
            history: also every object that earlier commits of the store hold.
            sources: also rebuild the source of every run whose base commit is here.
            progress: is told now and then how far it is.
        """
        from gittrack.repo.fsck import fsck

        return fsck(
            self._git, self._tips.all(), self._links().values(), self._memory, self._folders(),
            lambda: self.view, history=history, sources=sources, progress=progress,
        )  # fmt: skip

    # -- experiments ---------------------------------------------------------------------

    def experiments(self, *, include_deleted: bool = False) -> list[ExperimentSummary]:
        """The experiments, the one with the latest run first."""
        from gittrack.repo.experiments import ExperimentSummary

        rows = [ExperimentSummary(*row) for row in self.view.experiments()]
        return [row for row in rows if include_deleted or not row.experiment.deleted]

    def get_experiment(self, name: str) -> Experiment:
        """The experiment of that name or id, a deleted one too.

        Raises:
            ExperimentNotFoundError: there is none; the message lists what there is.
        """
        from gittrack.repo.experiments import get_experiment

        return get_experiment(self.view, name)

    # -- for those who record ------------------------------------------------------------

    def _older(self, run_id: str) -> Older:
        run = self.get_run(run_id)
        record = self.view.record(run.id)
        stamps = record.notes.values() if record is not None else ()
        return Older(
            run.id,
            run.name,
            (run.experiment_id, run.experiment),
            run.start_ms,
            run.author,
            run.params,
            {key: item.last_step + 1 for key, item in run.metrics.items()},
            {key: item.last for key, item in run.metrics.items()},
            max((stamp.t for stamp in stamps), default=0),
        )

    def experiment_for(self, name: str) -> tuple[str, str]:
        """Id and name of the experiment that a new run of that name belongs to."""
        name = names.check_experiment_name(name)
        if name == DEFAULT_EXPERIMENT:
            return names.DEFAULT_EXPERIMENT_ID, name
        experiment_id = names.experiment_id(name)
        try:
            from gittrack.repo.experiments import experiment_of_now

            found = experiment_of_now(self._git, lambda: self.view, name)
        except (GittrackError, OSError) as error:
            # A store that cannot be read must not stop a run; its journal is safe all the same.
            what = error.message if isinstance(error, GittrackError) else str(error)
            warn(f"experiment '{name}' was not looked up: {what}")
            return experiment_id, name
        if found.deleted:
            warn(
                f"experiment '{name}' is deleted: this run is hidden with it;"
                f" next: gittrack experiments restore '{name}'"
            )
        return found.id, name
