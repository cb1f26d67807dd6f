"""`gittrack hook`: what our git hooks call, and lines that a user adds to hooks of theirs.

It never stops git: whatever is wrong, the exit code is 0, and there is at most a line on standard
error.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence

from gittrack.cli.output import streams
from gittrack.cli.output.text import safe
from gittrack.errors import EXIT_OK, GittrackError
from gittrack.repo import Repo, warn

_NAMES = (
    "pre-push", "post-commit", "post-merge", "post-rewrite", "post-applypatch",
    "prepare-commit-msg",
)  # fmt: skip
#: How long a commit may wait for its message, and we for what git says, in seconds.
_PATIENCE_S = 2


def run_hook(words: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do what the hook is for.

    Args:
        words: its name, perhaps `--parent PID` (the process that git calls it from), and what git
            gives it.
    """
    streams.open_closed()
    try:
        if environ.get("GITTRACK") != "0":
            _run(words, environ)
    # A wrong call, a broken repository, a full disk, a bug of ours, Ctrl-C: not git's affair.
    except BaseException as error:
        with contextlib.suppress(OSError):  # nobody listens any more
            warn(f"the hook did nothing: {_say(error)}")
    streams.let_go()
    return EXIT_OK


def _run(words: Sequence[str], environ: Mapping[str, str]) -> None:
    name, *args = words
    parent = os.getppid()
    if args[:1] == ["--parent"]:
        parent, args = int(args[1]), args[2:]
    if name not in _NAMES:
        return
    # The repository that is worked in, wherever runs are recorded to.
    here = {key: value for key, value in environ.items() if key != "GITTRACK_REPO"}
    # pre-commit hands on neither arguments nor input, but sets variables.
    with Repo.find(None, here) as repo:
        if name == "pre-push":
            variables = ("PRE_COMMIT_REMOTE_NAME", "PRE_COMMIT_REMOTE_URL")
            remote, url = args or [environ.get(variable, "") for variable in variables]
            repo.send_along(remote, url, _read_input(), parent)
        elif name == "post-rewrite":
            how = args[0] if args else environ.get("PRE_COMMIT_REWRITE_COMMAND", "")
            repo.note_rewrites(how, _read_input())
        elif name == "prepare-commit-msg":
            message = args[0] if args else os.path.join(repo.git.git_dir, "COMMIT_EDITMSG")
            source = args[1:2] or [environ.get("PRE_COMMIT_COMMIT_MSG_SOURCE", "")]
            with _bounded():
                repo.add_trailer(message, source[0])
        elif (args or [environ.get("PRE_COMMIT_IS_SQUASH_MERGE", "")])[0] != "1":
            # Squashing has made no commit yet.
            repo.note_commit()


@contextlib.contextmanager
def _bounded() -> Iterator[None]:
    """Whoever commits does not wait for long."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError(f"it took longer than {_PATIENCE_S} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _read_input() -> list[bytes]:
    if sys.stdin is None or sys.stdin.isatty():
        return []
    import select

    # git has said everything at once; whoever else calls us may leave its end open.
    fd, parts = sys.stdin.fileno(), list[bytes]()
    while select.select([fd], [], [], _PATIENCE_S)[0] and (part := os.read(fd, 1 << 16)):
        parts.append(part)
    return b"".join(parts).splitlines()


def _say(error: BaseException) -> str:
    return safe(error.message if isinstance(error, GittrackError) else repr(error))
