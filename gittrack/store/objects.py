"""Read the objects of a store: blobs, trees, and what differs between two trees.

Two readers satisfy `Reader`. `CatFileReader` speaks to the git program: no import, any
repository format, 30-50 microseconds an object. `PygitReader` reads packs in process: 2-3
microseconds an object, but `import pygit2` costs 100 ms and libgit2 refuses SHA-256 and
reftable repositories. `bulk_reader` chooses. What is damaged on disk is to both as if it were not
here; `gittrack fsck` tells the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol

from gittrack.core.names import is_safe_entry
from gittrack.errors import CorruptStoreError, MissingObjectError, UnsafeStoreError
from gittrack.store.git import Git, Object

_TREE_MODE = "40000"
#: What a store may hold; symlinks and gitlinks in one are nobody's doing but an attacker's.
_MODES = (_TREE_MODE, "100644", "100755")
#: What to type when the store holds what it should not.
FSCK = "gittrack fsck"


class Entry(NamedTuple):
    """One entry of a tree."""

    mode: str
    oid: str

    @property
    def is_tree(self) -> bool:
        """Whether it names a folder."""
        return self.mode == _TREE_MODE


class Put(NamedTuple):
    """What a path becomes: an object that is there, new bytes, or (both None) nothing."""

    entry: Entry | None = None
    data: bytes | None = None


class Change(NamedTuple):
    """A path whose entry differs between two trees; None where there is none."""

    path: str
    old: Entry | None
    new: Entry | None


class Reader(Protocol):
    """Objects by id."""

    def read_many(self, oids: Iterable[str]) -> Iterator[bytes | None]:
        """The bytes of each object in order, None for one that is not here."""
        ...

    def read_objects(self, oids: Iterable[str]) -> Iterator[Object | None]:
        """The same with their types."""
        ...


class CatFileReader:
    """Objects through the git program."""

    def __init__(self, git: Git) -> None:
        self._git = git

    def read_many(self, oids: Iterable[str]) -> Iterator[bytes | None]:
        """See Reader."""
        for found in self.read_objects(oids):
            yield None if found is None else found.data

    def read_objects(self, oids: Iterable[str]) -> Iterator[Object | None]:
        """See Reader."""
        return self._git.cat_file().read_many(oids)


class PygitReader:
    """Objects through libgit2, in this process; those that lie in no pack of ours through git.

    libgit2 1.9 reads a loose object that was cut short without ever coming to its end, and a power
    failure leaves such.
    """

    def __init__(self, git: Git) -> None:
        """Open the packs.

        Raises:
            pygit2.GitError, OSError, ValueError: libgit2 does not accept this repository.
        """
        import pygit2

        pygit2.Repository(git.git_dir)
        self._odb = pygit2.Odb()
        packs = pygit2.OdbBackendPack(os.path.join(git.common_dir, "objects"))
        self._odb.add_backend(packs, 1)
        self._types = {
            pygit2.enums.ObjectType.COMMIT: "commit",
            pygit2.enums.ObjectType.TREE: "tree",
            pygit2.enums.ObjectType.BLOB: "blob",
            pygit2.enums.ObjectType.TAG: "tag",
        }
        self._not_here = pygit2.GitError
        self._others = CatFileReader(git)

    def read_many(self, oids: Iterable[str]) -> Iterator[bytes | None]:
        """See Reader."""
        read = self._odb.read
        for oid in oids:
            try:
                yield read(oid)[1]
            except self._not_here:
                yield from self._others.read_many((oid,))

    def read_objects(self, oids: Iterable[str]) -> Iterator[Object | None]:
        """See Reader."""
        read = self._odb.read
        for oid in oids:
            try:
                kind, data = read(oid)
                yield Object(oid, self._types[kind], data)
            except self._not_here:
                yield from self._others.read_objects((oid,))


def bulk_reader(git: Git) -> Reader:
    """The fastest reader for thousands of objects: libgit2 if it accepts the repository."""
    try:
        import pygit2
    except ImportError:
        return CatFileReader(git)
    try:
        return PygitReader(git)
    except (pygit2.GitError, OSError, ValueError):
        # SHA-256, reftable, an owner that libgit2 does not trust: git itself can still read.
        return CatFileReader(git)


def tree_of(reader: Reader, commit: str) -> str | None:
    """The tree of a commit, or None if the commit is not here, or is none."""
    for data in reader.read_many((commit,)):
        if data is not None and data.startswith(b"tree "):
            return data[5 : data.index(b"\n")].decode()
    return None


def get_tree(reader: Reader, commit: str) -> str:
    """The tree of a commit of the store.

    Raises:
        MissingObjectError: it is not here, or no commit.
    """
    tree = tree_of(reader, commit)
    if tree is None:
        raise MissingObjectError(
            f"commit {commit} of the store is missing",
            why="a ref names it, and this repository does not hold it as a commit",
            next=FSCK,
        )
    return tree


def parse_tree(data: bytes) -> dict[str, Entry]:
    """The entries of a raw tree object, in its own order.

    Raises:
        UnsafeStoreError: it holds an entry that no store writes, or one name twice.
        CorruptStoreError: it is cut short.
    Source: `mode SP name NUL id` repeated, gitformat-pack(5); the length of the ids is what
        makes the entries fill the object, 20 bytes or 32.
    """
    for id_bytes in (20, 32):
        raw = _split_tree(data, id_bytes)
        if raw is not None:
            entries = {
                name: Entry(mode, oid)
                for mode, name, oid in raw
                if mode in _MODES and is_safe_entry(name)
            }
            if len(entries) == len(raw):
                return entries
            raise _unsafe_tree(raw)
    raise CorruptStoreError(
        "a tree of the store is damaged", why="its entries do not follow git's format", next=FSCK
    )


def _split_tree(data: bytes, id_bytes: int) -> list[tuple[str, str, str]] | None:
    """Mode, name and id of each entry; None if they do not fill the object."""
    entries = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at)
        nul = data.find(b"\0", space)
        after = nul + 1 + id_bytes
        # A mode is octal digits: what is misread as one is bytes of an id.
        if space < 0 or nul < 0 or after > len(data) or not data[at:space].isdigit():
            return None
        mode = data[at:space].decode("ascii")
        name = data[space + 1 : nul].decode("utf-8", "surrogateescape")
        entries.append((mode, name, data[nul + 1 : after].hex()))
        at = after
    return entries


def _unsafe_tree(entries: list[tuple[str, str, str]]) -> UnsafeStoreError:
    seen = set()
    for mode, name, _ in entries:
        if mode not in _MODES:
            kind = {"120000": "a symlink", "160000": "a submodule"}.get(mode, f"of mode {mode}")
            why = f"it is {kind}, which has no place in a store"
        elif not is_safe_entry(name):
            why = "such a name could lead out of its folder, or cannot be held by every system"
        elif name in seen:
            why = "it is there twice"
        else:
            seen.add(name)
            continue
        break
    return UnsafeStoreError(f"a folder of the store holds {name!r:.300}", why=why, next=FSCK)


def iter_tree_changes(
    reader: Reader,
    old: str | None,
    new: str | None,
    is_leaf: Callable[[str], bool],
    lost: list[str] | None = None,
) -> Iterator[Change]:
    """What differs between two trees, without looking into subtrees that are equal.

    Args:
        old: id of a tree, or None for the empty one.
        new: likewise.
        is_leaf: whether the folder of that path is reported whole instead of entered.
        lost: gets the paths of folders that cannot be read; nothing is said of what is in them.
    Raises:
        CorruptStoreError: a tree is damaged or not here, and it is the top or `lost` is None.
    """
    level: list[tuple[str, str | None, str | None]] = [("", old, new)]
    while level:
        wanted = [oid for _, a, b in level for oid in (a, b) if oid is not None]
        found = iter(list(reader.read_many(wanted)))
        below: list[tuple[str, str | None, str | None]] = []
        for path, a, b in level:
            sides = [next(found) if oid is not None else b"" for oid in (a, b)]
            try:
                left, right = (_entries(data, path) for data in sides)
            except CorruptStoreError:
                if lost is None or not path:
                    raise
                lost.append(path)
                continue
            for name in left.keys() | right.keys():
                x, y = left.get(name), right.get(name)
                if x == y:
                    continue
                full = f"{path}/{name}" if path else name
                enter_x = x.oid if x is not None and x.is_tree and not is_leaf(full) else None
                enter_y = y.oid if y is not None and y.is_tree and not is_leaf(full) else None
                if enter_x is not None or enter_y is not None:
                    below.append((full, enter_x, enter_y))
                rest_x = x if enter_x is None else None
                rest_y = y if enter_y is None else None
                if rest_x is not None or rest_y is not None:
                    yield Change(full, rest_x, rest_y)
        level = below


def _entries(data: bytes | None, path: str) -> dict[str, Entry]:
    if data is None:
        raise MissingObjectError(
            f"the store's folder {path or '/'} is missing",
            why="its tree object is not in this repository",
            next=FSCK,
        )
    return parse_tree(data)
