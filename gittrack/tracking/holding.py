"""What a run holds already, for what is added to it: tables, and images of one key and step."""

from __future__ import annotations

import os
from threading import RLock
from typing import TYPE_CHECKING

from gittrack.errors import RunNotFoundError

if TYPE_CHECKING:
    from gittrack.repo import Repo
    from gittrack.tracking.active import ActiveRun


class Holding:
    """The artifacts of a run while it is recorded.

    A run that this process alone has written to is asked no further than what was kept from here;
    of any other one the repository is asked too.
    """

    def __init__(self, run: ActiveRun) -> None:
        self._run = run
        self._lock = RLock()
        self._pid = os.getpid()
        self._taken: set[str] = set()

    @property
    def lock(self) -> RLock:
        """Held from reading what there is until more is kept."""
        if self._pid != os.getpid():
            # Another thread of the parent may have held it when this process was forked.
            self._lock, self._pid = RLock(), os.getpid()
        return self._lock

    def read(self, path: str) -> bytes | None:
        """The bytes of an artifact, None if there is none of that path.

        Raises:
            GittrackError, OSError: they cannot be read.
        """
        kept = self._run._keeper.read(path)
        if self._is_alone() and (kept is not None or not self._run._keeper.has(path)):
            return kept
        repo = self._repo()
        if repo is None:
            return kept
        try:
            return repo.find_artifact(repo.get_run(self._run.id), path)
        except RunNotFoundError:
            return kept

    def free_path(
        self, top: str, key: str, step: int | None, timestamp: int | None, suffix: str
    ) -> str:
        """A path for what belongs to a key and a step that nothing has yet.

        The first one is `<top>/<key>/step-000000010.<suffix>` in every run, so that runs can be
        compared; ranks other than the first, given times and further ones are told apart.
        """
        from gittrack.capture.process import ranks

        rank = ranks(os.environ).get("rank", 0)
        name = f"{top}/{key}/step-{int(step or 0):09d}"
        name += "" if timestamp is None else f"_{int(timestamp)}"
        name += f"_rank{rank}" if rank else ""
        with self.lock:
            path, number = f"{name}.{suffix}", 1
            while path in self._taken or self._holds(path):
                number += 1
                path = f"{name}_{number}.{suffix}"
            self._taken.add(path)
        return path

    def _holds(self, path: str) -> bool:
        if self._run._keeper.has(path):
            return True
        repo = None if self._is_alone() else self._repo()
        if repo is None:
            return False
        try:
            return path in repo.artifacts_of(repo.get_run(self._run.id)).files(path)
        except RunNotFoundError:
            return False

    def _is_alone(self) -> bool:
        run = self._run
        return not run.joined and not run._began.resumed and run._journal.is_alone()

    def _repo(self) -> Repo | None:
        """The repository, None if there is but a folder of journals."""
        from gittrack.repo import Repo
        from gittrack.tracking import fluent

        found: object = fluent._repo()
        return found if isinstance(found, Repo) else None
