"""The exact source of a run: base commit + overlay + listed changes = the recorded tree."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.model import Source
from gittrack.errors import SourceError
from gittrack.store.git import Git
from gittrack.store.scratch import (
    EXECUTABLE,
    FILE,
    GITLINK,
    QUIET,
    SYMLINK,
    Scratch,
    TreeChange,
    entries_of,
    list_untracked,
    tree_of,
)

_STATES = (
    ("MERGE_HEAD", "merging"),
    ("rebase-merge", "rebasing"),
    ("rebase-apply", "rebasing"),
    ("CHERRY_PICK_HEAD", "cherry-picking"),
    ("REVERT_HEAD", "reverting"),
    ("BISECT_LOG", "bisecting"),
)


class Head(NamedTuple):
    """Where HEAD is; `dirty` speaks of tracked files only."""

    commit: str | None
    branch: str | None
    dirty: bool
    state: str | None
    submodules_dirty: tuple[str, ...]


class Snapshot(NamedTuple):
    """A source, and the bytes of the files that differ from its base."""

    source: Source
    overlay: dict[str, bytes]
    warnings: tuple[str, ...] = ()


# -- record ----------------------------------------------------------------------------------


def doing(git: Git) -> str | None:
    """What git is in the middle of, if it is: `merging`, `rebasing`, `bisecting`, ..."""
    return next(
        (word for name, word in _STATES if os.path.exists(os.path.join(git.git_dir, name))), None
    )


def head_state(git: Git) -> Head:
    """Where HEAD is and whether tracked files differ from it; one call of git."""
    out = git.run(
        *QUIET,
        *("status", "--porcelain=v2", "--branch", "--no-ahead-behind", "-z"),
        "--untracked-files=no",
    )
    commit = branch = None
    dirty = False
    submodules = []
    lines = iter(out.decode("utf-8", "surrogateescape").split("\0"))
    for line in lines:
        if line.startswith("# branch.oid "):
            commit = line[13:] if line[13:] != "(initial)" else None
        elif line.startswith("# branch.head "):
            branch = line[14:] if line[14:] != "(detached)" else None
        elif line[:2] in ("1 ", "2 ", "u "):
            dirty = True
            submodule = line.split(" ", 3)[2]
            # S<commit changed><tracked changes><untracked files>
            if submodule[0] == "S" and submodule[2] == "M":
                submodules.append(line.split(" ", 8)[8])
            if line[0] == "2":
                next(lines)
    state = doing(git)
    return Head(commit, branch, dirty, state, tuple(submodules))


def snapshot(
    git: Git,
    head: Head,
    scratch_dir: str,
    *,
    untracked: Sequence[str],
    max_bytes: int,
    withhold: Callable[[str, bytes], str | None],
) -> Snapshot:
    """Record what the worktree holds, as base + overlay + changes.

    Args:
        head: as `head_state` has just given it.
        scratch_dir: an empty folder; the caller removes it.
        untracked: globs of untracked files that belong to the source; ignored ones never do.
        max_bytes: most bytes that the overlay may have.
        withhold: path and bytes of a file -> why it must not be stored, or None.
    Raises:
        SourceError: base + overlay + changes do not give the tree.
        GitError: git cannot hash the worktree, for instance because a filter fails.
    """
    source = Source(
        commit=head.commit,
        base=head.commit,
        branch=head.branch,
        dirty=head.dirty,
        state=head.state,
        submodules_dirty=head.submodules_dirty,
    )
    head_tree = tree_of(git, head.commit) if head.commit is not None else None
    base = _published_base(git, head.commit)
    extra = list_untracked(git, untracked)
    if not head.dirty and not extra and base == head.commit:
        return Snapshot(source._replace(tree=head_tree), {})

    scratch = Scratch(git, scratch_dir)
    tree = scratch.worktree_tree(extra) if head.dirty or extra else head_tree
    assert tree is not None
    source = source._replace(tree=tree, dirty=head.dirty or tree != head_tree)
    if base != head.commit:
        changes = scratch.changes(tree_of(git, base) if base else None, tree)
        if sum(scratch.sizes(changes).values()) <= max_bytes:
            return _overlay(scratch, source._replace(base=base), changes, max_bytes, withhold)
    return _overlay(scratch, source, scratch.changes(head_tree, tree), max_bytes, withhold)


def overlay_id(overlay: Mapping[str, bytes]) -> str:
    """The name of an overlay: 24 hex digits of what is in it, the same in any repository."""
    from hashlib import sha256

    total = sha256()
    for path in sorted(overlay):
        name = path.encode("utf-8", "surrogateescape")
        total.update(b"%d %b %d " % (len(name), name, len(overlay[path])))
        total.update(overlay[path])
    return total.hexdigest()[:24]


def _overlay(
    scratch: Scratch,
    source: Source,
    changes: Sequence[TreeChange],
    max_bytes: int,
    withhold: Callable[[str, bytes], str | None],
) -> Snapshot:
    sizes = scratch.sizes(changes)
    withheld = _too_large(sizes, max_bytes)
    deleted: list[str] = []
    modes: dict[str, str] = {}
    symlinks: dict[str, str] = {}
    gitlinks: dict[str, str] = {}
    files: dict[str, bytes] = {}
    contents = scratch.read(
        [c for c in changes if c.mode in (FILE, EXECUTABLE, SYMLINK) and c.path not in withheld]
    )
    for change in changes:
        path = change.path
        if not change.mode:
            deleted.append(path)
        elif change.mode == GITLINK:
            gitlinks[path] = change.oid
        elif change.mode == SYMLINK:
            symlinks[path] = contents[path].decode("utf-8", "surrogateescape")
        elif path not in withheld:
            if change.oid == change.old_oid and change.old_mode in (FILE, EXECUTABLE):
                modes[path] = change.mode
                continue
            reason = withhold(path, contents[path])
            if reason is not None:
                withheld[path] = reason
                continue
            files[path] = contents[path]
            if change.mode == EXECUTABLE:
                modes[path] = change.mode
    source = source._replace(
        overlay=overlay_id(files) if files else None,
        files=tuple(sorted(files)),
        deleted=tuple(sorted(deleted)),
        modes=modes,
        symlinks=symlinks,
        gitlinks=gitlinks,
        withheld=withheld,
    )
    base_tree = scratch.base_tree(source.base)
    built = scratch.build(base_tree, entries_of(source, {c.path: c.oid for c in changes}))
    if withheld:
        source = source._replace(rebuilds=built)
    elif built != source.tree:
        raise SourceError(
            "the source cannot be rebuilt from what was recorded",
            why=f"base and changes give tree {built}, the worktree is {source.tree}",
            next="git status",
        )
    return Snapshot(source, files)


def _too_large(sizes: Mapping[str, int], max_bytes: int) -> dict[str, str]:
    """The files to leave out, largest first, until the others fit."""
    total = sum(sizes.values())
    withheld: dict[str, str] = {}
    for path in sorted(sizes, key=lambda path: (-sizes[path], path)):
        if total <= max_bytes:
            break
        total -= sizes[path]
        withheld[path] = f"too large: {sizes[path]} bytes (source.max_bytes is {max_bytes})"
    return withheld


def _published_base(git: Git, commit: str | None) -> str | None:
    """The nearest ancestor that a remote-tracking branch holds, else the commit itself."""
    if commit is None or not _has_remote_branches(git):
        return commit
    if not git.run("rev-list", "--max-count=1", commit, "--not", "--remotes"):
        return commit
    out = git.run("rev-list", "--boundary", "--topo-order", commit, "--not", "--remotes")
    boundary = [line[1:] for line in out.decode().splitlines() if line.startswith("-")]
    return boundary[0] if boundary else commit


def _has_remote_branches(git: Git) -> bool:
    common = git.common_dir
    if os.path.isdir(os.path.join(common, "reftable")):
        return bool(git.run("for-each-ref", "--count=1", "refs/remotes"))
    loose = os.path.join(common, "refs", "remotes")
    if any(files for _, _, files in os.walk(loose)):
        return True
    try:
        with open(os.path.join(common, "packed-refs"), "rb") as file:
            return b" refs/remotes/" in file.read()
    except FileNotFoundError:
        return False
