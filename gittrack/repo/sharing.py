"""The methods of `Repo` that exchange runs with remotes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from gittrack.core.model import RUNNING
from gittrack.errors import GittrackError, RemoteError
from gittrack.repo.hooking import Hooking
from gittrack.store import layout, remote
from gittrack.store.remote import Link, Patience

if TYPE_CHECKING:
    from gittrack.repo.bundling import Bundled
    from gittrack.repo.checking import Checked
    from gittrack.repo.sync import Exchange, Synced
    from gittrack.store.hooks import Hook


class Share(NamedTuple):
    """A remote that gets and gives runs; `is_new` says that it does so only from now on.

    `hooks` are those that were installed with it, so that plain `git push` sends runs.
    """

    name: str
    is_new: bool
    hooks: tuple[Hook, ...] = ()


class Discovered(NamedTuple):
    """A remote that was asked for runs, how many came, or why it could not be asked."""

    remote: str
    runs: int = 0
    error: GittrackError | None = None
    share: Share | None = None


class Sharing(Hooking):
    """Pull, push and sync; nothing is sent to a remote that nobody named."""

    def share_remote(
        self, name: str | None = None, *, hooks: bool | None = None, dry_run: bool = False
    ) -> Share:
        """Have plain `git pull` bring the runs of a remote, and `git push` send ours.

        Args:
            name: by default the remote that the branch follows, else `origin`.
            hooks: install git hooks, if the setting `hooks.install` wishes it; by
                default where the remote is new.
        Raises:
            RemoteError: there is no such remote.
        """
        link = Link(self._remote_name(name), self.config.share_ref)
        before = self._links().get(link.remote)
        if before != link and not dry_run:
            remote.share(self._git, link, before)
            self._git_config = None
        wanted = before is None if hooks is None else hooks
        installed = self._install_wished(dry_run=dry_run) if wanted else ()
        return Share(link.remote, before is None, installed)

    def _remote_name(self, name: str | None) -> str:
        known = remote.list_remotes(self.git_config)
        found = name or self._default_remote()
        if found is None or found not in known:
            raise RemoteError(
                f"there is no remote '{found}'" if found else "there is no remote to share with",
                why=f"git knows {', '.join(known) or 'none'} here",
                next="git remote add origin URL",
            )
        return found

    def _default_remote(self) -> str | None:
        out = self._git.run("symbolic-ref", "--quiet", "--short", "HEAD", check=False)
        branch = out.decode("utf-8", "replace").strip() or None
        return remote.default_remote(self.git_config, branch)

    def unshare_remote(self, name: str, *, dry_run: bool = False) -> bool:
        """Stop that, and forget what the remote had; whether it was shared. Our runs stay."""
        link = self._links().get(name)
        if link is not None and not dry_run:
            remote.unshare(self._git, link)
            self._git_config = None
        return link is not None

    def shared_remotes(self) -> list[str]:
        """The remotes that get and give runs."""
        return list(self._links())

    def pull(self, name: str, *, deadline_s: float | None = None, asks: bool = False) -> Synced:
        """Bring a remote's runs; ours stay.

        Args:
            deadline_s: after so long it is given up.
            asks: whether git may ask for a password.
        Raises:
            RemoteError: it could not be reached.
            CorruptStoreError, StoreFormatError: what it has is refused; ours stays as it was.
        """
        return self._exchange(name, Patience.of(deadline_s, asks=asks)).pull()

    def push(self, name: str, *, deadline_s: float | None = None, asks: bool = False) -> Synced:
        """Send our runs to a remote; those that go on as far as they are.

        Raises:
            RemoteError: it could not be reached, or refused.
        """
        self._gather()
        return self._exchange(name, Patience.of(deadline_s, asks=asks)).push()

    def _gather(self) -> None:
        """Commit what is to go to others: of dead processes, of runs that go on, of sources."""
        self._recover_quietly()
        self._seal_going()
        self._keep_sources()

    def _seal_going(self) -> None:
        if not self._can_write():
            return
        from gittrack.repo.going import seal_going

        live = self.view.live().values()
        going = [(item.run_id, item.states) for item in live if item.status == RUNNING]
        seal_going(self._git, going, self._person(), fsync=self.config.seal_fsync)

    def _keep_sources(self) -> int:
        """Keep alive the commits that runs stand on and no shared branch holds; how many."""
        from gittrack.store.chain import keep

        bases = self.view.ask(lambda index: index.bases())
        return keep(self._git, bases, self.shared_remotes())

    def _bring_commit(self, commit: str, *, asks: bool) -> None:
        if self.has_commit(commit) or self.config.offline:
            return
        patience = Patience(asks=asks)
        for link in self._links().values():
            # By its id first: that brings the least. Not every host gives commits by their ids.
            for fetch in (partial(remote.fetch_commit, commit=commit), remote.fetch_sources):
                with suppress(RemoteError):
                    fetch(self._git, link, patience=patience)
                if self.has_commit(commit):
                    return

    def _join_fetched(self) -> None:
        """Commit the join with what plain `git fetch` brought: a write does, a read does not."""
        from gittrack.repo.sync import join_into

        for item in self._tips.apart():
            join_into(self._git, item.tip, self._memory, fsync=self.config.seal_fsync)
            self._memory.joined(item.ref, item.tip)

    # -- files ---------------------------------------------------------------------------

    def create_bundle(
        self, path: str, *, since: str | None = None, sources: bool | None = None
    ) -> Bundled:
        """Write our runs into a file, to carry where no network goes.

        Args:
            since: what the other side has: a commit of the store, an earlier bundle, or a time.
            sources: whether the commits that runs stand on go with them; by default as the setting
                `share.sources` says. The other side must have fetched the published code then.
        Raises:
            GitError: the file cannot be written.
        """
        from gittrack.repo.bundling import create

        self._join_fetched()
        self._gather()
        sources = self.config.share_sources if sources is None else sources
        return create(self._git, path, since=since, sources=sources)

    def apply_bundle(self, path: str) -> Bundled:
        """Join the runs of such a file with ours; twice is the same as once.

        Raises:
            BundleError: it is none, or builds on commits that are not here.
            CorruptStoreError, StoreFormatError: what it holds is refused; ours stays as it was.
        """
        from gittrack.repo.bundling import apply

        return apply(self._git, path, self._memory, fsync=self.config.seal_fsync)

    # -- a remote that is new ------------------------------------------------------------

    def discover(self, begins: Callable[[str], None] = lambda _: None) -> Discovered | None:
        """In a fresh clone: ask the remote once whether it has runs; bring them if it does.

        Then plain `git pull` and `git push` carry them from now on. Nothing is asked where there
        is a store already, where this was asked before, and with the setting `offline`. The answer
        is waited for as long as `share.deadline_s` says; what comes then takes as long as it takes.

        Args:
            begins: called with the remote when it has runs, before they are brought.
        Returns:
            What was found; None if nothing was asked, or the remote has none.
        """
        if self.config.offline or self._tips.own() is not None or not self._can_write():
            return None
        name = self._default_remote()
        if name is None or self._memory.was("asked", name):
            return None
        self._memory.note("asked", name)
        link = Link(name, self.config.share_ref)
        patience = Patience.of(self.config.share_deadline_s)
        try:
            if link.ref not in remote.list_refs_of(self._git, name, [link.ref], patience):
                return None
            begins(name)
            done = self.pull(name)
        except GittrackError as error:
            return Discovered(name, error=error)
        return Discovered(name, done.received, share=self.share_remote(name))

    def check_remote(
        self, name: str | None = None, *, deadline_s: float | None = None, asks: bool = False
    ) -> Checked:
        """Try out whether a remote takes runs, shows them and gives them back.

        Raises:
            RemoteError: there is no such remote, or it could not be reached.
        """
        from gittrack.repo.checking import check

        link = Link(self._remote_name(name), self.config.share_ref)
        return check(self._git, link, Patience.of(deadline_s, asks=asks))

    def use_branch(self) -> str:
        """From now on this clone keeps runs on a branch of its remotes; its name.

        For hosts that take or show nothing but branches; `share.ref` in .gittrack.yaml says the
        same for everybody.
        """
        self._git.run("config", "gittrack.share.ref", layout.BRANCH_REF)
        self._git_config = self._config = None
        for name in self.shared_remotes():
            self.share_remote(name)
        return layout.BRANCH_REF

    # -- the exchange --------------------------------------------------------------------

    def _exchange(self, name: str, patience: Patience, to: str = "") -> Exchange:
        from gittrack.repo.sync import Exchange

        link = self._links().get(name) or Link(name, self.config.share_ref)
        return Exchange(
            self._git, link, self._memory, patience,
            fsync=self.config.seal_fsync, sources=self.config.share_sources, to=to,
        )  # fmt: skip
