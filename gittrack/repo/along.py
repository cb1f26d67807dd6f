"""What the pre-push hook does: send our runs along with a `git push` that is under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gittrack.errors import GittrackError
from gittrack.repo.opened import warn
from gittrack.repo.sharing import Sharing
from gittrack.store import layout
from gittrack.store.remote import Link, Patience
from gittrack.store.write import read_ref

if TYPE_CHECKING:
    from gittrack.repo.sync import Synced


class Along(Sharing):
    """Bounded in time, never in the way: whoever pushes waits for it."""

    def send_along(self, name: str, url: str, lines: Sequence[bytes], parent_pid: int) -> None:
        """Send our runs with a `git push`; trouble with that is one warning.

        Nothing is sent if the remote does not get runs, if the push goes to a URL or sends refs
        of ours itself, or if it only says what it would do.

        Args:
            name, url, lines: what git gives its pre-push hook, see githooks(5).
            parent_pid: the process that called the hook; the push is that or an ancestor of it.
        """
        from gittrack.store import prepush

        link = self._links().get(name)
        if (
            link is None
            or name == url
            or self.config.offline
            # A second push of the same ref would make the user's fail.
            or any(prepush.pushes_below(prefix, lines) for prefix in (layout.REFS, link.ref))
            or prepush.is_dry_run(prepush.find_push(parent_pid))
        ):
            return
        # No housekeeping, and no index, while somebody waits.
        self._recovered = True
        patience = Patience.of(self.config.share_deadline_s)
        try:
            self._recover_quietly()
            self._catch_up_quietly()
            self._seal_going()
            self._keep_unsent(link, prepush.pushed_commits(lines))
            to = url if self._has_several_urls(name) else ""
            if not to and not self._is_anything_unsent(link):
                return
            done = self._exchange(name, patience, to).push()
        except GittrackError as error:
            self._say_unsent(link, error)
        else:
            self._say_sent(done, url)
            self._say_artifacts(done)

    def _keep_unsent(self, link: Link, published: Sequence[str]) -> None:
        """Keep what the runs stand on that the remote does not have yet."""
        from gittrack.repo import stored
        from gittrack.store.chain import keep
        from gittrack.store.objects import CatFileReader

        ours = read_ref(self._git, layout.STORE_REF)
        known = read_ref(self._git, link.tracking)
        if ours is None or ours == known:
            return
        reader = CatFileReader(self._git)
        before = {layout.STORE_REF: known} if known is not None else {}
        changes = stored.find_changes(reader, before, {layout.STORE_REF: ours})
        runs = stored.read_runs(reader, changes.runs, str)
        bases = {run.base for run in runs if run.base is not None}
        keep(self._git, bases, self.shared_remotes(), published)

    def _has_several_urls(self, name: str) -> bool:
        keys = (f"remote.{name}.pushurl", f"remote.{name}.url")
        urls = next((self.git_config[key] for key in keys if key in self.git_config), [])
        return len(urls) > 1

    def _is_anything_unsent(self, link: Link) -> bool:
        refs = [(layout.STORE_REF, link.tracking)]
        if self.config.share_sources:
            refs.append((layout.SOURCE_REF, link.tracking_of(link.source_ref)))
        tips = [(read_ref(self._git, ours), read_ref(self._git, theirs)) for ours, theirs in refs]
        return any(ours is not None and ours != theirs for ours, theirs in tips)

    def _say_sent(self, done: Synced, url: str) -> None:
        """The first time only: what goes where by itself is no news later."""
        from gittrack.capture import redact

        if not done.sent or self._memory.was("told", done.remote):
            return
        self._memory.note("told", done.remote)
        place, _ = redact.redact_url(url, self.config.redact_allow)
        runs = "1 run" if done.sent == 1 else f"{done.sent} runs"
        warn(
            f"{runs} went to {done.remote} ({place}) along with your push, as new ones will; "
            f"to stop: gittrack remote unshare {done.remote}"
        )

    def _say_artifacts(self, done: Synced) -> None:
        """The first time only: uploads of any size are nothing for a hook."""
        if not done.sent or self._memory.was("told", f"{done.remote} artifacts"):
            return
        if next(iter(self.objects), None) is not None:
            self._memory.note("told", f"{done.remote} artifacts")
            warn("large artifacts do not go along with git push; next: gittrack push")

    def _say_unsent(self, link: Link, error: GittrackError) -> None:
        from gittrack.repo.sync import count_runs

        ours = read_ref(self._git, layout.STORE_REF)
        count = 0
        if ours is not None:
            try:
                count = count_runs(self._git, read_ref(self._git, link.tracking), ours)
            except GittrackError:
                count = count_runs(self._git, None, ours)
        runs = "1 run" if count == 1 else f"{count} runs"
        why = f": {error.why}" if error.why else ""
        warn(
            f"{runs} did not go along to {link.remote}: {error.message}{why}; the next push takes "
            f"them, or: gittrack push {link.remote}"
        )
