"""The hall: one repository, and everything that can be done with the runs in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gittrack.capture import process
from gittrack.errors import GittrackError, RunNotFoundError
from gittrack.repo import recover as recovery
from gittrack.repo.along import Along
from gittrack.repo.changing import Changing
from gittrack.repo.files import Checkout
from gittrack.repo.loading import Loading
from gittrack.repo.opened import warn
from gittrack.repo.recording import Recording
from gittrack.repo.recover import Recovered, Waiting
from gittrack.repo.seal import check_writable, first_files
from gittrack.repo.sharing import Share
from gittrack.store import layout
from gittrack.store.paths import find_paths
from gittrack.store.write import NOBODY, Tree, update

if TYPE_CHECKING:
    from gittrack.core.model import Run
    from gittrack.repo.edit import Editor
    from gittrack.repo.export import Export
    from gittrack.repo.purge import Purged
    from gittrack.store.hooks import Hook

__all__ = [
    "Checkout",
    "InitReport",
    "RecoverReport",
    "Repo",
    "warn",
]


_DAY_S = 86400


class InitReport(NamedTuple):
    """What `init` did, a sentence a line, how the remote is shared, if there is one, and hooks."""

    created: bool
    lines: tuple[str, ...]
    share: Share | None = None
    hooks: tuple[Hook, ...] = ()


class RecoverReport(NamedTuple):
    """What was taken over from dead processes, and what was left alone.

    `rejoined` are the runs of commits that another program had taken from our ref.
    """

    recovered: tuple[Recovered, ...]
    waiting: tuple[Waiting, ...]
    rejoined: int = 0


class Repo(Loading, Along, Changing, Recording):
    """The runs of one git repository.

    Open it with `Repo.find`. A Repo may be used from several threads to record; read from
    one thread at a time.
    """

    @classmethod
    def find(cls, path: str | None = None, environ: Mapping[str, str] = os.environ) -> Repo:
        """The repository that holds `path`, by default GITTRACK_REPO or the current folder.

        Raises:
            NotARepositoryError: there is none.
        """
        return cls(find_paths(path or environ.get("GITTRACK_REPO") or None, environ), environ)

    def init(self, *, hooks: bool = True, dry_run: bool = False) -> InitReport:
        """Make the store, if there is none yet, and share it; safe to repeat.

        Args:
            hooks: install git hooks, if the setting `hooks.install` wishes it.
        """
        made = False

        def plan(tip: str | None) -> Tree | None:
            nonlocal made
            check_writable(self._git, tip)
            made = tip is None
            write = made and not dry_run
            return Tree(dict(first_files()), "start a store [skip ci]\n") if write else None

        # Nobody's, and of no time: so two clones that both run `init` make the same commit.
        fsync = self.config.seal_fsync
        update(self._git, layout.STORE_REF, plan, NOBODY, fsync=fsync, now=lambda: 0)
        verb = "would write" if dry_run else "wrote"
        lines = [
            f"{verb} {layout.STORE_REF} in {self._paths.common_dir}"
            if made
            else f"{layout.STORE_REF} is there already; nothing was changed",
            "runs are committed to that ref; branches, staging area and files stay untouched",
        ]
        share = None
        if self._default_remote() is None:
            lines.append("no remote receives runs: nothing is shared until you say so")
        else:
            share = self.share_remote(hooks=False, dry_run=dry_run)
            wrote = f"{verb} a fetch refspec: " if share.is_new else ""
            lines.append(f"{wrote}git pull brings the runs of {share.name}")
        installed = self._install_wished(dry_run=dry_run) if hooks else ()
        return InitReport(made, tuple(lines), share, installed)

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
        """Take the runs of dead processes into the store, and what it had lost.

        Args:
            directory: a journal folder from elsewhere; by default this repository's own.
            force: also what other machines wrote that have been quiet for a while.
            dry_run: only tell what would be taken.
        Raises:
            GittrackError: the store cannot be written; the journals stay.
        """
        # What is read on the way must not recover first.
        self._recovered = True
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
        rejoined = self._rejoin(dry_run=dry_run) if directory is None else 0
        return RecoverReport(tuple(recovered), tuple(waiting), rejoined)

    def _rejoin(self, *, dry_run: bool) -> int:
        """Join the tips that our ref had before another program set it back; how many runs."""
        from gittrack.repo.sync import count_runs, join_into
        from gittrack.store.write import read_ref

        self.view.index()  # finds out what was lost
        runs = 0
        for tip in self._memory.noted("lost"):
            if not self.has_commit(tip):
                self._memory.forget("lost", tip)
                continue
            before = read_ref(self._git, layout.STORE_REF)
            if dry_run:
                runs += count_runs(self._git, before, tip)
                continue
            fsync = self.config.seal_fsync
            runs += count_runs(
                self._git, before, join_into(self._git, tip, self._memory, fsync=fsync)
            )
            self._memory.forget("lost", tip)
        return runs

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

    def _keep_house(self) -> None:
        marker = os.path.join(self._paths.common_dir, "gittrack", "kept")
        from gittrack.repo import hints
        from gittrack.repo.export import forget_purged
        from gittrack.store.linked import sweep
        from gittrack.store.remote import forget_others

        with contextlib.suppress(OSError, GittrackError):
            if self._can_write() and time.time() - _modified_s(marker) > _DAY_S:
                # First: a second command shall not wait for the same.
                with open(marker, "wb"):
                    pass
                self._keep_sources()
                forget_others(self._git, self._links().values())
                forget_purged(self._git)
                hints.shorten(self._paths.common_dir)
                sweep(self._git)

    # -- export --------------------------------------------------------------------------

    def export_dvc(self, run: Run, tag: str | None = None, *, force: bool = False) -> Export:
        """Make a commit of a run that DVC reads: its files at the root, and DVC's own beside them.

        The same state of a run makes the same commit. A ref of ours keeps it alive.

        Args:
            tag: the git tag to put on it, so that others can have it by name.
            force: move that tag, if it is elsewhere.
        Raises:
            UsageError: the tag cannot be called so, or is elsewhere.
            ArtifactError: an artifact cannot be read, or it is not known what a folder holds.
            ConfigError: the remote of artifacts cannot be used as it is configured.
        """
        from gittrack.repo.export import Exporter, find_caches, find_remote

        self.bring_listings(run)
        worktree = self._paths.worktree
        remote = find_remote(worktree, self._paths.common_dir, self._remote_settings())
        caches = find_caches(worktree)
        fsync = self.config.seal_fsync
        exporter = Exporter(self._git, self.objects, caches, remote, fsync=fsync)
        return exporter.export(run, self._reader(run), tag, force=force)

    # -- purge ---------------------------------------------------------------------------

    def purge_runs(self, runs: Sequence[Run], *, dry_run: bool = False) -> Purged:
        """Take runs out of the store for good, here and in every clone that pulls.

        What was committed before still holds them; see `rewrite_history`.

        Raises:
            UsageError: a run goes on here.
        """
        from gittrack.repo.export import forget_exports
        from gittrack.repo.purge import purge

        self._join_fetched()
        fsync = self.config.seal_fsync
        done = purge(self._git, self.view, runs, self._person(), fsync=fsync, dry_run=dry_run)
        if not dry_run:
            for run_id in done.runs:
                shutil.rmtree(os.path.join(self._artifact_dir(), run_id), ignore_errors=True)
        tags = forget_exports(self._git, done.runs, dry_run=dry_run)
        return done._replace(tags=tuple(tags))

    def rewrite_history(self) -> int:
        """Replace the history of the store by one commit with what it holds now; its new epoch.

        The next push forces the old history away; clones that pull take the new one over.
        """
        from gittrack.repo.purge import rewrite_history

        self._join_fetched()
        return rewrite_history(self._git, self._person(), fsync=self.config.seal_fsync)

    # -- edit ----------------------------------------------------------------------------

    def _editor(self) -> Editor:
        from gittrack.repo.edit import Editor

        self._join_fetched()
        machine = process.host_name(), process.boot_id()
        fsync = self.config.seal_fsync
        return Editor(self._git, self.view, self._person(), machine, fsync=fsync)


def _modified_s(path: str) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0
