"""The methods of `Repo` that carry the bytes of large artifacts to DVC remotes and back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.core import kept
from gittrack.core.listing import is_listing
from gittrack.core.model import Run
from gittrack.errors import ArtifactError, ArtifactRemoteError
from gittrack.repo.placing import Placing

if TYPE_CHECKING:
    from gittrack.repo.upkeep import Swept, Verified
    from gittrack.store.dvc.transfer import Report

#: Told how far it is: objects done and in all, bytes done and in all; None if nobody knows.
Progress = Callable[[int, int, int, int | None], None]


#: What any object may have; a size that is missing keeps nobody from getting a small file.
_SLACK_BYTES = 1 << 20


class Lacking(NamedTuple):
    """An object that did not get there: which artifact of which run it is, and why."""

    run_id: str
    run_name: str
    path: str
    md5: str
    why: str


class Carried(NamedTuple):
    """What a transfer did: objects and bytes that were moved, and those that were there already."""

    remote: str
    sent: int
    size_bytes: int
    present: int
    lacking: tuple[Lacking, ...] = ()


class Carrying(Placing):
    """Sends objects of the object store to a DVC remote, and brings them from there."""

    # -- give ----------------------------------------------------------------------------

    def read_artifact(self, run_id: str, path: str) -> bytes:
        """The bytes of an artifact.

        Raises:
            ArtifactError: they are not here, or damaged.
            FileNotInRunError: the run has no such file.
        """
        from gittrack.repo.artifacts import check_path

        run = self.get_run(run_id)
        path = check_path(path)
        self._bring_missing(run, [path])
        reader = self._reader(run)
        data = reader.artifact(path)
        return reader.read(path) if data is None else data

    def get_artifact(self, run_id: str, path: str = "") -> str:
        """A readable local copy of an artifact, or of a folder of them; do not write to it.

        Raises:
            ArtifactError: its bytes are not here, or damaged.
            FileNotInRunError: the run has no such file.
        """
        from gittrack.repo.artifacts import (
            ArtifactFile,
            RunArtifacts,
            cached_copies,
            check_path,
        )

        run = self.get_run(run_id)
        path = check_path(path)
        self._bring_missing(run, [path])
        artifacts = self.artifacts_of(run)
        files = artifacts.files(path)
        if not files:
            data = self._reader(run).read(path)
            files = {path: ArtifactFile(path, len(data), "644", None, None)}
            artifacts = RunArtifacts(run.name, (), (), lambda key: data)
        try:
            return cached_copies(artifacts, files, path, os.path.join(self._artifact_dir(), run.id))
        except OSError:
            # Read-only, or what was a file once is a folder by now.
            import tempfile

            return cached_copies(artifacts, files, path, tempfile.mkdtemp(prefix="gittrack-"))

    def lay_out_artifacts(
        self,
        run: Run,
        paths: Sequence[str],
        into: str,
        *,
        force: bool = False,
        remote: str | None = None,
        jobs: int | None = None,
        asks: bool = False,
        progress: Progress | None = None,
    ) -> list[str]:
        """Copy artifacts, or folders of them, into a folder; "" is all of them. The new files.

        Raises:
            FileNotInRunError: the run has no such artifact; nothing was written.
            ArtifactError: one is not to be had, is damaged, or cannot be written there.
        """
        from gittrack.repo.artifacts import check_path, lay_out
        from gittrack.repo.files import no_such_file

        paths = [check_path(path) for path in paths or [""]]
        self._bring_missing(run, paths, remote=remote, jobs=jobs, asks=asks, progress=progress)
        artifacts = self.artifacts_of(run)
        wanted = []
        for path in paths:
            files = artifacts.files(path)
            # Of a file that is also a folder of others, the file is meant.
            files = {path: files[path]} if path in files else files
            if path and not files:
                raise no_such_file(run, path, list(artifacts.files()))
            wanted.append((path, files))
        return [
            place
            for path, files in wanted
            for place in lay_out(artifacts, files, path, into, force=force)
        ]

    def _bring_missing(self, run: Run, paths: Sequence[str], **options: Any) -> None:
        """Bring what is not here of those artifacts, if anything is not.

        Raises:
            ArtifactError: it is not to be had.
        """
        artifacts = self.artifacts_of(run)
        missing = [f"{layer.path or '.'}/" for p in paths for layer in artifacts.unlisted(p)]
        missing += [
            file.path
            for path in paths
            for file in artifacts.files(path).values()
            if file.md5 is not None and artifacts.find_object(file.md5) is None
        ]
        if not missing:
            return
        what = f"artifact {missing[0]} of run '{run.name}' is not here"
        if self.config.offline:
            raise ArtifactError(
                what,
                why="and the setting offline is on",
                next=f"GITTRACK_OFFLINE=0 gittrack artifacts get {run.short_id} {missing[0]}",
            )
        try:
            done = self.pull_artifacts([run], paths=paths, **options)
        except ArtifactRemoteError as error:
            raise ArtifactError(
                what, why=f"{error.message}: {error.why}", next=error.next
            ) from error
        if done.lacking:
            first = done.lacking[0]
            raise ArtifactError(
                f"artifact {first.path} of run '{run.name}' is neither here nor on {done.remote}",
                why=first.why,
                next="where it was recorded: gittrack push --artifacts-only",
            )

    # -- carry ---------------------------------------------------------------------------

    def repair_artifacts(
        self,
        runs: Sequence[Run] | None = None,
        *,
        remote: str | None = None,
        progress: Callable[[int, int], None] = lambda objects, size: None,
    ) -> Verified:
        """Replace damaged objects by good copies: of journals, of DVC's cache, else of a remote."""
        from gittrack.store.dvc import transfer

        done = self.verify_artifacts(runs, repair=True, progress=progress)
        damaged = {trouble.md5 for trouble in done.troubles if trouble.place}
        if not damaged or self.config.offline:
            return done
        affected = {trouble.run_id for trouble in done.troubles}
        needs = [(run, "") for run in self.search_runs(include_deleted=True) if run.id in affected]
        most = _most(dict.fromkeys(damaged, needs))
        try:
            with self._open_artifact_remote(remote, asks=False) as opened:
                report = transfer.fetch(
                    self.objects.folder, opened, damaged, repair=True, whole=False, most=most
                )
        except ArtifactRemoteError:
            # Without a remote it is as bad as before.
            return done
        again = self.verify_artifacts(runs, progress=progress)
        return again._replace(repaired=done.repaired + len(report.sent))

    def has_objects(self) -> bool:
        """Whether there is anything here that a remote for artifacts could get."""
        return next(iter(self.objects), None) is not None

    def push_artifacts(
        self,
        runs: Sequence[Run] | None = None,
        *,
        remote: str | None = None,
        jobs: int | None = None,
        asks: bool = False,
        repair: bool = False,
        progress: Progress | None = None,
    ) -> Carried:
        """Send the objects of runs, and of what was exported of them, that the remote lacks.

        Afterwards every one of them, and of every folder every file, is known to be there.

        Args:
            runs: all by default; of these it is told, too, if an object is on neither side.
            jobs: objects at a time.
            repair: read back what the remote has, and replace what is damaged there.
        Raises:
            ArtifactRemoteError: there is no remote, or it was lost on the way.
        """
        from gittrack.store.dvc import transfer

        wanted = self._wanted(runs)
        self._add_exported(wanted, runs)
        here = self.objects
        if runs is None:
            # Others push what only they have.
            wanted = {md5: needs for md5, needs in wanted.items() if here.has(md5)}
        with self._open_artifact_remote(remote, asks=asks) as opened:
            report = transfer.push(
                here.folder, opened, wanted, jobs=jobs, progress=progress, repair=repair
            )
            return self._carried(opened.name, wanted, report)

    def pull_artifacts(
        self,
        runs: Sequence[Run] | None = None,
        *,
        paths: Sequence[str] = (),
        remote: str | None = None,
        jobs: int | None = None,
        asks: bool = False,
        repair: bool = False,
        progress: Progress | None = None,
    ) -> Carried:
        """Bring the objects of runs, of all by default, that are not here.

        Args:
            paths: only these artifacts, or folders of them.
            repair: also replace what is damaged here.
        Raises:
            ArtifactRemoteError: there is no remote, or it was lost on the way.
        """
        from gittrack.store.dvc import transfer

        with self._open_artifact_remote(remote, asks=asks) as opened:
            wanted = self._wanted(runs)
            if paths:
                # Which files a folder has is known when its listing is here.
                listings = [md5 for md5 in self._within(runs, paths) if is_listing(md5)]
                if listings:
                    transfer.fetch(self.objects.folder, opened, listings, jobs=jobs, whole=False)
                wanted = self._within(runs, paths)
            report = transfer.fetch(
                self.objects.folder, opened, wanted, jobs=jobs, progress=progress,
                repair=repair, whole=not paths, most=_most(wanted),
            )  # fmt: skip
            return self._carried(opened.name, wanted, report)

    def sweep_remote(
        self,
        remote: str | None = None,
        *,
        wait_s: float | None = None,
        dry_run: bool = False,
        asks: bool = False,
    ) -> Swept:
        """Delete from a remote what no run needs that is known here, and has not for two weeks.

        Ask the git remotes for their runs before: what only they know would count as unneeded.

        Args:
            wait_s: how long it has to be known that nobody needs an object.
        Raises:
            ArtifactRemoteError: there is no remote, it cannot tell what it has, or was lost.
            ArtifactError: what some run needs is not known; nothing was deleted.
        """
        import time

        from gittrack.repo.upkeep import REMOTE_GRACE_S, Swept, ripe
        from gittrack.store.dvc import transfer
        from gittrack.store.dvc.removal import remove

        with self._open_artifact_remote(remote, asks=asks) as opened:
            there = dict(opened.list_objects())
            needed = self._find_needed()
            listings = {md5 for md5 in needed if is_listing(md5) and md5 in there}
            if listings:
                # Which files a folder needs is said by its listing alone.
                report = transfer.fetch(self.objects.folder, opened, listings, whole=False)
                if not report.is_complete:
                    raise ArtifactError(
                        "nothing was deleted: which files a folder needs is not known",
                        why=next(iter([*report.corrupt.values(), *report.failed.values()]), ""),
                        next="gittrack artifacts verify --repair",
                    )
            unneeded = there.keys() - self.objects.with_children(needed)
            seen = self._memory.times("unneeded", opened.name)
            wait_s = REMOTE_GRACE_S if wait_s is None else wait_s
            gone, waiting = ripe(unneeded, seen, time.time(), wait_s=wait_s)
            failed: Mapping[str, str] = {}
            if not dry_run:
                failed = remove(opened, gone).failed
                self._memory.set_times("unneeded", opened.name, waiting)
            done = gone - failed.keys()
            return Swept(
                len(done), sum(there[md5] or 0 for md5 in done),
                len(waiting), sum(there[md5] or 0 for md5 in waiting), failed,
            )  # fmt: skip

    def bring_listings(self, run: Run) -> None:
        """Bring the listings of a run's folders, which say what they hold, if a remote has them.

        Whoever needs one that is not to be had says so; without a remote nothing is tried.
        """
        from gittrack.store.dvc import transfer

        lacking = [layer.md5 for layer in self.artifacts_of(run).unlisted() if layer.md5]
        if not lacking or self.config.offline:
            return
        with (
            contextlib.suppress(ArtifactRemoteError),
            self._open_artifact_remote(None, asks=False) as opened,
        ):
            transfer.fetch(self.objects.folder, opened, lacking, whole=False)

    def _wanted(self, runs: Sequence[Run] | None) -> dict[str, list[tuple[Run, str]]]:
        """The objects of runs, a folder as one, with the artifacts that need each."""
        wanted: dict[str, list[tuple[Run, str]]] = {}
        for run in self.search_runs(include_deleted=True) if runs is None else runs:
            for key, artifact in run.artifacts.items():
                if artifact.md5 is not None and artifact.blob is None:
                    wanted.setdefault(artifact.md5, []).append((run, kept.shown(key)))
        return wanted

    def _add_exported(
        self, wanted: dict[str, list[tuple[Run, str]]], runs: Sequence[Run] | None
    ) -> None:
        """Add what was put together for exports and no run names: merged folders."""
        from gittrack.repo.export import exported_objects

        chosen = None if runs is None else {run.id: run for run in runs}
        for run_id, objects in exported_objects(self._git).items():
            run = self.view.find_by_id(run_id) if chosen is None else chosen.get(run_id)
            if run is not None:
                for md5, path in objects.items():
                    wanted.setdefault(md5, [(run, path)])

    def _within(
        self, runs: Sequence[Run] | None, paths: Sequence[str]
    ) -> dict[str, list[tuple[Run, str]]]:
        """The objects of artifacts at or below those paths, and the listings not known yet."""
        wanted: dict[str, list[tuple[Run, str]]] = {}
        for run, artifacts in self._with_artifacts(runs):
            for path in paths:
                for layer in artifacts.unlisted(path):
                    if layer.md5 is not None:
                        wanted.setdefault(layer.md5, []).append((run, f"{layer.path or '.'}/"))
                for file in artifacts.files(path).values():
                    if file.md5 is not None:
                        wanted.setdefault(file.md5, []).append((run, file.path))
        return wanted

    def _carried(
        self, remote: str, wanted: Mapping[str, list[tuple[Run, str]]], report: Report
    ) -> Carried:
        whys: dict[str, str] = dict.fromkeys(report.missing, "it is neither here nor there")
        whys.update(report.corrupt)
        whys.update(report.failed)
        lacking: list[Lacking] = []
        for md5, needs in wanted.items():
            files = report.incomplete.get(md5, {})
            for run, path in needs:
                for name, file in files.items():
                    why = whys.get(file, "it is not there")
                    lacking.append(
                        Lacking(run.id, run.name, path.removeprefix("./") + name, file, why)
                    )
                # Of a folder that lacks files it goes without saying that it is not there.
                if md5 in whys and not files:
                    lacking.append(Lacking(run.id, run.name, path, md5, whys[md5]))
        return Carried(
            remote, len(report.sent), report.size_bytes, len(report.present), tuple(lacking)
        )


def _most(wanted: Mapping[str, list[tuple[Run, str]]]) -> dict[str, int]:
    """The most bytes that objects have, by what the runs say that need them.

    A file of a folder has no more than the largest folder of its runs.
    """
    most: dict[str, int] = {}
    for md5, needs in wanted.items():
        sizes = [_SLACK_BYTES]
        for run, _ in needs:
            for artifact in run.artifacts.values():
                if artifact.md5 == md5 or artifact.files is not None:
                    sizes.append(artifact.size_bytes)
        most[md5] = max(sizes)
    return most
