"""What git hooks have noted: lines of a file that is read later, and whether anybody shall.

The shell scripts in `hooks/` write the same lines without Python. A hint may be missing, doubled,
or of a commit that is gone by now: it says where to look, never what there is.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import NamedTuple

from gittrack.errors import GittrackError

#: Of a file of more bytes, so many rewrites are kept.
_LONG, _MOST_REWRITES = 1_000_000, 5_000

COMMIT = "commit"
REWRITE = "rewrite"

_LINE = re.compile(
    rb"commit(?: (?P<oid>[0-9a-f]{40}|[0-9a-f]{64}))?"
    rb"|rewrite (?P<old>[0-9a-f]{40}|[0-9a-f]{64}) (?P<new>[0-9a-f]{40}|[0-9a-f]{64})"
    # Some day git may say more of each, see githooks(5).
    rb"(?: .*)? (?P<how>amend|rebase)"
)


class Hint(NamedTuple):
    """One line: that there is a commit, or that one became another.

    `oid` is the commit, or what the commit `old` became; it is empty if the hook could not read
    it, and then HEAD is meant. `how` is `amend` or `rebase`.
    """

    kind: str
    oid: str = ""
    old: str = ""
    how: str = ""


def hints_file(common_dir: str) -> str:
    """Where the hints lie; it is appended to, and may be deleted at any time."""
    return os.path.join(common_dir, "gittrack", "hints")


def read_hints(common_dir: str, offset: int = 0) -> tuple[list[Hint], int]:
    """The hints from a place in the file on, and the place behind the last of them.

    Lines that are none are passed by, and one without its end is left for the next time. A file
    that is shorter than `offset` is another one, and is read from its start.
    """
    try:
        # Not waiting, nor without end: a pipe or a device in its place has nothing to say.
        fd = os.open(hints_file(common_dir), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:
            size = os.fstat(fd).st_size
            start = offset if 0 <= offset <= size else 0
            file.seek(start)
            data = file.read(size - start)
    except FileNotFoundError:
        return [], 0
    except OSError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    found = [hint for line in whole.split(b"\n") if (hint := _parse(line)) is not None]
    return found, start + len(whole)


def _parse(line: bytes) -> Hint | None:
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    parts = {key: value.decode() for key, value in found.groupdict().items() if value}
    if "new" in parts:
        return Hint(REWRITE, parts["new"], parts["old"], parts["how"])
    return Hint(COMMIT, parts.get("oid", ""))


def _line(hint: Hint) -> str:
    words = (hint.kind, hint.old, hint.oid, hint.how)
    return " ".join(word for word in words if word) + "\n"


def append_hint(common_dir: str, hint: Hint) -> None:
    """Note something, in one write; nothing where there is no folder of ours to note it in.

    Raises:
        OSError: the disk takes nothing.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        fd = os.open(hints_file(common_dir), flags, 0o666)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        os.write(fd, _line(hint).encode())
    finally:
        os.close(fd)


def shorten(common_dir: str) -> None:
    """Leave of a long file what is needed for good: what became of which commit, as of late."""
    path = hints_file(common_dir)
    with contextlib.suppress(OSError):
        if os.path.getsize(path) <= _LONG:
            return
        found, _ = read_hints(common_dir)
        kept = [hint for hint in found if hint.kind == REWRITE][-_MOST_REWRITES:]
        temporary = f"{path}.{os.getpid()}.tmp"
        with open(temporary, "w", encoding="ascii") as file:
            file.writelines(_line(hint) for hint in kept)
        # What a hook notes at this moment is lost: a hint may be missing.
        os.replace(temporary, path)


# -- whether commits are recorded by themselves ----------------------------------------------


_OFF = b"off\n"


def _switch(common_dir: str) -> str:
    return os.path.join(common_dir, "gittrack", "autorecord")


def is_enabled(common_dir: str) -> bool:
    """Whether commits are recorded by themselves here."""
    return _read_switch(common_dir) not in (None, _OFF)


def enable(common_dir: str, *, unless_off: bool = False) -> None:
    """From now on commits are recorded by themselves here.

    Args:
        unless_off: not where somebody has stopped that.
    Raises:
        GittrackError: the disk takes nothing.
    """
    if not unless_off or _read_switch(common_dir) is None:
        _write_switch(common_dir, b"")


def disable(common_dir: str) -> None:
    """Stop that.

    Raises:
        GittrackError: the disk takes nothing.
    """
    if os.path.isdir(os.path.dirname(_switch(common_dir))):
        _write_switch(common_dir, _OFF)


def _read_switch(common_dir: str) -> bytes | None:
    try:
        with open(_switch(common_dir), "rb") as file:
            return file.read(len(_OFF))
    except OSError:
        return None


def _write_switch(common_dir: str, data: bytes) -> None:
    with _clearly(common_dir):
        os.makedirs(os.path.dirname(_switch(common_dir)), exist_ok=True)
        with open(_switch(common_dir), "wb") as file:
            file.write(data)


@contextlib.contextmanager
def _clearly(common_dir: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GittrackError(
            f"{_switch(common_dir)} could not be written",
            why=f"{error.strerror}; commits are recorded by themselves or not, as before",
            next="gittrack hooks status",
        ) from error
