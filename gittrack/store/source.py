"""The exact source of a run: base commit + overlay + listed changes = the recorded tree.

Nothing of the user's repository is written: what git has to hash goes into a scratch object
store, through a copy of the staging area. The copy keeps its mtime: git trusts an entry whose
file is older than the index, so a fresh mtime would hide an edit of the same size made within
the second of the last `git add`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.model import Source
from gittrack.errors import GitError, SourceError
from gittrack.store.git import Git

_FILE, _EXECUTABLE, _SYMLINK, _GITLINK = "100644", "100755", "120000", "160000"
_STATES = (
    ("MERGE_HEAD", "merging"),
    ("rebase-merge", "rebasing"),
    ("rebase-apply", "rebasing"),
    ("CHERRY_PICK_HEAD", "cherry-picking"),
    ("REVERT_HEAD", "reverting"),
    ("BISECT_LOG", "bisecting"),
)
#: Helpers that would look at, or write beside, the user's own staging area.
_QUIET = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", "core.hooksPath=/dev/null"),
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


class Rebuilt(NamedTuple):
    """What `rebuild` laid out."""

    tree: str
    files: int


class _Change(NamedTuple):
    """A path that differs between base and tree; an empty mode where it is not there."""

    path: str
    old_mode: str
    mode: str
    old_oid: str
    oid: str


# -- record ----------------------------------------------------------------------------------


def head_state(git: Git) -> Head:
    """Where HEAD is and whether tracked files differ from it; one call of git."""
    out = git.run(
        *_QUIET,
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
    state = next(
        (word for name, word in _STATES if os.path.exists(os.path.join(git.git_dir, name))), None
    )
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
    head_tree = _tree_of(git, head.commit) if head.commit is not None else None
    base = _published_base(git, head.commit)
    extra = _untracked(git, untracked)
    if not head.dirty and not extra and base == head.commit:
        return Snapshot(source._replace(tree=head_tree), {})

    scratch = _Scratch(git, scratch_dir)
    tree = scratch.worktree_tree(extra) if head.dirty or extra else head_tree
    assert tree is not None
    source = source._replace(tree=tree, dirty=head.dirty or tree != head_tree)
    if base != head.commit:
        changes = scratch.changes(_tree_of(git, base) if base else None, tree)
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
    scratch: _Scratch,
    source: Source,
    changes: Sequence[_Change],
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
        [c for c in changes if c.mode in (_FILE, _EXECUTABLE, _SYMLINK) and c.path not in withheld]
    )
    for change in changes:
        path = change.path
        if not change.mode:
            deleted.append(path)
        elif change.mode == _GITLINK:
            gitlinks[path] = change.oid
        elif change.mode == _SYMLINK:
            symlinks[path] = contents[path].decode("utf-8", "surrogateescape")
        elif path not in withheld:
            if change.oid == change.old_oid and change.old_mode in (_FILE, _EXECUTABLE):
                modes[path] = change.mode
                continue
            reason = withhold(path, contents[path])
            if reason is not None:
                withheld[path] = reason
                continue
            files[path] = contents[path]
            if change.mode == _EXECUTABLE:
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
    built = scratch.build(base_tree, _entries(source, {c.path: c.oid for c in changes}))
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


def _entries(source: Source, oids: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The changes as (mode, object id, path) of staging area entries; an empty mode removes."""
    # Removed first: a file may make room for a folder of its name.
    for path in source.deleted:
        yield "", "", path
    for path in source.files:
        yield source.modes.get(path, _FILE), oids[path], path
    for path, mode in source.modes.items():
        if path not in source.files:
            yield mode, oids[path], path
    for path in source.symlinks:
        yield _SYMLINK, oids[path], path
    for path, oid in source.gitlinks.items():
        yield _GITLINK, oid, path


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


def _untracked(git: Git, globs: Sequence[str]) -> list[str]:
    if not globs:
        return []
    specs = [f":(top,glob){pattern}" for pattern in globs]
    out = git.run("ls-files", "--others", "--exclude-standard", "-z", "--", *specs)
    return [name for name in out.decode("utf-8", "surrogateescape").split("\0") if name]


def _tree_of(git: Git, commit: str) -> str:
    found = git.cat_file().read(f"{commit}^{{tree}}")
    if found is None:
        raise SourceError(
            f"commit {commit} is not in this repository",
            why="it was never fetched here, or git has collected it",
            next=f"git fetch origin {commit}",
        )
    return found.oid


class _Scratch:
    """An object store and staging areas of our own, on top of the repository's objects."""

    def __init__(self, git: Git, folder: str) -> None:
        self._git = git
        self._folder = folder
        self._objects = os.path.join(folder, "objects")
        self._indexes = 0
        os.makedirs(self._objects)

    def env(self, index: str | None = None) -> dict[str, str]:
        """What makes git read the repository and write here."""
        env = {
            "GIT_OBJECT_DIRECTORY": self._objects,
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(self._git.common_dir, "objects"),
        }
        if index is not None:
            env["GIT_INDEX_FILE"] = index
        return env

    def new_index(self) -> str:
        """The path of a staging area that does not exist yet."""
        self._indexes += 1
        return os.path.join(self._folder, f"index-{self._indexes}")

    def worktree_tree(self, extra: Sequence[str]) -> str:
        """The tree of everything that is tracked, as it lies in the worktree."""
        import shutil

        index = self.new_index()
        own = os.path.join(self._git.git_dir, "index")
        if os.path.exists(own):
            shutil.copy2(own, index)
        env = self.env(index)
        self._git.run(*_QUIET, "add", "--update", "--", ":/", env=env)
        if extra:
            names = "".join(f"{name}\0" for name in extra).encode("utf-8", "surrogateescape")
            self._git.run(*_QUIET, "update-index", "--add", "-z", "--stdin", input=names, env=env)
        return self._git.run(*_QUIET, "write-tree", env=env).decode().strip()

    def base_tree(self, base: str | None) -> str | None:
        """The tree of the base commit; None if there is no commit yet."""
        return None if base is None else _tree_of(self._git, base)

    def changes(self, old: str | None, new: str) -> list[_Change]:
        """Every path that differs between two trees."""
        if old is None:
            old = self._git.run("hash-object", "-t", "tree", "--stdin", input=b"").decode().strip()
        out = self._git.run(
            *("diff-tree", "-r", "-z", "--raw", "--no-renames", "--full-index", old, new),
            env=self.env(),
        )
        fields = out.decode("utf-8", "surrogateescape").split("\0")
        changes = []
        for facts, path in zip(fields[0::2], fields[1::2], strict=False):
            old_mode, mode, old_oid, oid, _ = facts[1:].split(" ")
            changes.append(
                _Change(
                    path,
                    "" if old_mode == "000000" else old_mode,
                    "" if mode == "000000" else mode,
                    old_oid,
                    oid,
                )
            )
        return changes

    def sizes(self, changes: Iterable[_Change]) -> dict[str, int]:
        """The bytes of each file that an overlay would hold."""
        wanted = [c for c in changes if c.mode in (_FILE, _EXECUTABLE) and c.oid != c.old_oid]
        if not wanted:
            return {}
        asked = "".join(f"{change.oid}\n" for change in wanted).encode()
        out = self._git.run("cat-file", "--batch-check", input=asked, env=self.env())
        lines = out.decode().splitlines()
        return {c.path: int(line.split(" ")[2]) for c, line in zip(wanted, lines, strict=True)}

    def read(self, changes: Sequence[_Change]) -> dict[str, bytes]:
        """The bytes of files and the targets of symlinks."""
        if not changes:
            return {}
        asked = "".join(f"{change.oid}\n" for change in changes).encode()
        out = self._git.run("cat-file", "--batch", input=asked, env=self.env())
        found = {}
        at = 0
        for change in changes:
            end = out.index(b"\n", at)
            size = int(out[at:end].split(b" ")[2])
            found[change.path] = out[end + 1 : end + 1 + size]
            at = end + 1 + size + 1
        return found

    def store(self, contents: Mapping[str, bytes]) -> dict[str, str]:
        """Put bytes into the scratch object store; path -> object id."""
        names = []
        for number, path in enumerate(contents):
            name = os.path.join(self._folder, f"file-{number}")
            with open(name, "wb") as file:
                file.write(contents[path])
            names.append(f"{name}\n")
        if not names:
            return {}
        out = self._git.run(
            *("hash-object", "-w", "--no-filters", "--stdin-paths"),
            input="".join(names).encode("utf-8", "surrogateescape"),
            env=self.env(),
        )
        return dict(zip(contents, out.decode().split(), strict=True))

    def build(self, base_tree: str | None, entries: Iterable[tuple[str, str, str]]) -> str:
        """The tree that changes make of a base."""
        env = self.env(self.new_index())
        if base_tree is not None:
            self._git.run(*_QUIET, "read-tree", base_tree, env=env)
        zeros = "0" * len(base_tree or "0" * 40)
        lines = [f"{mode or '0'} {oid or zeros}\t{path}\0" for mode, oid, path in entries]
        data = "".join(lines).encode("utf-8", "surrogateescape")
        self._git.run(*_QUIET, "update-index", "-z", "--index-info", input=data, env=env)
        return self._git.run(*_QUIET, "write-tree", env=env).decode().strip()


# -- compare ---------------------------------------------------------------------------------


def changed_files(
    git: Git, a: Source, overlay_a: Mapping[str, bytes], b: Source, overlay_b: Mapping[str, bytes]
) -> list[tuple[str, str]]:
    """The files that differ between two sources, as (`added` | `removed` | `changed`, path).

    Raises:
        SourceError: one of the two cannot be rebuilt here.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="gittrack-") as folder:
        scratch = _Scratch(git, folder)
        old = _rebuilt_tree(git, scratch, a, overlay_a)
        new = _rebuilt_tree(git, scratch, b, overlay_b)
        changes = scratch.changes(old, new)
    return [
        ("added" if not change.old_mode else "changed" if change.mode else "removed", change.path)
        for change in changes
    ]


# -- rebuild ---------------------------------------------------------------------------------


def rebuild(git: Git, source: Source, overlay: Mapping[str, bytes], into: str) -> Rebuilt:
    """Lay out exactly what ran in a new or empty folder outside the worktree.

    Args:
        overlay: the bytes of `source.files`.
    Raises:
        SourceError: the folder is in use, the base commit is not here, or the tree that comes
            out is not the recorded one; then nothing is laid out.
    """
    import tempfile

    _check_target(git, into)
    if source.tree is None:
        raise SourceError(
            "this run has no source to lay out",
            why="it was recorded outside a repository, or source.capture was off",
        )
    with tempfile.TemporaryDirectory(prefix="gittrack-") as folder:
        scratch = _Scratch(git, folder)
        tree = _rebuilt_tree(git, scratch, source, overlay)
        expected = source.rebuilds or source.tree
        if tree != expected:
            raise SourceError(
                "the source of this run does not come out as it was recorded",
                why=f"base, overlay and changes give tree {tree}, recorded is {expected}",
                next="git fsck",
            )
        os.makedirs(into, exist_ok=True)
        env = {
            **scratch.env(scratch.new_index()),
            "GIT_DIR": git.git_dir,
            "GIT_WORK_TREE": into,
        }
        # As a normal checkout would write it: with filters, line ends, modes and symlinks.
        git.run(
            *_QUIET,
            *("-c", "core.sparseCheckout=false", "read-tree", "--reset", "-u", tree),
            env=env,
            cwd=into,
        )
        listed = git.run(*_QUIET, "ls-files", "-z", env=env, cwd=into)
    return Rebuilt(tree, listed.count(b"\0"))


def _check_target(git: Git, into: str) -> None:
    if os.path.isdir(into) and os.listdir(into):
        raise SourceError(
            f"{into} is not empty",
            why="a checkout never writes over files that are there",
            next="choose a new folder",
        )
    if os.path.exists(into) and not os.path.isdir(into):
        raise SourceError(f"{into} is a file", next="choose a new folder")
    real = os.path.realpath(into) + os.sep
    for name, place in (("worktree", git.worktree), ("git folder", git.common_dir)):
        if place is not None and real.startswith(os.path.realpath(place) + os.sep):
            raise SourceError(
                f"{into} lies in the {name} of this repository",
                why="a checkout never writes there",
                next="choose a folder outside, such as ../checkout",
            )


def _rebuilt_tree(git: Git, scratch: _Scratch, source: Source, overlay: Mapping[str, bytes]) -> str:
    base_tree = None if source.base is None else _tree_of(git, source.base)
    contents = {path: overlay[path] for path in source.files}
    links = {
        path: target.encode("utf-8", "surrogateescape") for path, target in source.symlinks.items()
    }
    oids = scratch.store({**contents, **links})
    for path in source.modes:
        if path not in oids:
            found = git.cat_file().read(f"{base_tree}:{path}") if "\n" not in path else None
            if found is None:
                raise SourceError(
                    f"the base of this run holds no file {path!r}",
                    why="source.yaml changes the mode of a file that is not there",
                )
            oids[path] = found.oid
    try:
        return scratch.build(base_tree, _entries(source, oids))
    except GitError as error:
        raise SourceError(
            "the source of this run cannot be laid out",
            why=f"git refuses its entries: {error.why}",
        ) from None
