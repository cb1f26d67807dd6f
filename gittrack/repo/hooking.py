"""The methods of `Repo` that install git hooks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gittrack.errors import GittrackError
from gittrack.repo.opened import Opened, warn

if TYPE_CHECKING:
    from gittrack.store.hooks import Hook


#: In git's folder while commits are made that are not to stay.
_GOING_ON = ("rebase-merge", "rebase-apply/rebasing", "BISECT_LOG")


class Hooking(Opened):
    """Hooks note commits, and send runs along with a `git push`; all works without them."""

    def install_hooks(self, *, dry_run: bool = False) -> list[Hook]:
        """Put our hooks beside those that are there; twice is the same as once.

        From then on commits are recorded by themselves, also where git looks for hooks elsewhere.

        Raises:
            NotARepositoryError: there is no worktree.
            GittrackError: a hook cannot be written; it is as it was.
        """
        from gittrack.repo import hints
        from gittrack.store import hooks

        trailer = self.config.hooks_trailer
        found = hooks.install(self._git, self.git_config, trailer=trailer, dry_run=dry_run)
        if not dry_run:
            # What is there by now is history, and is recorded only when somebody asks for it. No
            # housekeeping: what `init` has shared a moment ago is on no remote yet.
            recovered, self._recovered = self._recovered, True
            self._catch_up_quietly(begins=True)
            self._recovered = recovered
            hints.enable(self._paths.common_dir)
            self._git_config = None
        return found

    def _install_wished(self, *, dry_run: bool) -> tuple[Hook, ...]:
        """The same in passing: as the setting `hooks.install` says, and trouble is one warning."""
        if not self.config.hooks_install or self.is_bare:
            return ()
        try:
            return tuple(self.install_hooks(dry_run=dry_run))
        except GittrackError as error:
            # Runs are recorded and shared all the same, by commands that are typed.
            warn(f"no git hook was installed: {error.message}: {error.why}")
            return ()

    def uninstall_hooks(self, *, dry_run: bool = False) -> list[Hook]:
        """Take our hooks away; those from before are, byte for byte, what they were.

        From then on commits are not recorded by themselves.

        Raises:
            GittrackError: a hook cannot be written; it is as it was.
        """
        from gittrack.repo import hints
        from gittrack.store import hooks

        found = hooks.uninstall(self._git, self.git_config, dry_run=dry_run)
        if not dry_run:
            hints.disable(self._paths.common_dir)
            self._git_config = None
        return found

    def hooks_status(self) -> list[Hook]:
        """How each hook stands."""
        from gittrack.store import hooks

        return hooks.status(self._git, self.git_config, trailer=self.config.hooks_trailer)

    # -- what the hooks do ---------------------------------------------------------------

    def note_commit(self) -> None:
        """Note the commit that HEAD is, to be recorded later; nothing while a rebase goes on.

        Whoever calls this wishes that commits are recorded by themselves, in a clone where that was
        neither wished nor stopped: `install_hooks` writes hooks that do not need it.
        """
        from gittrack.repo import hints

        hints.enable(self._paths.common_dir, unless_off=True)
        git_dir = self._paths.git_dir
        if any(os.path.exists(os.path.join(git_dir, name)) for name in _GOING_ON):
            return
        head = self._git.run("rev-parse", "--verify", "--quiet", "HEAD", check=False)
        hints.append_hint(self._paths.common_dir, hints.Hint(hints.COMMIT, head.decode().strip()))

    def note_rewrites(self, how: str, lines: Iterable[bytes]) -> None:
        """Note which commits became which.

        Args:
            how: `amend` or `rebase`.
            lines: what git gives its post-rewrite hook, `OLD NEW` each; from some frameworks
                nothing comes, and then HEAD is what there is to note.
        """
        from gittrack.repo import hints

        hints.enable(self._paths.common_dir, unless_off=True)
        words = [line.decode("ascii", "replace").split() for line in lines]
        pairs = [found for found in words if len(found) > 1]
        for old, new, *_ in pairs:
            found = hints.Hint(hints.REWRITE, new, old, how)
            hints.append_hint(self._paths.common_dir, found)
        if not pairs:
            self.note_commit()

    def add_trailer(self, path: str, source: str = "") -> None:
        """Name the run that a commit comes from in its message, if the setting wishes it.

        That is the newest one that has ended and was started on the commit before, after that was
        made.

        Args:
            path: the file with the message; source: where that comes from, see githooks(5).
        """
        from gittrack.repo import trailer

        if not self.config.hooks_trailer:
            return
        base = trailer.find_base(self._git, source)
        if base is None:
            return
        # No housekeeping while somebody waits.
        self._recovered = True
        runs = self.view.search(None, (), None, commits=[base.commit])
        run = trailer.choose_run(base, runs)
        if run is not None:
            trailer.write_trailer(self._git, path, run)
