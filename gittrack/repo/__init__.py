"""The hall: one repository, and everything that can be done with the runs in it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.capture import process
from gittrack.config import Config, parse_git_config
from gittrack.config import load as load_config
from gittrack.core import names
from gittrack.core.model import DEFAULT_EXPERIMENT, Experiment, Metric, Run, Source
from gittrack.core.record import warning_key
from gittrack.errors import (
    GittrackError,
    NotARepositoryError,
    RunNotFoundError,
)
from gittrack.repo import recover as recovery
from gittrack.repo.changing import Changing
from gittrack.repo.files import Checkout, RunReader, write_copy
from gittrack.repo.recorder import Began, Older, Recorder
from gittrack.repo.recover import Recovered, Waiting
from gittrack.repo.seal import check_writable, first_files
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.paths import RepoPaths, find_paths
from gittrack.store.write import Person, Tree, update

if TYPE_CHECKING:
    from gittrack.core.diff import RunDiff, SourceDiff
    from gittrack.repo.edit import Editor
    from gittrack.repo.experiments import ExperimentSummary
    from gittrack.repo.history import HistoryEntry
    from gittrack.repo.naming import Namer
    from gittrack.repo.scan import ScanReport
    from gittrack.repo.select import Selection
    from gittrack.repo.sources import Sources
    from gittrack.repo.status import Status

__all__ = [
    "Checkout",
    "InitReport",
    "RecoverReport",
    "Repo",
]


class InitReport(NamedTuple):
    """What `init` did, a sentence a line."""

    created: bool
    lines: tuple[str, ...]


class RecoverReport(NamedTuple):
    """What was taken over from dead processes, and what was left alone."""

    recovered: tuple[Recovered, ...]
    waiting: tuple[Waiting, ...]


class Repo(Changing):
    """The runs of one git repository.

    Open it with `Repo.find`. A Repo may be used from several threads to record; read from
    one thread at a time.
    """

    def __init__(self, paths: RepoPaths, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._paths = paths
        self._git = Git(paths)
        self._git_config: dict[str, list[str]] | None = None
        self._config: Config | None = None
        self._view: View | None = None
        self._recorder: Recorder | None = None
        self._recovered = False

    @classmethod
    def find(cls, path: str | None = None, environ: Mapping[str, str] = os.environ) -> Repo:
        """The repository that holds `path`, by default GITTRACK_REPO or the current folder.

        Raises:
            NotARepositoryError: there is none.
        """
        return cls(find_paths(path or environ.get("GITTRACK_REPO") or None, environ), environ)

    # -- facts ---------------------------------------------------------------------------

    @property
    def root(self) -> str:
        """The top of the worktree, or the git folder of a bare repository."""
        return self._paths.worktree or self._paths.git_dir

    @property
    def is_bare(self) -> bool:
        """Whether there is no worktree."""
        return self._paths.worktree is None

    @property
    def git_config(self) -> Mapping[str, list[str]]:
        """All of git's configuration that applies here, key to values."""
        if self._git_config is None:
            self._git_config = parse_git_config(self._git.run("config", "-z", "--list"))
        return self._git_config

    @property
    def config(self) -> Config:
        """The settings that apply here."""
        if self._config is None:
            self._config = load_config(self._paths.worktree, self.git_config, self._environ)
        return self._config

    @property
    def git(self) -> Git:
        """The git program in this repository."""
        return self._git

    @property
    def journal_dir(self) -> str:
        """Where this process writes the journals of its runs."""
        elsewhere = self._environ.get("GITTRACK_JOURNAL")
        return os.path.abspath(elsewhere) if elsewhere else self._own_journal_dir()

    def _own_journal_dir(self) -> str:
        return os.path.join(self._paths.common_dir, "gittrack", "journal")

    def _person(self) -> Person:
        who = process.identity(self.git_config, self._environ)
        return Person(who.name, who.email)

    @property
    def view(self) -> View:
        """The reading side; dead journals have been taken over before it is first used."""
        if self._view is None:
            folders = [self._own_journal_dir()]
            if self.journal_dir not in folders:
                folders.append(self.journal_dir)
            self._view = View(self._git, folders, self.config, process.boot_id())
        if not self._recovered:
            self._recovered = True
            self._recover_quietly()
        return self._view

    # -- record --------------------------------------------------------------------------

    def recorder(self) -> Recorder:
        """The writing side of this process."""
        if self._recorder is None:
            self._recorder = Recorder(
                self._git,
                self._code_git(),
                self.journal_dir,
                self.config,
                self.git_config,
                seals=self._can_write(),
                warn=warn,
            )
        return self._recorder

    def _can_write(self) -> bool:
        return os.access(os.path.join(self._paths.common_dir, "objects"), os.W_OK)

    def _code_git(self) -> Git | None:
        if "GITTRACK_REPO" not in self._environ:
            return None if self.is_bare else self._git
        # Runs go elsewhere; the code is still the one here, if it is in a repository at all.
        try:
            paths = find_paths(None, self._environ)
        except NotARepositoryError:
            return None
        return Git(paths) if paths.worktree is not None else None

    def begin_run(
        self,
        name: str,
        experiment: str,
        *,
        parent: str | None,
        notes: Mapping[str, Any],
        argv: list[str] | None = None,
        is_open: bool = False,
        captures: bool = True,
    ) -> Began:
        """Begin a run in the experiment of that name; see `Recorder.begin`.

        Raises:
            JournalError: its journal cannot be written.
        """
        return self.recorder().begin(
            name=name,
            experiment=self.experiment_for(experiment),
            parent=parent,
            notes=notes,
            argv=argv,
            is_open=is_open,
            captures=captures,
        )

    def resume_run(self, run_id: str, *, name: str | None, notes: Mapping[str, Any]) -> Began:
        """Go on with a run; its steps and stamps continue after the highest.

        Raises:
            RunNotFoundError: there is no such run.
        """
        older = self._older(run_id)
        changed = dict(notes)
        if name:
            changed["name"] = names.check_run_name(name)
        return self.recorder().resume(older, changed, name=name or older.name)

    def join_run(
        self,
        run_id: str,
        *,
        name: str | None = None,
        experiment: str | None = None,
        notes: Mapping[str, Any] = {},
        is_step: bool = False,
    ) -> Began:
        """Write to a run that another process ends.

        Args:
            name: what the run is called if nobody has named it yet.
            experiment: where it was expected; the run stays where it is, and says so.
        Raises:
            RunNotFoundError: there is no such run.
        """
        from gittrack.repo.joining import read_older

        live = read_older(self.journal_dir, run_id)
        older, is_unnamed = live if live is not None else (self._older(run_id), False)
        changed = dict(notes)
        if name and is_unnamed:
            changed["name"] = names.check_run_name(name)
        if experiment and experiment != older.experiment[1]:
            text = f"asked for experiment {experiment}, and the run is in {older.experiment[1]}"
            warn(text)
            changed[warning_key(text)] = text
        shown = str(changed.get("name", older.name))
        return self.recorder().join(older, changed, name=shown, is_step=is_step)

    def finish_run(self, run_id: str) -> Began:
        """Take hold of a run that `gittrack start` began, to end it.

        Raises:
            RunNotFoundError: there is no such run.
            UsageError: a process ends it, or it has ended.
        """
        from gittrack.repo.joining import check_open, read_older

        live = read_older(self.journal_dir, run_id)
        older = live[0] if live is not None else self._older(run_id)
        check_open(self.journal_dir, older)
        return self.recorder().resume(older, {}, name=older.name, is_step=True)

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

    def init(self, *, dry_run: bool = False) -> InitReport:
        """Make the store, if there is none yet; safe to repeat."""
        made = False

        def plan(tip: str | None) -> Tree | None:
            nonlocal made
            check_writable(self._git, tip)
            made = tip is None
            write = made and not dry_run
            return Tree(dict(first_files()), "start a store [skip ci]\n") if write else None

        update(self._git, layout.STORE_REF, plan, self._person(), fsync=self.config.seal_fsync)
        verb = "would write" if dry_run else "wrote"
        lines = [
            f"{verb} {layout.STORE_REF} in {self._paths.common_dir}"
            if made
            else f"{layout.STORE_REF} is there already; nothing was changed",
            "runs are committed to that ref; branches, staging area and files stay untouched",
            "no remote receives runs: nothing is shared until you say so",
        ]
        return InitReport(made, tuple(lines))

    def flush(self) -> None:
        """Commit the runs of this process that have ended, now."""
        if self._recorder is not None:
            self._recorder.flush()

    def close(self) -> None:
        """Commit what has ended and let go of files and processes."""
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None
        if self._view is not None:
            self._view.close()
            self._view = None
        self._git.close()

    def __enter__(self) -> Repo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- recover -------------------------------------------------------------------------

    def recover(
        self, directory: str | None = None, *, force: bool = False, dry_run: bool = False
    ) -> RecoverReport:
        """Take the runs of dead processes into the store.

        Args:
            directory: a journal folder from elsewhere; by default this repository's own.
            force: also what other machines wrote that have been quiet for a while.
            dry_run: only tell what would be taken.
        Raises:
            GittrackError: the store cannot be written; the journals stay.
        """
        folders = [os.path.abspath(directory)] if directory else [self._own_journal_dir()]
        if directory is None and self.journal_dir not in folders:
            folders.append(self.journal_dir)
        recovered: list[Recovered] = []
        waiting: list[Waiting] = []
        for folder in folders:
            if directory and not os.path.isdir(folder):
                raise RunNotFoundError(
                    f"there is no folder {folder}",
                    why="a journal folder is what GITTRACK_JOURNAL named while the runs went on",
                    next="gittrack recover DIR",
                )
            done, left = recovery.recover(
                self._git,
                folder,
                self.config,
                process.boot_id(),
                self._person(),
                force=force or directory is not None,
                dry_run=dry_run,
            )
            recovered += done
            waiting += left
        return RecoverReport(tuple(recovered), tuple(waiting))

    def _recover_quietly(self) -> None:
        # Reading goes on without it: dead runs are then shown from their journals.
        if not self._can_write():
            return
        try:
            for folder in (self._own_journal_dir(), self.journal_dir):
                if os.path.isdir(folder):
                    recovery.recover(
                        self._git, folder, self.config, process.boot_id(), self._person()
                    )
        except (GittrackError, OSError) as error:
            what = error.message if isinstance(error, GittrackError) else str(error)
            warn(f"runs of dead processes were not taken over: {what}; next: gittrack recover")

    # -- read ----------------------------------------------------------------------------

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

    def get_run(self, name: str) -> Run:
        """The one run of that id, hex prefix or name; see `repo.naming.Namer`.

        Raises:
            RunNotFoundError: none, or several; the message lists what there is.
        """
        return self._namer().get(name)

    def get_runs(self, name: str) -> list[Run]:
        """Every run that a name stands for: those of a commit, or of a name that several have.

        Raises:
            RunNotFoundError: there is none.
        """
        return self._namer().get_all(name)

    def _namer(self) -> Namer:
        from gittrack.repo.naming import Namer

        return Namer(self._git, self.view, self.config)

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

    def get_data(self, run: Run) -> Mapping[str, Any]:
        """The data that went in and came out, by name: digest and size."""
        return self._reader(run).surroundings().data

    def get_output(self, run: Run) -> bytes:
        """What the run printed, as far as it was recorded."""
        return self._reader(run).output()

    def follow_output(self, run: Run) -> Iterator[tuple[str, bytes]]:
        """Pieces of what the run prints, each with its writer, as they come, until it ends."""
        from gittrack.repo.follow import follow

        def sealed() -> list[tuple[str, bytes]]:
            with Repo.find(self.root, self._environ) as now:
                return now._reader(now.get_run(run.id)).pieces()

        return follow(self._folders(), run.id, sealed)

    def scan(self) -> ScanReport:
        """Look for secrets in what no remote has yet, and in the runs that go on."""
        from gittrack.repo.scan import scan

        return scan(self._git, self._folders(), self.config.redact_allow)

    def _folders(self) -> list[str]:
        return list(dict.fromkeys((self._own_journal_dir(), self.journal_dir)))

    def has_commit(self, commit: str) -> bool:
        """Whether a commit is in this repository."""
        from gittrack.repo.naming import find_commit

        return find_commit(self._git, commit) is not None

    def list_files(self, run: Run) -> list[str]:
        """The names of the files in a run's folder."""
        return self._reader(run).listing()

    def read_run_file(self, run: Run, path: str) -> bytes:
        """One file: of the run's folder, an artifact, or a file of the source that ran."""
        return self._reader(run).read(path)

    def read_artifact(self, run_id: str, path: str) -> bytes:
        """The bytes of an artifact."""
        run = self.get_run(run_id)
        reader = self._reader(run)
        data = reader.artifact(names.check_artifact_path(path))
        return reader.read(path) if data is None else data

    def get_artifact(self, run_id: str, path: str) -> str:
        """A readable local copy of an artifact; do not write to it."""
        run = self.get_run(run_id)
        data = self.read_artifact(run.id, path)
        folder = os.path.join(self._paths.common_dir, "gittrack", "artifacts")
        try:
            return write_copy(folder, run, path, data)
        except PermissionError:
            import tempfile

            return write_copy(tempfile.mkdtemp(prefix="gittrack-"), run, path, data)

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

    def checkout(self, run: Run, into: str, *, dry_run: bool = False) -> Checkout:
        """Lay out exactly what ran in a new folder, and verify its tree id.

        With `dry_run` it is only verified that this can be done.

        Raises:
            SourceError: it cannot be rebuilt, or `into` is not a new or empty folder.
        """
        from gittrack.store.rebuild import rebuild

        reader = self._reader(run)
        source = reader.source()
        rebuilt = rebuild(
            self._git, source, reader.overlay(source), os.path.abspath(into), dry_run=dry_run
        )
        return Checkout(
            os.path.abspath(into), source.commit, source.tree, rebuilt.files, tuple(source.withheld)
        )

    def status(self) -> Status:
        """How things stand in this repository."""
        from gittrack.repo.status import get_status

        return get_status(self._git, self.view)

    # -- edit ----------------------------------------------------------------------------

    def _editor(self) -> Editor:
        from gittrack.repo.edit import Editor

        machine = process.host_name(), process.boot_id()
        fsync = self.config.seal_fsync
        return Editor(self._git, self.view, self._person(), machine, fsync=fsync)

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

    def _reader(self, run: Run) -> RunReader:
        return RunReader(self._git, self.view, run)


def warn(text: str) -> None:
    """Say something that must not stop the user's program, on standard error."""
    print(f"gittrack: {text}", file=sys.stderr)
