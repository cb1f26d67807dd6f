"""The methods of `Repo` that install git hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gittrack.repo.opened import Opened

if TYPE_CHECKING:
    from gittrack.store.hooks import Hook


class Hooking(Opened):
    """Hooks send runs along with a `git push`; everything works without them."""

    def install_hooks(self, *, dry_run: bool = False) -> list[Hook]:
        """Put our hooks beside those that are there; twice is the same as once.

        Raises:
            NotARepositoryError: there is no worktree.
            GittrackError: a hook cannot be written; it is as it was.
        """
        from gittrack.store import hooks

        return hooks.install(self._git, self.git_config, dry_run=dry_run)

    def uninstall_hooks(self, *, dry_run: bool = False) -> list[Hook]:
        """Take our hooks away; those from before are, byte for byte, what they were.

        Raises:
            GittrackError: a hook cannot be written; it is as it was.
        """
        from gittrack.store import hooks

        return hooks.uninstall(self._git, self.git_config, dry_run=dry_run)

    def hooks_status(self) -> list[Hook]:
        """How each hook stands."""
        from gittrack.store import hooks

        return hooks.status(self._git, self.git_config)
