"""An object store and staging areas of our own, on top of a repository's objects.

Nothing of the user's repository is written: what git has to hash goes here, through a copy of
the staging area. The copy keeps its mtime: git trusts an entry whose file is older than the
index, so a fresh mtime would hide an edit of the same size made within the second of the last
`git add`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.model import Source
from gittrack.errors import SourceError
from gittrack.store.git import Git

FILE, EXECUTABLE, SYMLINK, GITLINK = "100644", "100755", "120000", "160000"
#: Helpers that would look at, or write beside, the user's own staging area.
QUIET = (
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", "core.hooksPath=/dev/null"),
)


class TreeChange(NamedTuple):
    """A path that differs between base and tree; an empty mode where it is not there."""

    path: str
    old_mode: str
    mode: str
    old_oid: str
    oid: str


def entries_of(source: Source, oids: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """The changes as (mode, object id, path) of staging area entries; an empty mode removes."""
    # Removed first: a file may make room for a folder of its name.
    for path in source.deleted:
        yield "", "", path
    for path in source.files:
        yield source.modes.get(path, FILE), oids[path], path
    for path, mode in source.modes.items():
        if path not in source.files:
            yield mode, oids[path], path
    for path in source.symlinks:
        yield SYMLINK, oids[path], path
    for path, oid in source.gitlinks.items():
        yield GITLINK, oid, path


def list_untracked(git: Git, globs: Sequence[str]) -> list[str]:
    if not globs:
        return []
    specs = [f":(top,glob){pattern}" for pattern in globs]
    out = git.run("ls-files", "--others", "--exclude-standard", "-z", "--", *specs)
    return [name for name in out.decode("utf-8", "surrogateescape").split("\0") if name]


def tree_of(git: Git, commit: str) -> str:
    found = git.cat_file().read(f"{commit}^{{tree}}")
    if found is None:
        raise SourceError(
            f"commit {commit} is not in this repository",
            why="it was never fetched here, or git has collected it",
            next=f"git fetch origin {commit}",
        )
    return found.oid


class Scratch:
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
        self._git.run(*QUIET, "add", "--update", "--", ":/", env=env)
        if extra:
            names = "".join(f"{name}\0" for name in extra).encode("utf-8", "surrogateescape")
            self._git.run(*QUIET, "update-index", "--add", "-z", "--stdin", input=names, env=env)
        return self._git.run(*QUIET, "write-tree", env=env).decode().strip()

    def base_tree(self, base: str | None) -> str | None:
        """The tree of the base commit; None if there is no commit yet."""
        return None if base is None else tree_of(self._git, base)

    def changes(self, old: str | None, new: str) -> list[TreeChange]:
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
                TreeChange(
                    path,
                    "" if old_mode == "000000" else old_mode,
                    "" if mode == "000000" else mode,
                    old_oid,
                    oid,
                )
            )
        return changes

    def sizes(self, changes: Iterable[TreeChange]) -> dict[str, int]:
        """The bytes of each file that an overlay would hold."""
        wanted = [c for c in changes if c.mode in (FILE, EXECUTABLE) and c.oid != c.old_oid]
        if not wanted:
            return {}
        asked = "".join(f"{change.oid}\n" for change in wanted).encode()
        out = self._git.run("cat-file", "--batch-check", input=asked, env=self.env())
        lines = out.decode().splitlines()
        return {c.path: int(line.split(" ")[2]) for c, line in zip(wanted, lines, strict=True)}

    def read(self, changes: Sequence[TreeChange]) -> dict[str, bytes]:
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
            self._git.run(*QUIET, "read-tree", base_tree, env=env)
        zeros = "0" * len(base_tree or "0" * 40)
        lines = [f"{mode or '0'} {oid or zeros}\t{path}\0" for mode, oid, path in entries]
        data = "".join(lines).encode("utf-8", "surrogateescape")
        self._git.run(*QUIET, "update-index", "-z", "--index-info", input=data, env=env)
        return self._git.run(*QUIET, "write-tree", env=env).decode().strip()
