"""Recording where there is no repository: into the journal folder that GITTRACK_JOURNAL names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

from gittrack.config import Config, parse_git_config
from gittrack.config import load as load_config
from gittrack.core import names
from gittrack.errors import GittrackError, NotARepositoryError, RunNotFoundError
from gittrack.repo.joining import read_older
from gittrack.repo.recorder import Began, Recorder
from gittrack.store.git import Git
from gittrack.store.paths import RepoPaths


class Detached:
    """Stands in for a Repo as far as recording goes; `gittrack recover DIR` does the rest."""

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
        self, name: str, experiment: str, *, parent: str | None, notes: Mapping[str, Any]
    ) -> Began:
        """Begin a run in the experiment of that name."""
        return self._recorder.begin(
            name=name, experiment=self.experiment_for(experiment), parent=parent, notes=notes
        )

    def join_run(
        self,
        run_id: str,
        *,
        name: str | None = None,
        experiment: str | None = None,
        notes: Mapping[str, Any] = {},
    ) -> Began:
        """Write to a run of the journal folder that another process ends."""
        live = read_older(self.journal_dir, run_id)
        if live is None:
            raise RunNotFoundError(
                f"there is no run {run_id} in {self.journal_dir}",
                why="GITTRACK_RUN_ID names it, and only runs of this folder can be joined here",
                next="unset GITTRACK_RUN_ID, or start the run with the same GITTRACK_JOURNAL",
            )
        older, is_unnamed = live
        changed = dict(notes)
        if name and is_unnamed:
            changed["name"] = names.check_run_name(name)
        return self._recorder.join(older, changed, name=str(changed.get("name", older.name)))

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
