"""Fetch and push of the store's refs, by the git program: its credentials and proxies hold.

Nothing here prompts unless it is asked to, moves FETCH_HEAD, runs a hook, follows submodules or
makes the repository shallow.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import NamedTuple

from gittrack.errors import GitError, RemoteError
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import FSCK
from gittrack.store.write import list_refs, pause

#: No hooks of the user's, no tidying up behind our back.
QUIETLY = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "maintenance.auto=0"),
    *("-c", "gc.auto=0"),
    *("-c", "fetch.writeCommitGraph=false"),
)
#: Other processes hold a lock for a few ms.
_MAX_TRIES = 20
#: How long what was ended may take to be gone.
_AFTER_S = 1.0
#: git's words for a push that lost a race: somebody else moved the ref.
_LOST = ("non-fast-forward", "fetch first", "stale info", "cannot lock ref", "failed to update ref",
         "reference already exists", "failed to lock", "incorrect old value")  # fmt: skip
#: git's words for an object here that it cannot read.
_DAMAGED = re.compile(
    r"(?!remote:).*(is corrupt|corrupt loose|inflate:|does not match index|unable to read|"
    r"[Cc]ould not read|bad object|bad tree|missing (blob|tree))"
)


#: A refspec of ours, see `Link.refspec`.
_REFSPEC = re.compile(
    r"\+(?:refs/gittrack/store/|(?P<branch>refs/heads/gittrack/[^*]+))\*"
    r":refs/gittrack/remote/(?P<place>.+)/store/(?:main)?\*"
)


class Link(NamedTuple):
    """A remote with which runs are exchanged, and the ref there that holds its store.

    What is known of it lies under the name that it had when it was first shared: `git remote
    rename` leaves our refspec as it was. `place` is that name, if it is another one.
    """

    remote: str
    ref: str = layout.STORE_REF
    place: str = ""

    @property
    def refspec(self) -> str:
        """What brings the remote's store; an exact one would fail where the ref is missing."""
        if self.ref == layout.STORE_REF:
            name = layout.tracking_ref(self.place or self.remote, layout.STORE_REFS)
            return f"+{layout.STORE_REFS}*:{name}*"
        return f"+{self.ref}*:{self.tracking}*"

    @property
    def tracking(self) -> str:
        """Where what the remote's store pointed to is remembered."""
        return self.tracking_of(self.ref)

    def tracking_of(self, ref: str) -> str:
        """The same for a ref of the remote: its store's, or that of its sources."""
        own = layout.SOURCE_REF if ref == self.source_ref else layout.STORE_REF
        return layout.tracking_ref(self.place or self.remote, own)

    @property
    def source_ref(self) -> str:
        """The ref there that keeps the commits which runs stand on."""
        if self.ref == layout.STORE_REF:
            return layout.SOURCE_REF
        branch = self.ref.rpartition("/")[2]
        # Not below the name of the store's branch, or its wildcard would fetch this one, too.
        return "refs/heads/gittrack/source" + ("" if branch == "store" else f"-{branch}")


class Patience(NamedTuple):
    """How long the network may take, as a time of `time.monotonic`, and whether git may ask.

    `until` None is for ever.
    """

    until: float | None = None
    asks: bool = False

    @classmethod
    def of(cls, deadline_s: float | None, *, asks: bool = False) -> Patience:
        """The patience that ends so many seconds from now."""
        return cls(None if deadline_s is None else time.monotonic() + deadline_s, asks)

    @property
    def left_s(self) -> float | None:
        """What is left of it in seconds, never less than 0."""
        return None if self.until is None else max(0.0, self.until - time.monotonic())

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it."""
        return self.left_s == 0


# -- which remotes ---------------------------------------------------------------------------


def links(git_config: Mapping[str, Sequence[str]]) -> dict[str, Link]:
    """The remotes that get and give runs, by name: those that hold our refspec."""
    found = {}
    for key, values in git_config.items():
        if not key.startswith("remote.") or not key.endswith(".fetch"):
            continue
        name = key[len("remote.") : -len(".fetch")]
        for value in values:
            match = _REFSPEC.fullmatch(value)
            if match is None:
                continue
            place = match["place"] if match["place"] != name else ""
            link = Link(name, match["branch"] or layout.STORE_REF, place)
            if link.refspec == value:
                found[name] = link
    return dict(sorted(found.items()))


def list_remotes(git_config: Mapping[str, Sequence[str]]) -> list[str]:
    """The names of all remotes."""
    keys = (key for key in git_config if key.startswith("remote.") and key.endswith(".url"))
    return sorted(key[len("remote.") : -len(".url")] for key in keys)


def default_remote(git_config: Mapping[str, Sequence[str]], branch: str | None) -> str | None:
    """The remote that the branch follows, else `origin`, else the only one, if there is one."""
    names = list_remotes(git_config)
    followed = git_config.get(f"branch.{branch}.remote", ()) if branch else ()
    for name in (*followed[-1:], "origin"):
        if name in names:
            return name
    return names[0] if len(names) == 1 else None


def share(git: Git, link: Link, before: Link | None) -> None:
    """Have plain `git fetch` and `git pull` bring that remote's runs; twice is the same as once.

    Args:
        before: how runs were exchanged with it until now.
    """
    old = link if before is None else before
    key = f"remote.{link.remote}.fetch"
    configure(git, "--replace-all", key, link.refspec, f"^{re.escape(old.refspec)}$")
    if old.place:
        _forget(git, old.place)


def unshare(git: Git, link: Link) -> None:
    """Undo `share`, and forget what the remote had."""
    key = f"remote.{link.remote}.fetch"
    configure(git, "--unset-all", key, f"^{re.escape(link.refspec)}$")
    _forget(git, link.place or link.remote)


def forget_others(git: Git, links: Iterable[Link]) -> None:
    """Drop what is known of remotes that are no more, or that get no runs."""
    kept = {link.place or link.remote for link in links}
    for ref in list_refs(git, layout.REMOTE_REFS):
        place = re.split("/(?:store|source)/", ref.removeprefix(layout.REMOTE_REFS))[0]
        if place not in kept:
            git.run("update-ref", "-d", ref)


def _forget(git: Git, place: str) -> None:
    for ref in list_refs(git, f"{layout.REMOTE_REFS}{place}/"):
        git.run("update-ref", "-d", ref)


def configure(git: Git, *args: str) -> None:
    """Change git's configuration of this repository; another process may be about it too."""
    for attempt in range(_MAX_TRIES):
        try:
            git.run("config", *args)
            return
        except GitError as error:
            if "could not lock" not in error.why or attempt == _MAX_TRIES - 1:
                raise
        pause(attempt, 0.05)


# -- what travels ----------------------------------------------------------------------------


def fetch(git: Git, link: Link, patience: Patience) -> None:
    """Bring the remote's store to our tracking ref; if it has none any more, that ref goes.

    Raises:
        RemoteError: it could not be reached, or did not answer in time.
    """
    _fetch(git, link, patience, link.refspec, "the runs")


def fetch_sources(git: Git, link: Link, patience: Patience) -> str:
    """Bring the commits that runs of the remote stand on; the tracking ref that holds them.

    Raises:
        RemoteError: it has none, could not be reached, or did not answer in time.
    """
    tracking = link.tracking_of(link.source_ref)
    _fetch(git, link, patience, f"+{link.source_ref}:{tracking}", "the sources of runs")
    return tracking


def fetch_ref(git: Git, link: Link, ref: str, patience: Patience) -> None:
    """Bring what a ref of the remote points to, to no ref of ours.

    Raises:
        RemoteError: the remote does not give it.
    """
    _fetch(git, link, patience, ref, ref)


def fetch_commit(git: Git, link: Link, commit: str, patience: Patience) -> None:
    """Bring one commit, whatever ref of the remote holds it, to no ref of ours.

    Raises:
        RemoteError: the remote does not have it, or gives no commits by their ids.
    """
    _fetch(git, link, patience, commit, f"commit {commit[:12]}")


def _fetch(git: Git, link: Link, patience: Patience, spec: str, what: str) -> None:
    command = (
        # A partial clone asks for files one by one later; ours are small, and all are wanted.
        "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no",
        "--no-auto-maintenance", *(("--prune",) if ":" in spec else ()), "--no-filter",
        link.remote, spec,
    )  # fmt: skip
    for attempt in range(_MAX_TRIES):
        code, _, err = _talk(git, command, patience)
        if code == 0:
            return
        # Another process of this clone fetches the same; what it brings may be older than ours.
        if "cannot lock ref" not in err or attempt == _MAX_TRIES - 1:
            break
        pause(attempt, 0.05)
    raise _failed(f"{what} of {link.remote} could not be fetched", link.remote, err)


class Pushed(NamedTuple):
    """What became of the refs of a push, by their names there.

    `before` tells of those that were moved where they had been, None for a new one. Those in
    `overtaken` somebody else had moved: fetch, join and try again. `refused` tells of others why
    the remote did not take them.
    """

    before: Mapping[str, str | None] = {}
    overtaken: frozenset[str] = frozenset()
    refused: Mapping[str, str] = {}


def push(
    git: Git,
    link: Link,
    commits: Mapping[str, str],
    patience: Patience,
    *,
    to: str = "",
    lease: str = "",
) -> Pushed:
    """Send commits to refs of the remote, in one connection.

    Nothing is forced, so that nobody's runs are overwritten.

    Args:
        commits: ref of the remote -> commit.
        to: the URL, where the remote has several; by default all of them.
        lease: the commit that the store's ref may be forced away from: of an older epoch.
    Raises:
        RemoteError: it could not be reached, or took too long.
    """
    forced = [f"--force-with-lease={link.ref}:{lease}"] if lease else []
    command = (
        "-c", f"remote.{link.remote}.mirror=false", "-c", "core.abbrev=40",
        "push", "--porcelain", "--no-verify", "--no-signed", "--no-follow-tags",
        "--recurse-submodules=no", *forced, to or link.remote,
        *(f"{commit}:{ref}" for ref, commit in commits.items()),
    )  # fmt: skip
    code, out, err = _talk(git, command, patience)
    before: dict[str, str | None] = {}
    overtaken: set[str] = set()
    refused: dict[str, str] = {}
    for line in out.splitlines():
        flag, _, rest = line.partition("\t")
        spec, tab, said = rest.partition("\t")
        ref = spec.partition(":")[2]
        if not tab:
            continue
        if flag in (" ", "+"):
            before[ref] = said.partition("..")[0]
        elif flag == "*":
            before[ref] = None
        elif flag == "!" and any(words in said for words in _LOST):
            overtaken.add(ref)
        elif flag == "!":
            refused[ref] = said
    if code and not overtaken and (not refused or _is_damaged_here(err)):
        raise _failed(f"the runs could not be pushed to {link.remote}", link.remote, err)
    for ref, commit in commits.items():
        if ref not in overtaken and ref not in refused:
            # git follows only the refs that it fetches by name; without this `status` lies.
            git.run("update-ref", link.tracking_of(ref), commit, check=False)
    return Pushed(before, frozenset(overtaken), refused)


def list_refs_of(
    git: Git, name: str, patterns: Sequence[str], patience: Patience
) -> dict[str, str]:
    """The refs of a remote (name or URL) that match, name to object id.

    Raises:
        RemoteError: it could not be reached, or did not answer in time.
    """
    code, out, err = _talk(git, ("ls-remote", "--quiet", name, *patterns), patience)
    if code:
        raise _failed(f"{name} could not be asked for its refs", name, err)
    pairs = (line.split("\t", 1) for line in out.splitlines() if "\t" in line)
    return {ref: oid for oid, ref in pairs}


def _talk(git: Git, args: Sequence[str], patience: Patience) -> tuple[int, str, str]:
    """Run git in a session of its own, so that its helpers end with it at the deadline."""
    import subprocess
    from signal import SIGKILL

    asks = patience.asks
    env = {}
    if not asks:
        ssh = os.environ.get("GIT_SSH_COMMAND", "ssh")
        env = {"GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes", "GCM_INTERACTIVE": "never",
               "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}  # fmt: skip
        if git.run("config", "--get", "core.sshCommand", check=False).strip():
            del env["GIT_SSH_COMMAND"]
    else:
        env["GIT_TERMINAL_PROMPT"] = "1"
    began = time.monotonic()
    with _ending_with_us() as kills:
        process = git.start(*QUIETLY, *args, env=env, new_session=not asks)
        # Not in a session of its own it cannot be told from us by its group.
        kill = process.kill if asks else partial(os.killpg, process.pid, SIGKILL)
        try:
            kills(kill)
            out, err = process.communicate(timeout=patience.left_s)
        except BaseException as error:
            with suppress(ProcessLookupError):
                kill()
            # What a helper that lives on holds open is not waited for, git itself is.
            for end in (process.communicate, process.wait):
                with suppress(subprocess.TimeoutExpired):
                    end(timeout=_AFTER_S)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return -1, "", f"no answer within {time.monotonic() - began:.2g} seconds"
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


@contextmanager
def _ending_with_us() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Let no signal end us alone: in a session of its own git does not get those of a terminal.

    Give it what kills git once that runs; a signal that comes before waits until then.
    """
    import signal

    kills: list[Callable[[], None]] = []
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        if not kills:
            came.append(number)
            return
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        with suppress(ProcessLookupError):
            kills[0]()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def take(kill: Callable[[], None]) -> None:
        kills.append(kill)
        if came:
            end(came[0], None)

    # Who handles one in another way, or ignores it, has a reason.
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, end)
    try:
        yield take
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came and not kills:  # git did not start
            os.kill(os.getpid(), came[0])


def _failed(what: str, remote: str, err: str) -> GitError:
    lines = [line for line in err.splitlines() if line.strip() and not line.startswith("hint:")]
    next_ = FSCK if _is_damaged_here(err) else f"git ls-remote {remote}"
    return RemoteError(what, why=" ".join(lines[:2])[:500], next=next_)


def _is_damaged_here(err: str) -> bool:
    """Whether git says that it cannot read an object of this repository."""
    return any(_DAMAGED.match(line) for line in err.splitlines())
