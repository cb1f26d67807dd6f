"""What a `git push` was asked to do, as its pre-push hook can tell."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

#: Where Linux tells of processes.
PROC = "/proc"
#: Between git and us stand the hook's shell and those of a framework.
_MOST_ANCESTORS = 10

#: Options of git, and of `git push`, whose value is the next word. Source: git.c, builtin/push.c.
_GIT_WITH_VALUE = (
    "-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env",
    "--attr-source",
)  # fmt: skip
_PUSH_WITH_VALUE = ("--repo", "--receive-pack", "--exec", "--push-option", "--recurse-submodules")


def pushes_below(prefix: str, lines: Iterable[bytes]) -> bool:
    """Whether a push sends or deletes a ref below `prefix`.

    Args:
        lines: what git gives the hook, `LOCAL-REF LOCAL-ID REMOTE-REF REMOTE-ID` each; the first
            is what the user typed, spaces and all.
    """
    refs = (line.rstrip(b"\n").rsplit(b" ", 2)[1:2] for line in lines)
    return any(ref[0].startswith(prefix.encode()) for ref in refs if ref)


def pushed_commits(lines: Iterable[bytes]) -> list[str]:
    """The ids of what a push sends; see `pushes_below`."""
    words = (line.rstrip(b"\n").rsplit(b" ", 3) for line in lines)
    found = (parts[1].decode("ascii", "replace") for parts in words if len(parts) == 4)
    return [oid for oid in found if oid.strip("0")]


def is_dry_run(argv: Sequence[str]) -> bool:
    """Whether that command line is a `git push` which only says what it would do."""
    words = _words_of_push(argv) or []
    dry = False
    while words:
        word = words.pop(0)
        if word in ("--", "--end-of-options"):
            break
        if word.startswith("--"):
            # git takes any beginning of an option that is no other's.
            if len(word) > 3 and "--dry-run".startswith(word):
                dry = True
            elif len(word) > 6 and "--no-dry-run".startswith(word):
                dry = False
            elif any(option.startswith(word) for option in _PUSH_WITH_VALUE):
                words = words[1:]
        elif word.startswith("-"):
            # Letters in one word; the rest of it is the value of `-o`, or else the next word is.
            letters, value, rest = word[1:].partition("o")
            dry = dry or "n" in letters
            if value and not rest:
                words = words[1:]
    return dry


def _words_of_push(argv: Sequence[str]) -> list[str] | None:
    """What stands behind `git push`; None if the command is another."""
    program, *words = argv or [""]
    name = os.path.basename(program).removesuffix(".exe")
    if name == "git-push":
        return words
    if name != "git":
        return None
    while words and words[0].startswith("-"):
        words = words[2:] if words[0] in _GIT_WITH_VALUE else words[1:]
    return words[1:] if words[:1] == ["push"] else None


def find_push(pid: int) -> list[str]:
    """The command line of the `git push` that a process belongs to: its own, or an ancestor's.

    Empty if there is none, or nothing tells.
    """
    for _ in range(_MOST_ANCESTORS):
        parent, argv = _read_process(pid)
        if _words_of_push(argv) is not None:
            return argv
        if parent <= 1:
            break
        pid = parent
    return []


def _read_process(pid: int) -> tuple[int, list[str]]:
    """A process's parent and command line; 0 and nothing if that cannot be told."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            # The name in parentheses may hold anything, but nothing behind it does.
            parent = int(file.read().rpartition(b")")[2].split()[1])
        with open(f"{PROC}/{pid}/cmdline", "rb") as file:
            return parent, [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    except OSError:
        return _ask_ps(pid)


def _ask_ps(pid: int) -> tuple[int, list[str]]:
    """The same where there is no /proc; words with blanks in them come apart."""
    import subprocess

    command = ["ps", "-o", "ppid=", "-o", "command=", "-p", str(pid)]
    try:
        out = subprocess.run(command, capture_output=True, check=False).stdout
    except OSError:
        return 0, []
    parent, *argv = os.fsdecode(out).split() or ["0"]
    return int(parent), argv
