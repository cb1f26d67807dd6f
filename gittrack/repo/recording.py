"""The methods of `Repo` that record."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gittrack.core import names
from gittrack.core.model import DEFAULT_EXPERIMENT
from gittrack.core.record import warning_key
from gittrack.errors import (
    GittrackError,
    NotARepositoryError,
)
from gittrack.repo.opened import Opened, warn
from gittrack.repo.recorder import Began, Older, Recorder
from gittrack.store.git import Git
from gittrack.store.paths import find_paths

if TYPE_CHECKING:
    pass


class Recording(Opened):
    """Begins, joins and ends runs; a Repo may be used from several threads for that."""

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

    def flush(self) -> None:
        """Commit the runs of this process that have ended, now."""
        if self._recorder is not None:
            self._recorder.flush()
