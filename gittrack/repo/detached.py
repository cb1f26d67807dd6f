"""Recording where there is no repository: into the journal folder that GITTRACK_JOURNAL names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn, cast

from gittrack.config import Config, parse_git_config
from gittrack.config import load as load_config
from gittrack.core import names
from gittrack.errors import GittrackError, NotARepositoryError, RunNotFoundError
from gittrack.repo.opened import warn
from gittrack.repo.recorder import Recorder
from gittrack.repo.recording import Recording
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


class Detached(Recording):
    """Stands in for a Repo as far as recording goes; `gittrack recover DIR` does the rest."""

    #: There is no worktree to look for results in.
    is_bare = True

    def __init__(self, journal_dir: str, environ: Mapping[str, str]) -> None:
        self.root = os.path.abspath(journal_dir)
        git_config = _git_config()
        self.config: Config = load_config(None, git_config, environ)
        self._recorder = Recorder(
            None, None, self.root, self.config, git_config, seals=False, warn=warn
        )

    @property
    def journal_dir(self) -> str:
        """The folder."""
        return self.root

    def recorder(self) -> Recorder:
        """The writing side of this process."""
        return self._recorder

    def experiment_for(self, name: str) -> tuple[str, str]:
        """Id and name of the experiment that a new run of that name belongs to."""
        name = names.check_experiment_name(name)
        return names.experiment_id(name), name

    def _older(self, run_id: str) -> NoReturn:
        raise RunNotFoundError(
            f"there is no run {run_id} in {self.root}",
            why="without a repository, only runs of this folder that go on can be written to",
            next="unset GITTRACK_RUN_ID, or start the run with the same GITTRACK_JOURNAL",
        )

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
