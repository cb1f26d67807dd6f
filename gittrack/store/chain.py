"""The chain of empty commits that keeps alive what runs stand on and no shared branch holds.

A run is rebuilt from its base commit. A base that is amended or rebased away, and was never on a
branch that others have, would be dropped by git some day, and never get to others at all. So it
becomes a further parent of a commit on a ref of ours: one ref, however many bases.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from gittrack.errors import RefMovedError
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.write import NOBODY, move_ref, pause, read_ref

#: Parents of one commit: git takes more, people's tools may not.
_MOST_PARENTS = 100
_MAX_TRIES = 50
_MESSAGE = "sources of runs [skip ci]\n"


def keep(
    git: Git, bases: Collection[str], remotes: Sequence[str], published: Sequence[str] = ()
) -> int:
    """Add to the chain those of some commits that not every one of the remotes has on a branch.

    Args:
        bases: ids of commits; those that are not here are passed over.
        remotes: names; without any, what no remote-tracking branch holds is added.
        published: commits that are being pushed right now.
    Returns:
        How many were added.
    """
    here = _present(git, bases)
    for attempt in range(_MAX_TRIES):
        tip = read_ref(git, layout.SOURCE_REF)
        kept = [*([tip] if tip else []), *_present(git, published)]
        wanted = _unpublished(git, here, kept, remotes)
        if not wanted:
            return 0
        new = tip
        for at in range(0, len(wanted), _MOST_PARENTS):
            new = commit_empty(git, [*([new] if new else []), *wanted[at : at + _MOST_PARENTS]])
        assert new is not None
        if move_ref(git, layout.SOURCE_REF, new, tip):
            return len(wanted)
        pause(attempt)
    raise RefMovedError(f"{layout.SOURCE_REF} moved {_MAX_TRIES} times while it was written")


def join_chain(git: Git, theirs: str) -> str:
    """Make our chain hold another one, too; the tip after it, the same whoever makes it."""
    for attempt in range(_MAX_TRIES):
        ours = read_ref(git, layout.SOURCE_REF)
        if ours is None or not _missing(git, ours, theirs):
            new = theirs
        elif not _missing(git, theirs, ours):
            new = ours
        else:
            new = commit_empty(git, sorted((ours, theirs)))
        if new == ours or move_ref(git, layout.SOURCE_REF, new, ours):
            return new
        pause(attempt)
    raise RefMovedError(f"{layout.SOURCE_REF} moved {_MAX_TRIES} times while it was joined")


def _missing(git: Git, commit: str, in_commit: str) -> bool:
    return bool(git.run("rev-list", "--max-count=1", commit, "--not", in_commit))


def _present(git: Git, commits: Collection[str]) -> list[str]:
    wanted = sorted(commits)
    found = git.cat_file().read_many(wanted)
    return [oid for oid, item in zip(wanted, found, strict=True) if item and item.type == "commit"]


def _unpublished(
    git: Git, bases: Sequence[str], kept: Sequence[str], remotes: Sequence[str]
) -> list[str]:
    """Those that have to be added, less the ancestors of others among them."""
    if not bases:
        return []
    wanted: set[str] = set()
    asked = "".join(f"{word}\n" for word in [*bases, *(f"^{oid}" for oid in kept)]).encode()
    for branches in [f"--remotes={name}" for name in remotes] or ["--remotes"]:
        # A remote that has no branch here has published nothing.
        out = git.run("rev-list", "--stdin", "--not", branches, input=asked)
        wanted |= set(bases) & set(out.decode().split())
    return _heads(git, sorted(wanted))


def _heads(git: Git, commits: Sequence[str]) -> list[str]:
    """Some commits less those that are ancestors of others, as far as that is cheap to say."""
    found: list[str] = []
    for at in range(0, len(commits), _MOST_PARENTS):
        out = git.run("merge-base", "--independent", *commits[at : at + _MOST_PARENTS])
        found += sorted(out.decode().split())
    return found


def commit_empty(git: Git, parents: Sequence[str]) -> str:
    """An empty commit with these parents, nobody's and of their time, so that clones agree."""
    out = git.run("show", "-s", "--format=%ct", *parents) if parents else b"0"
    when = f"@{max(int(word) for word in out.split())} +0000"
    who = {
        f"GIT_{role}_{part}": value
        for role in ("AUTHOR", "COMMITTER")
        for part, value in (("NAME", NOBODY.name), ("EMAIL", NOBODY.email), ("DATE", when))
    }
    tree = git.run("mktree", input=b"").decode().strip()
    options = [word for parent in parents for word in ("-p", parent)]
    # Signing would ask for a passphrase, and no two signatures are the same.
    command = ("-c", "i18n.commitEncoding=utf-8", "commit-tree", "--no-gpg-sign", tree, *options)
    return git.run(*command, input=_MESSAGE.encode(), env=who).decode().strip()
