"""The methods of `Repo` for artifacts: their files, their bytes, and the object store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from gittrack.core.model import Run
from gittrack.repo.codehistory import CodeHistory

if TYPE_CHECKING:
    from gittrack.repo.artifacts import ArtifactFile, RunArtifacts
    from gittrack.repo.upkeep import Collected, Usage, Verified


class Storing(CodeHistory):
    """Gives the artifacts of runs, and looks after the object store."""

    def list_artifacts(self, run_id: str, path: str = "") -> list[ArtifactFile]:
        """The files among a run's artifacts, at or below a path."""
        from gittrack.repo.artifacts import check_path

        return list(self.artifacts_of(self.get_run(run_id)).files(check_path(path)).values())

    def artifacts_of(self, run: Run) -> RunArtifacts:
        """Which files a run keeps, and where their bytes are."""
        return self._reader(run).artifacts

    def verify_artifacts(
        self,
        runs: Sequence[Run] | None = None,
        *,
        repair: bool = False,
        progress: Callable[[int, int], None] = lambda objects, size: None,
    ) -> Verified:
        """Hash the objects of runs, of all by default, that are here.

        Args:
            runs: of these it is a fault, too, if an object is not here.
            repair: replace damaged ones by good copies that journals or DVC's cache have.
            progress: is told how many objects and bytes were looked at.
        """
        from gittrack.repo.upkeep import verify
        from gittrack.store.odb import Odb, dvc_caches

        caches = dvc_caches(self._paths.worktree)
        dvc = [Odb(os.path.dirname(os.path.dirname(folder))) for folder in caches]
        return verify(
            self._with_artifacts(runs), [*self._stores(), *dvc],
            is_asked=runs is not None, repair=repair, progress=progress,
        )  # fmt: skip

    def artifact_usage(self, runs: Sequence[Run] | None = None) -> list[Usage]:
        """What the artifacts of runs take, of all by default; the largest first."""
        from gittrack.repo.upkeep import usage

        found = [usage(run, artifacts) for run, artifacts in self._with_artifacts(runs)]
        return sorted(found, key=lambda u: (-u.object_bytes - u.git_bytes, u.run_id))

    def collect_garbage(self, *, grace_s: float | None = None, dry_run: bool = False) -> Collected:
        """Delete the objects that no run needs, of any tip, hidden or running, and no export.

        Args:
            grace_s: what is younger stays; an hour by default.
        Raises:
            ArtifactError: what some run needs is not known; nothing was deleted.
        """
        from gittrack.repo.upkeep import GRACE_S, collect

        grace_s = GRACE_S if grace_s is None else grace_s
        return collect(self.objects, self._find_needed, grace_s=grace_s, dry_run=dry_run)

    def _find_needed(self) -> set[str]:
        """The objects that runs and exports name, without the files of folders.

        Raises:
            ArtifactError: it is not known of all runs.
        """
        from gittrack.errors import ArtifactError
        from gittrack.repo.export import exported_objects
        from gittrack.repo.stored import is_damaged

        needed: set[str] = set()
        for run in self.search_runs(include_deleted=True):
            if is_damaged(run):
                raise ArtifactError(
                    "nothing was deleted: what a run needs is not known",
                    why=f"run {run.short_id} is damaged",
                    next="gittrack fsck",
                )
            needed.update(a.md5 for a in run.artifacts.values() if a.md5 is not None)
        return needed.union(*exported_objects(self._git).values())

    def _with_artifacts(self, runs: Sequence[Run] | None) -> Iterator[tuple[Run, RunArtifacts]]:
        for run in self.search_runs(include_deleted=True) if runs is None else runs:
            if run.artifacts:
                yield run, self.artifacts_of(run)
