"""The methods of `Repo` that exchange runs with remotes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gittrack.errors import GittrackError, RemoteError
from gittrack.repo.opened import Opened, warn
from gittrack.store import layout, remote
from gittrack.store.write import list_refs

if TYPE_CHECKING:
    from gittrack.repo.sync import Synced


class Share(NamedTuple):
    """A remote that gets and gives runs; `is_new` says that it does so only from now on."""

    name: str
    is_new: bool


class Sharing(Opened):
    """Pull, push and sync; nothing is sent to a remote that nobody named."""

    def share_remote(self, name: str | None = None, *, dry_run: bool = False) -> Share:
        """Have plain `git fetch` and `git pull` bring the runs of a remote.

        Args:
            name: by default the remote that the branch follows, else `origin`.
        Raises:
            RemoteError: there is no such remote.
        """
        known = remote.list_remotes(self.git_config)
        found = name or remote.default_remote(self.git_config, self._branch())
        if found is None or found not in known:
            raise RemoteError(
                f"there is no remote '{found}'" if found else "there is no remote to share with",
                why=f"git knows {', '.join(known) or 'none'} here",
                next="git remote add origin URL",
            )
        is_new = found not in remote.shared_remotes(self.git_config)
        if is_new and not dry_run:
            remote.share(self._git, found)
            self._git_config = None
        return Share(found, is_new)

    def _share_default(self, *, dry_run: bool) -> str:
        """Share with the remote that the branch follows, if there is one; what to say of it."""
        if remote.default_remote(self.git_config, self._branch()) is None:
            return "no remote receives runs: nothing is shared until you say so"
        share = self.share_remote(dry_run=dry_run)
        verb = "would write" if dry_run else "wrote"
        wrote = f"{verb} a fetch refspec: " if share.is_new else ""
        return f"{wrote}git pull brings the runs of {share.name}; gittrack push sends yours"

    def unshare_remote(self, name: str) -> bool:
        """Stop that, and forget what the remote had; whether it was shared. Our runs stay."""
        was = name in remote.shared_remotes(self.git_config)
        remote.unshare(self._git, name)
        self._git_config = None
        return was

    def shared_remotes(self) -> list[str]:
        """The remotes that get and give runs."""
        return remote.shared_remotes(self.git_config)

    def pull(self, name: str, *, deadline_s: float | None = None, asks: bool = False) -> Synced:
        """Bring a remote's runs; ours stay.

        Args:
            deadline_s: after so long it is given up.
            asks: whether git may ask for a password.
        Raises:
            RemoteError: it could not be reached.
            CorruptStoreError, StoreFormatError: what it has is refused; ours stays as it was.
        """
        from gittrack.repo import sync

        fsync = self.config.seal_fsync
        return sync.pull(self._git, name, fsync=fsync, deadline_s=deadline_s, asks=asks)

    def push(self, name: str, *, deadline_s: float | None = None, asks: bool = False) -> Synced:
        """Send our runs to a remote, after those of dead processes were taken over.

        Raises:
            RemoteError: it could not be reached, or refused.
        """
        from gittrack.repo import sync

        self._recover_quietly()
        fsync = self.config.seal_fsync
        return sync.push(self._git, name, fsync=fsync, deadline_s=deadline_s, asks=asks)

    def _take_fetched_quietly(self) -> None:
        # Runs of colleagues come by plain `git pull`, for which no hook of ours is called.
        if not self.shared_remotes() or not self._can_write():
            return
        from gittrack.repo import sync

        try:
            for ref, theirs in sorted(list_refs(self._git, layout.REMOTE_REFS).items()):
                name, own_ref = layout.split_remote_ref(ref)
                if own_ref != layout.STORE_REF:
                    continue
                if not sync.take_without_commit(self._git, theirs):
                    warn(f"{name} has runs that are not joined with yours yet: gittrack sync")
        except (GittrackError, OSError) as error:
            what = error.message if isinstance(error, GittrackError) else str(error)
            warn(f"what git fetched was not taken over: {what}")

    def _branch(self) -> str | None:
        out = self._git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
        return out.decode("utf-8", "replace").strip() or None
