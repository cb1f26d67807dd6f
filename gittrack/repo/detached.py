"""Recording where there is no repository: into the journal folder that GITTRACK_JOURNAL names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, cast

from gittrack.config import Config, parse_git_config
from gittrack.config import load as load_config
from gittrack.core import names
from gittrack.errors import GittrackError, NotARepositoryError, RunNotFoundError
from gittrack.repo.joining import check_open, read_older
from gittrack.repo.recorder import Began, Older, Recorder
from gittrack.store.git import Git
from gittrack.store.paths import RepoPaths

if TYPE_CHECKING:
    from gittrack.repo import Repo


def find_recording(environ: Mapping[str, str] = os.environ) -> Repo:
    """What gets the runs of this process: the repository here, or the folder GITTRACK_JOURNAL.

    Raises:
        NotARepositoryError: there is neither.
    """
    from gittrack.repo import Repo

    try:
        return Repo.find(None, environ)
    except NotARepositoryError:
        journal_dir = environ.get("GITTRACK_JOURNAL")
        if not journal_dir:
            raise
        return cast("Repo", Detached(journal_dir, environ))


class Detached:
    """Stands in for a Repo as far as recording goes; `gittrack recover DIR` does the rest."""

    is_bare = True

    def __init__(self, journal_dir: str, environ: Mapping[str, str]) -> None:
        self.root = self.journal_dir = os.path.abspath(journal_dir)
        git_config = _git_config()
        self.config: Config = load_config(None, git_config, environ)
        self._recorder = Recorder(
            None, None, self.journal_dir, self.config, git_config, seals=False, warn=_say
        )

    def recorder(self) -> Recorder:
        """The writing side of this process."""
        return self._recorder

    def experiment_for(self, name: str) -> tuple[str, str]:
        """Id and name of the experiment that a new run of that name belongs to."""
        name = names.check_experiment_name(name)
        return names.experiment_id(name), name

    def begin_run(
        self, name: str, experiment: str, *, parent: str | None, notes: Mapping[str, Any],
        argv: list[str] | None = None, is_open: bool = False, captures: bool = True,
    ) -> Began:  # fmt: skip
        """Begin a run in the experiment of that name; see `Recorder.begin`."""
        return self._recorder.begin(
            name=name, experiment=self.experiment_for(experiment), parent=parent, notes=notes,
            argv=argv, is_open=is_open, captures=captures,
        )  # fmt: skip

    def finish_run(self, run_id: str) -> Began:
        """Take hold of an open run to end it; see `Repo.finish_run`."""
        older, _ = self._live(run_id)
        check_open(self.journal_dir, older)
        return self._recorder.resume(older, {}, name=older.name, is_step=True)

    def _live(self, run_id: str) -> tuple[Older, bool]:
        live = read_older(self.journal_dir, run_id)
        if live is None:
            raise RunNotFoundError(
                f"there is no run {run_id} in {self.journal_dir}",
                why="GITTRACK_RUN_ID names it, and only runs of this folder can be joined here",
                next="unset GITTRACK_RUN_ID, or start the run with the same GITTRACK_JOURNAL",
            )
        return live

    def join_run(
        self,
        run_id: str,
        *,
        name: str | None = None,
        experiment: str | None = None,
        notes: Mapping[str, Any] = {},
        is_step: bool = False,
    ) -> Began:
        """Write to a run of the journal folder that another process ends."""
        older, is_unnamed = self._live(run_id)
        changed = dict(notes)
        if name and is_unnamed:
            changed["name"] = names.check_run_name(name)
        shown = str(changed.get("name", older.name))
        return self._recorder.join(older, changed, name=shown, is_step=is_step)

    def close(self) -> None:
        """Stop; the journals stay."""
        self._recorder.close()

    def __getattr__(self, name: str) -> NoReturn:
        raise NotARepositoryError(
            f"{name} needs a git repository",
            why=f"this process records into {self.__dict__.get('root', 'a folder')} alone",
            next="gittrack recover DIR, in the repository that shall get the runs",
        )


def _git_config() -> dict[str, list[str]]:
    here = os.getcwd()
    try:
        return parse_git_config(Git(RepoPaths(here, here, None)).run("config", "-z", "--list"))
    except GittrackError:
        # No git at all: the author is then user@host.
        return {}


def _say(text: str) -> None:
    from gittrack.repo import warn

    warn(text)
