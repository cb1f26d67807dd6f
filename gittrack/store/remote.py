"""Fetch and push of the store's refs, by the git program: its credentials and proxies hold.

Nothing here prompts unless it is asked to, moves FETCH_HEAD, runs a hook, follows submodules or
makes the repository shallow.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from gittrack.errors import GitError, RemoteError
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.write import pause

_QUIETLY = (
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "maintenance.auto=0"),
    *("-c", "gc.auto=0"),
    *("-c", "fetch.writeCommitGraph=false"),
)
#: Other processes hold a lock for a few ms.
_MAX_TRIES = 20
#: git's words for a push that lost a race: somebody else moved the ref.
_LOST = ("non-fast-forward", "fetch first", "stale info", "cannot lock ref", "failed to update ref",
         "reference already exists", "failed to lock", "incorrect old value")  # fmt: skip


def refspec(remote: str) -> str:
    """The wildcard that brings a remote's stores; an exact one would break fetches without them."""
    return f"+{layout.STORE_REFS}*:{layout.REMOTE_REFS}{remote}/store/*"


def tracking_ref(remote: str) -> str:
    """Where what a remote's store pointed to is remembered."""
    return f"{layout.REMOTE_REFS}{remote}/store/{layout.STORE_REF.removeprefix(layout.STORE_REFS)}"


def shared_remotes(git_config: Mapping[str, Sequence[str]]) -> list[str]:
    """The remotes that get and give runs: those that hold our refspec."""
    found = []
    for key, values in git_config.items():
        if key.startswith("remote.") and key.endswith(".fetch"):
            name = key[len("remote.") : -len(".fetch")]
            if refspec(name) in values:
                found.append(name)
    return sorted(found)


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


def share(git: Git, remote: str) -> None:
    """Have plain `git fetch` and `git pull` bring that remote's runs; twice is the same as once."""
    spec = refspec(remote)
    _configure(git, "--replace-all", f"remote.{remote}.fetch", spec, f"^{re.escape(spec)}$")


def unshare(git: Git, remote: str) -> None:
    """Undo `share`, and forget what the remote had."""
    _configure(git, "--unset-all", f"remote.{remote}.fetch", f"^{re.escape(refspec(remote))}$")
    prefix = f"{layout.REMOTE_REFS}{remote}/"
    for ref in git.run("for-each-ref", "--format=%(refname)", prefix).decode().split():
        git.run("update-ref", "-d", ref)


def _configure(git: Git, *args: str) -> None:
    for attempt in range(_MAX_TRIES):
        try:
            git.run("config", *args)
            return
        except GitError as error:
            if "could not lock" not in error.why or attempt == _MAX_TRIES - 1:
                raise
        pause(attempt, 0.05)


def fetch(git: Git, remote: str, *, deadline_s: float | None = None, asks: bool = False) -> None:
    """Bring the remote's stores to our tracking refs.

    Raises:
        RemoteError: it could not be reached, or did not answer in time.
    """
    command = (
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--recurse-submodules=no",
            "--no-auto-maintenance", remote, refspec(remote),
    )  # fmt: skip
    for attempt in range(_MAX_TRIES):
        code, _, err = _talk(git, command, deadline_s, asks=asks)
        if code == 0:
            return
        # Another process of this clone fetches the same; what it brings may be older than ours.
        if "cannot lock ref" not in err or attempt == _MAX_TRIES - 1:
            break
        pause(attempt, 0.05)
    raise _failed(f"the runs of {remote} could not be fetched", remote, err)


def push(
    git: Git, remote: str, commit: str, *, deadline_s: float | None = None, asks: bool = False
) -> bool:
    """Send a store commit; never by force, so that nobody's runs are overwritten.

    Returns:
        False if somebody else moved the ref; fetch, join and try again.
    Raises:
        RemoteError: it could not be reached, refused for another reason, or took too long.
    """
    command = (
        "push", "--porcelain", "--no-verify", "--no-signed", "--recurse-submodules=no", remote,
        f"{commit}:{layout.STORE_REF}",
    )  # fmt: skip
    code, out, err = _talk(git, command, deadline_s, asks=asks)
    if code == 0:
        # git follows only the refs that it fetches by name; without this the next status lies.
        git.run("update-ref", tracking_ref(remote), commit, check=False)
        return True
    said = "\n".join(line for line in out.splitlines() if line.startswith("!"))
    if any(words in f"{said}\n{err}" for words in _LOST):
        return False
    raise _failed(f"the runs could not be pushed to {remote}", remote, f"{said}\n{err}")


def _talk(
    git: Git, args: Sequence[str], deadline_s: float | None, *, asks: bool
) -> tuple[int, str, str]:
    """Run git in a session of its own, so that its helpers end with it at the deadline."""
    import subprocess

    env = {}
    if not asks:
        ssh = os.environ.get("GIT_SSH_COMMAND", "ssh")
        env = {"GIT_SSH_COMMAND": f"{ssh} -oBatchMode=yes", "GCM_INTERACTIVE": "never",
               "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}  # fmt: skip
        if git.run("config", "--get", "core.sshCommand", check=False).strip():
            del env["GIT_SSH_COMMAND"]
    else:
        env["GIT_TERMINAL_PROMPT"] = "1"
    process = git.start(*_QUIETLY, *args, env=env, new_session=not asks)
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        import signal

        # Not in a session of its own it cannot be told from us by its group.
        if asks:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return -1, "", f"no answer within {deadline_s:g} seconds"
    return process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")


def _failed(what: str, remote: str, err: str) -> GitError:
    lines = [line for line in err.splitlines() if line.strip() and not line.startswith("hint:")]
    return RemoteError(what, why=" ".join(lines[:2])[:500], next=f"git ls-remote {remote}")
