"""Commits of the code: how they descend from each other, what they say, what they change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gittrack.errors import GitError
from gittrack.store.git import Git


class CommitInfo(NamedTuple):
    """What people call a commit by; `time_ms` is when it was written."""

    id: str
    short: str
    subject: str
    author: str
    time_ms: int


class FileStat(NamedTuple):
    """A file that differs between two commits, with lines; None where it is not text."""

    path: str
    kind: str  # added | removed | changed
    added: int | None
    removed: int | None


class Tips(NamedTuple):
    """What a range of revisions goes up to, and what it leaves out."""

    wanted: tuple[str, ...]
    unwanted: tuple[str, ...]


_KINDS = {"A": "added", "D": "removed"}


def parse_range(git: Git, revisions: Sequence[str]) -> Tips:
    """The commits that revisions such as `A..B ^C` name.

    Raises:
        GitError: git does not know one of them.
    """
    out = git.run("rev-parse", "--revs-only", "--end-of-options", *revisions, "--")
    # git leaves out what it does not know, when it comes last; rev-list does not.
    git.run("rev-list", "--max-count=0", "--end-of-options", *revisions, "--")
    words = [word for word in out.decode().split() if word.lstrip("^").isalnum()]
    peeled = [(word[:1] == "^", word.lstrip("^")) for word in words]
    found: dict[bool, dict[str, None]] = {False: {}, True: {}}
    for (away, _), item in zip(
        peeled, git.cat_file().read_many(f"{name}^{{commit}}" for _, name in peeled), strict=True
    ):
        if item is None:
            raise GitError("git rev-parse failed", why=f"bad revision '{' '.join(revisions)}'")
        found[away][item.oid] = None
    return Tips(tuple(found[False]), tuple(found[True]))


def list_history(git: Git, tips: Tips) -> tuple[list[str], dict[str, list[str]]]:
    """Commits in git's topological order, parents first, and the parents of each."""
    names = [*tips.wanted, *(f"^{name}" for name in tips.unwanted)]
    out = git.run(
        *("rev-list", "--topo-order", "--reverse", "--parents", "--stdin"),
        input="".join(f"{name}\n" for name in names).encode(),
    )
    order: list[str] = []
    parents: dict[str, list[str]] = {}
    for line in out.decode().splitlines():
        commit, *above = line.split()
        order.append(commit)
        parents[commit] = above
    return order, parents


def read_commits(git: Git, commits: Sequence[str]) -> dict[str, CommitInfo]:
    """What commits say of themselves.

    Raises:
        GitError: one is not here.
    """
    if not commits:
        return {}
    form = "%H%x00%h%x00%s%x00%aN <%aE>%x00%at"
    out = git.run(
        *("log", "--no-walk=unsorted", "--no-show-signature", "--no-notes", "--no-color", "-z"),
        *("--stdin", "--encoding=UTF-8", f"--format=tformat:{form}"),
        input="".join(f"{commit}\n" for commit in commits).encode(),
    )
    words = out.decode("utf-8", "replace").split("\0")
    found = {}
    for at in range(0, len(words) - 4, 5):
        commit, short, subject, author, time_s = words[at : at + 5]
        found[commit] = CommitInfo(commit, short, subject, author, int(time_s or 0) * 1000)
    return found


def changed_files(git: Git, old: str | None, new: str) -> list[FileStat]:
    """The files that differ between two commits, or (None) all that the new one has."""
    between = [old, new] if old is not None else ["--root", new]
    out = git.run(
        *("diff-tree", "-r", "-z", "--no-commit-id", "--raw", "--numstat", "--no-renames"),
        *("--no-ext-diff", "--no-textconv", *between, "--"),
    )
    kinds: dict[str, str] = {}
    found = []
    fields = iter(out.decode("utf-8", "surrogateescape").split("\0"))
    for field in fields:
        if field.startswith(":"):
            kinds[next(fields)] = _KINDS.get(field.rpartition(" ")[2], "changed")
        elif field:
            added, removed, path = field.split("\t", 2)
            found.append(FileStat(path, kinds.get(path, "changed"), _lines(added), _lines(removed)))
    return found


def _lines(text: str) -> int | None:
    return None if text == "-" else int(text)
