"""Begin runs, and go on with those of others: what a Repo does, and a folder of journals alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gittrack import journal
from gittrack.core import names
from gittrack.core.record import warning_key
from gittrack.errors import UsageError
from gittrack.repo.opened import warn

if TYPE_CHECKING:
    from gittrack.repo.recorder import Recorder
    from gittrack.repo.values import Began, NewRun, Older


class Recording(ABC):
    """May be used from several threads."""

    @property
    @abstractmethod
    def journal_dir(self) -> str:
        """Where this process writes the journals of its runs."""

    @abstractmethod
    def recorder(self) -> Recorder:
        """The writing side of this process."""

    @abstractmethod
    def experiment_for(self, name: str) -> tuple[str, str]:
        """Id and name of the experiment that a new run of that name belongs to."""

    @abstractmethod
    def _older(self, run_id: str) -> Older:
        """A run that has no journal here.

        Raises:
            RunNotFoundError: there is no such run.
        """

    def begin_run(self, new: NewRun) -> Began:
        """Begin a run.

        Raises:
            JournalError: its journal cannot be written.
        """
        return self.recorder().begin(new, self.experiment_for(new.experiment))

    def resume_run(self, run_id: str, *, name: str | None, notes: Mapping[str, Any]) -> Began:
        """Go on with a run that has ended; its steps and stamps continue after the highest.

        Raises:
            RunNotFoundError: there is no such run.
        """
        older = self._older(run_id)
        name = names.check_run_name(name) if name else ""
        return self.recorder().go_on(older, _named(notes, name), name=name)

    def join_run(
        self,
        run_id: str,
        *,
        name: str | None = None,
        experiment: str | None = None,
        notes: Mapping[str, Any] = {},
    ) -> Began:
        """Write to a run that another process ends.

        Args:
            name: what the run is called if nobody has named it yet.
            experiment: where it was expected; the run stays where it is, and says so.
        Raises:
            RunNotFoundError: there is no such run.
        """
        older = self.find_live(run_id) or self._older(run_id)
        name = names.check_run_name(name) if name and older.is_unnamed else ""
        changed = _named(notes, name)
        if experiment and experiment != older.experiment[1]:
            text = f"asked for experiment {experiment}, and the run is in {older.experiment[1]}"
            warn(text)
            changed[warning_key(text)] = text
        return self.recorder().go_on(older, changed, name=name, joins=True)

    def join_step(self, run_id: str) -> Began:
        """Write one step to a run that goes on, such as a line of a script does.

        Raises:
            RunNotFoundError: there is no such run.
            UsageError: it has ended.
        """
        older = self.find_live(run_id)
        if older is None:
            older = self._older(run_id)
            raise UsageError(
                f"run '{older.name}' has ended",
                why="a step can only be added to a run that goes on",
                next="export GITTRACK_RUN_ID=$(gittrack start)",
            )
        return self.recorder().go_on(older, {}, joins=True, is_step=True)

    def finish_run(self, run_id: str) -> Began:
        """Take hold of a run that `gittrack start` began, to end it.

        Raises:
            RunNotFoundError: there is no such run.
            UsageError: a process ends it, or it has ended.
        """
        older = self.find_live(run_id) or self._older(run_id)
        states = journal.read_run(self.journal_dir, older.run_id)
        if not any(state.is_open for state in states):
            raise UsageError(
                f"run '{older.name}' is not one that `gittrack start` began",
                why="the program that records it ends it, or has ended it already",
                next="gittrack status",
            )
        return self.recorder().go_on(older, {}, is_step=True)

    def find_live(self, run_id: str) -> Older | None:
        """What the journals here say of a run that goes on; None if they have none."""
        from gittrack.repo.joining import read_older

        return read_older(self.journal_dir, run_id)


def _named(notes: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {**notes, "name": name} if name else dict(notes)
