"""`gittrack hook`: what our git hooks call, and lines that a user adds to hooks of theirs.

It never stops git: whatever is wrong, the exit code is 0, and there is at most a line on standard
error.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence

from gittrack.cli.output.text import safe
from gittrack.errors import EXIT_OK, GittrackError
from gittrack.repo import Repo, warn


def run_hook(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do what the hook is for.

    Args:
        words: its name, perhaps `--parent PID` (the process that git calls it from), and what git
            gives it.
    """
    if sys.stderr is None:
        # Closed: no file that is opened next may get its number, and warnings with it.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        if environ.get("GITTRACK") != "0":
            _run(words, environ)
    # A wrong call, a broken repository, a full disk, a bug of ours, Ctrl-C: not git's affair.
    except BaseException as error:
        with contextlib.suppress(OSError):  # nobody listens any more
            warn(f"the hook did nothing: {_say(error)}")
    return EXIT_OK


def _run(words: Sequence[str], environ: Mapping[str, str]) -> None:
    name, *args = words
    parent = os.getppid()
    if args[:1] == ["--parent"]:
        parent, args = int(args[1]), args[2:]
    if name == "pre-push":
        # pre-commit hands on neither arguments nor input, but sets these.
        variables = ("PRE_COMMIT_REMOTE_NAME", "PRE_COMMIT_REMOTE_URL")
        remote, url = args or [environ.get(variable, "") for variable in variables]
        # The repository that is pushed, wherever runs are recorded to.
        here = {key: value for key, value in environ.items() if key != "GITTRACK_REPO"}
        with Repo.find(None, here) as repo:
            repo.send_along(remote, url, _read_input(), parent)


def _read_input() -> list[bytes]:
    if sys.stdin is None or sys.stdin.isatty():
        return []
    return sys.stdin.buffer.read().splitlines()


def _say(error: BaseException) -> str:
    return safe(error.message if isinstance(error, GittrackError) else repr(error))
