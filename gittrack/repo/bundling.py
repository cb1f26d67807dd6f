"""Runs in a file: to carry where no network goes, and to take in there."""

from __future__ import annotations

import os
from typing import NamedTuple

from gittrack.errors import BundleError
from gittrack.repo.memory import Memory
from gittrack.repo.sync import count_runs, join_into
from gittrack.store import bundle, layout
from gittrack.store.chain import join_chain
from gittrack.store.git import Git
from gittrack.store.write import read_ref


class Bundled(NamedTuple):
    """What a bundle brought, or holds: how many runs; `is_empty` if there was nothing to write."""

    runs: int
    is_empty: bool = False


def create(git: Git, path: str, *, since: str | None, sources: bool) -> Bundled:
    """Write our runs, and with `sources` the commits that they stand on, into a file.

    Args:
        since: what the other side has: a commit of the store, an earlier bundle, or a time.
    Raises:
        BundleError: `since` is a bundle that cannot be read.
        GitError: the file cannot be written.
    """
    tip = read_ref(git, layout.STORE_REF)
    if tip is None:
        return Bundled(0, is_empty=True)
    refs = bundle.REFS if sources else bundle.REFS[:1]
    without, known = _since(git, since)
    # The code that others have anyway stays out; they must have fetched it.
    published = ["--not", "--remotes"] if sources and read_ref(git, layout.SOURCE_REF) else []
    if not bundle.create(
        git, path, refs, [*without, *published, *(["--not"] if published else [])]
    ):
        return Bundled(0, is_empty=True)
    return Bundled(count_runs(git, known, tip))


def _since(git: Git, since: str | None) -> tuple[list[str], str | None]:
    """Arguments that leave out what the other side has, and the store commit that it has."""
    if since is None:
        return [], None
    if os.path.isfile(since):
        found = bundle.heads(git, since)
        here = [oid for oid in found.values() if git.cat_file().read(oid) is not None]
        known = found.get(layout.STORE_REF)
        return [f"^{oid}" for oid in here], known if known in here else None
    item = git.cat_file().read(f"{since}^{{commit}}") if _is_spec(since) else None
    if item is not None:
        return [f"^{item.oid}"], item.oid
    out = git.run("rev-list", "--max-count=1", f"--before={since}", layout.STORE_REF)
    return [f"--since={since}"], out.decode().strip() or None


def _is_spec(text: str) -> bool:
    return bool(text) and "\n" not in text and text[0] not in ":-^"


def apply(git: Git, path: str, memory: Memory, *, fsync: bool) -> Bundled:
    """Join the runs of a bundle with ours; twice is the same as once.

    Raises:
        BundleError: it is no bundle of runs, or builds on commits that are not here.
        CorruptStoreError, StoreFormatError: what it holds is refused; ours stays as it was.
    """
    if not os.path.isfile(path):
        raise BundleError(
            f"there is no file {path}",
            why="a bundle is a file that `gittrack bundle create` wrote",
            next="gittrack bundle apply FILE",
        )
    found = bundle.heads(git, path)
    theirs = found.get(layout.STORE_REF)
    if theirs is None:
        raise BundleError(
            f"{path} holds no runs",
            why=f"it has {', '.join(sorted(found)) or 'nothing'}, not {layout.STORE_REF}",
            next="gittrack bundle create FILE",
        )
    bundle.take(git, path, [ref for ref in bundle.REFS if ref in found])
    before = read_ref(git, layout.STORE_REF)
    tip = join_into(git, theirs, memory, fsync=fsync, is_peer=True)
    if layout.SOURCE_REF in found:
        join_chain(git, found[layout.SOURCE_REF])
    return Bundled(count_runs(git, before, tip))
