"""Carry the store in a file, for machines that no network joins: git's own bundles."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gittrack.errors import BundleError, GitError
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.remote import QUIETLY
from gittrack.store.write import read_ref


def create(git: Git, path: str, refs: Sequence[str], without: Sequence[str]) -> bool:
    """Write refs and what they need into a file; False if there is nothing that is to go.

    Args:
        refs: those of ours that go; ones that do not exist are left out.
        without: what the other side has, as arguments of `git rev-list`: `^COMMIT`, `--since=DATE`.
    Raises:
        GitError: it cannot be written.
    """
    present = [ref for ref in refs if read_ref(git, ref) is not None]
    if not present:
        return False
    try:
        # git would read a path that begins with a dash as an option.
        git.run(*QUIETLY, "bundle", "create", "--quiet", _plain(path), *without, *present)
    except GitError as error:
        if "empty bundle" in error.why:
            return False
        raise
    return True


def heads(git: Git, path: str) -> dict[str, str]:
    """The refs in a bundle, name to commit.

    Raises:
        BundleError: it is no bundle.
    """
    try:
        out = git.run("bundle", "list-heads", _plain(path))
    except GitError as error:
        raise BundleError(
            f"{path} is no bundle of runs", why=error.why, next="gittrack bundle create FILE"
        ) from None
    pairs = (line.split(" ", 1) for line in out.decode("utf-8", "replace").splitlines())
    return {name: oid for oid, name in pairs}


def take(git: Git, path: str, refs: Sequence[str]) -> None:
    """Bring the objects behind some of a bundle's refs; no ref of ours moves.

    Raises:
        BundleError: it builds on commits that are not here, or is damaged.
    """
    try:
        git.run(
            *QUIETLY, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
            "--recurse-submodules=no", "--no-auto-maintenance", _plain(path), *refs,
        )  # fmt: skip
    except GitError as error:
        if "lacks these prerequisite" not in error.why:
            raise BundleError(f"{path} cannot be read", why=error.why) from None
        raise BundleError(
            f"{path} builds on commits that are not here",
            why="it was made with --since, or holds sources of runs that build on code which was "
            "never fetched here",
            next="git fetch, or, where it was made: gittrack bundle create FILE --no-sources",
        ) from None


def _plain(path: str) -> str:
    return os.path.abspath(path)


#: What a bundle of ours may hold.
REFS = (layout.STORE_REF, layout.SOURCE_REF)
