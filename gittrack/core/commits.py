"""A commit of git's as a plain value. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

#: What a commit's message may say of the runs that belong to it.
TRAILER = "Gittrack-Run"
_WHO = re.compile(rb"(?P<name>.*?) ?<(?P<email>[^>]*)> (?P<time>-?\d{1,18}) [+-]\d{4}")
_RUN = re.compile(rf"^{TRAILER}:[ \t]*([A-Za-z0-9][A-Za-z0-9_-]{{3,255}})[ \t\r]*$", re.M | re.I)
#: What `git merge --squash` writes above the commits that it takes together, see git-merge(1).
_SQUASHED = "Squashed commit of the following:\n"
_SQUASHED_COMMIT = re.compile(r"^commit ([0-9a-f]{40}|[0-9a-f]{64})$", re.M)
_MOST_SQUASHED = 1000


class Commit(NamedTuple):
    """What a commit says of itself; `time_s` is its committer's, in seconds since the epoch."""

    oid: str
    tree: str
    parents: tuple[str, ...]
    author: str
    time_s: int
    message: str

    @property
    def subject(self) -> str:
        """The first paragraph of the message on one line, as `git log --oneline` shows it."""
        return " ".join(self.message.strip().split("\n\n", 1)[0].split())

    @property
    def runs(self) -> tuple[str, ...]:
        """The runs that its trailers name: ids, or their hex parts."""
        return tuple(dict.fromkeys(_RUN.findall(self.message)))

    @property
    def squashed(self) -> tuple[str, ...]:
        """The commits that it takes together, if its message is still what git wrote."""
        _, _, rest = self.message.partition(_SQUASHED)
        return tuple(dict.fromkeys(_SQUASHED_COMMIT.findall(rest)))[:_MOST_SQUASHED]


def parse_commit(oid: str, data: bytes) -> Commit:
    """A commit from the bytes of its object.

    Raises:
        ValueError: they are no commit.
    """
    head, _, body = data.partition(b"\n\n")
    tree = ""
    parents: list[str] = []
    found: dict[bytes, bytes] = {}
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"tree":
            tree = value.decode("ascii")
        elif key == b"parent":
            parents.append(value.decode("ascii"))
        elif key:  # what begins with a space goes on with a signature
            found.setdefault(key, value)
    author = _WHO.fullmatch(found.get(b"author", b""))
    committer = _WHO.fullmatch(found.get(b"committer", b""))
    if not tree or committer is None:
        raise ValueError(f"{oid} is no commit")
    encoding = found.get(b"encoding", b"utf-8").decode("ascii", "replace")
    who = (
        "" if author is None else _decode(author["name"] + b" <" + author["email"] + b">", encoding)
    )
    # The time is hostile, as all of it is: within what a run id can hold, 1970 to 9999.
    time_s = min(max(int(committer["time"]), 0), 253_402_300_799)
    return Commit(oid, tree, tuple(parents), who, time_s, _decode(body, encoding))


def _decode(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except (LookupError, UnicodeError):
        return data.decode("utf-8", "replace")


def close_over(pairs: dict[str, set[str]], new: str) -> Iterator[str]:
    """Every commit that became `new`, over any number of rewrites, nearest first.

    Args:
        pairs: a commit -> those that it was made of.
    """
    waiting, seen = [new], {new}
    while waiting:
        for old in sorted(pairs.get(waiting.pop(0), ())):
            if old not in seen:
                seen.add(old)
                waiting.append(old)
                yield old
