"""An opened repository: where it is, what is set in it, and the view on its runs."""

from __future__ import annotations

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from gittrack.capture import process
from gittrack.config import Config, parse_git_config
from gittrack.config import load as load_config
from gittrack.core.model import Run
from gittrack.errors import NotARepositoryError
from gittrack.repo.files import RunReader
from gittrack.repo.recorder import Recorder
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.paths import RepoPaths, find_paths
from gittrack.store.write import Person

if TYPE_CHECKING:
    from gittrack.repo.memory import Memory
    from gittrack.repo.naming import Namer
    from gittrack.repo.tips import Tips
    from gittrack.store.odb import Odb
    from gittrack.store.remote import Link


class Opened(ABC):
    """What recording, reading and changing share."""

    def __init__(self, paths: RepoPaths, environ: Mapping[str, str]) -> None:
        self._environ = dict(environ)
        self._paths = paths
        self._git = Git(paths)
        self._git_config: dict[str, list[str]] | None = None
        self._config: Config | None = None
        self._view: View | None = None
        self._recorder: Recorder | None = None
        self._recovered = False

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

    def _artifact_dir(self) -> str:
        return os.path.join(self._paths.common_dir, "gittrack", "artifacts")

    def _person(self) -> Person:
        who = process.identity(self.git_config, self._environ)
        return Person(who.name, who.email)

    @cached_property
    def _memory(self) -> Memory:
        from gittrack.repo.memory import Memory

        return Memory(self._paths.common_dir)

    @cached_property
    def _tips(self) -> Tips:
        from gittrack.repo.tips import Tips

        writes = self._can_write()
        return Tips(self._git, self._links, self._memory, can_write=writes, warn=warn)

    @property
    def view(self) -> View:
        """The reading side; dead journals have been taken over before it is first used."""
        if self._view is None:
            folders = [self._own_journal_dir()]
            if self.journal_dir not in folders:
                folders.append(self.journal_dir)
            boot = process.boot_id()
            self._view = View(
                self._git, folders, self.config, boot, self._tips, self._store_moved, warn
            )
        if not self._recovered:
            self._recovered = True
            self._recover_quietly()
            self._catch_up_quietly()
            self._keep_house()
        return self._view

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

    def _links(self) -> Mapping[str, Link]:
        from gittrack.store.remote import links

        return links(self.git_config)

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

    def flush(self) -> None:
        """Commit the runs of this process that have ended, now."""
        if self._recorder is not None:
            self._recorder.flush()

    @abstractmethod
    def _recover_quietly(self) -> None:
        """Take over dead journals; trouble with that is a warning."""

    @abstractmethod
    def _catch_up_quietly(self, *, begins: bool = False) -> None:
        """Record and link commits that are new; trouble with that is a warning.

        Args:
            begins: look, even if there is no store yet.
        """

    def _store_moved(self, before: str, now: str | None) -> None:
        """Say so if somebody else's program has set our ref back; what it held can be had."""
        from gittrack.repo.tips import count_lost

        lost = count_lost(self._git, before, now)
        if lost:
            self._memory.note("lost", before)
            was = "deleted" if now is None else "set back"
            warn(
                f"{layout.STORE_REF} was {was} by another program, which lost it "
                f"{'a commit' if lost == 1 else f'{lost} commits'}; next: gittrack recover"
            )

    def has_commit(self, commit: str) -> bool:
        """Whether a commit is in this repository."""
        from gittrack.repo.naming import find_commit

        return find_commit(self._git, commit) is not None

    @abstractmethod
    def _keep_house(self) -> None:
        """What is worth doing once a day, whatever command comes first; trouble does not matter."""

    @abstractmethod
    def _bring_commit(self, commit: str, *, asks: bool) -> None:
        """Fetch a commit that is not here from a remote that has it; if none has, it stays so."""

    def get_run(self, name: str) -> Run:
        """The one run of that id, hex prefix or name; see `repo.naming.Namer`.

        Raises:
            RunNotFoundError: none, or several; the message lists what there is.
        """
        return self._namer().get(name)

    def _namer(self) -> Namer:
        from gittrack.repo.naming import Namer

        return Namer(self._git, self.view, self.config)

    def _folders(self) -> list[str]:
        return list(dict.fromkeys((self._own_journal_dir(), self.journal_dir)))

    def _reader(self, run: Run) -> RunReader:
        return RunReader(self._git, self.view, run, self._stores)

    def _stores(self) -> list[Odb]:
        """Where objects of large artifacts are looked for; the repository's own store first."""
        from gittrack.repo.objects import objects_near

        return objects_near(self.objects, self._folders())

    @property
    def objects(self) -> Odb:
        """The object store of the repository: its large artifacts."""
        from gittrack.repo.objects import repository_objects

        return repository_objects(self._paths.common_dir, self._paths.worktree)


def warn(text: str) -> None:
    """Say something that must not stop the user's program, on standard error."""
    print(f"gittrack: {text}", file=sys.stderr)
