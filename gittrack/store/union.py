"""Join two commits of the store, looking only at what differs between their trees.

What `core.join` says of files, done with tree entries: a run that only one side has is taken whole,
by the id of its tree, and files that are named by their content are never read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from gittrack.core import codec
from gittrack.core.join import FileClass, entity_of, file_class, is_tombstone, join_entity, owner_of
from gittrack.errors import CorruptStoreError, MissingObjectError
from gittrack.store import layout
from gittrack.store.inspect import MOST_ENTITY_FILES
from gittrack.store.objects import FSCK, Entry, Put, Reader, iter_tree_changes, parse_tree

#: Stands for the content of a file that is not read: this, and the entry. No file can begin so,
#: whoever made it: what it names would be taken into the store unseen.
_UNREAD = b"\0%b " % os.urandom(16).hex().encode()
_UNREAD_KINDS = (FileClass.UNION, FileClass.FOLLOWS)


def join_trees(reader: Reader, ours: str, theirs: str) -> dict[str, Put]:
    """What has to change in our tree to make it the join of both; empty if it is that already.

    Args:
        ours, theirs: ids of the trees of two store commits.
    Raises:
        CorruptStoreError: a tree is damaged or missing, or a file that must be read is.
    """
    ours_purged, theirs_purged = _purged(reader, ours), _purged(reader, theirs)
    purged = ours_purged | theirs_purged
    changes: dict[str, Put] = {}
    both: list[tuple[str, Entry, Entry]] = []
    loose: dict[str, tuple[Entry | None, Entry | None]] = {}
    for path, x, y in iter_tree_changes(reader, ours, theirs, _is_entity):
        is_entity = _is_entity(path)
        if owner_of(f"{path}/x" if is_entity else path) in purged:
            if x is not None:
                changes[path] = Put()
        elif not is_entity:
            loose[path] = x, y
        elif x is None:
            changes[path] = Put(entry=y)
        elif y is not None:
            both.append((path, x, y))
    # A tombstone that only they have takes a run that is the same on both sides, too.
    for path in _standing(reader, ours, theirs_purged - ours_purged):
        changes[path] = Put()
    for path, x, y in both:
        left, right = list_files(reader, path, x), list_files(reader, path, y)
        changes.update(_join(reader, path, left, right))
    changes.update(_join(reader, "", *_sides(loose)))
    return changes


#: A file as a tree has it, or the bytes that a join made of several.
File = Entry | bytes


def join_folders(reader: Reader, path: str, folders: Sequence[Entry]) -> dict[str, File]:
    """The files of one entity, by names relative to its folder, as the join of several trees.

    Raises:
        CorruptStoreError: a tree is damaged or missing, or a file that must be read is.
    """
    joined: dict[str, File] = dict(list_files(reader, path, folders[0]))
    # What the join has read comes as bytes, so that nobody reads it twice.
    for folder in folders[1:]:
        more = list_files(reader, path, folder)
        both = join_entity(_contents(reader, joined), _contents(reader, more))
        joined = {name: _taken(data) for name, data in both.items()}
    return joined


def _taken(data: bytes) -> File:
    """What stands for a file after a join: the entry of one that was not read, or its bytes."""
    if not data.startswith(_UNREAD):
        return data
    mode, oid = data[len(_UNREAD) :].decode().split(" ")
    return Entry(mode, oid)


def _is_entity(path: str) -> bool:
    """Whether a folder is one entity: joined as a whole, or taken as a whole."""
    return path != "" and entity_of(f"{path}/x") == path


def _sides(
    loose: Mapping[str, tuple[Entry | None, Entry | None]],
) -> tuple[dict[str, Entry], dict[str, Entry]]:
    left = {path: x for path, (x, _) in loose.items() if x is not None}
    right = {path: y for path, (_, y) in loose.items() if y is not None}
    return left, right


def _join(
    reader: Reader,
    folder: str,
    left: Mapping[str, Entry],
    right: Mapping[str, Entry],
) -> dict[str, Put]:
    """The files of one folder that change, joined by their classes."""
    joined = join_entity(_contents(reader, left), _contents(reader, right))
    prefix = f"{folder}/" if folder else ""
    changes: dict[str, Put] = {}
    for name, data in joined.items():
        mine, taken = left.get(name), _taken(data)
        if isinstance(taken, Entry):
            if mine is None or mine.oid != taken.oid:
                changes[prefix + name] = Put(entry=taken)
        elif mine is None or mine.oid != codec.blob_id(data, codec.object_format(mine.oid)):
            changes[prefix + name] = Put(data=data)
    for name in left.keys() - joined.keys():
        changes[prefix + name] = Put()
    return changes


def _contents(reader: Reader, files: Mapping[str, File]) -> dict[str, bytes]:
    """The content of files by name; of those that are named by their content, a stand-in."""
    contents: dict[str, bytes] = {}
    wanted: list[tuple[str, Entry]] = []
    for name, file in files.items():
        if isinstance(file, bytes):
            contents[name] = file
        elif file_class(name) in _UNREAD_KINDS:
            contents[name] = _UNREAD + f"{file.mode} {file.oid}".encode()
        else:
            wanted.append((name, file))
    found = reader.read_many(entry.oid for _, entry in wanted)
    for (name, entry), data in zip(wanted, found, strict=True):
        if data is None:
            raise MissingObjectError(
                f"the store's file {name} is missing",
                why=f"object {entry.oid} is not in this repository",
                next=FSCK,
            )
        contents[name] = data
    return contents


def list_files(reader: Reader, folder: str, top: Entry) -> dict[str, Entry]:
    """All files below a folder, by names relative to it."""
    if not top.is_tree:
        raise CorruptStoreError(f"the store's {folder} is no folder", next=FSCK)
    files: dict[str, Entry] = {}
    level = [("", top.oid)]
    while level:
        below: list[tuple[str, str]] = []
        for (path, _), data in zip(level, reader.read_many(oid for _, oid in level), strict=True):
            if data is None:
                raise MissingObjectError(
                    f"the store's folder {folder}/{path} is missing",
                    why="its tree object is not in this repository",
                    next=FSCK,
                )
            for name, entry in parse_tree(data).items():
                full = f"{path}/{name}" if path else name
                if entry.is_tree:
                    below.append((full, entry.oid))
                else:
                    files[full] = entry
        if len(files) + len(below) > MOST_ENTITY_FILES:
            raise CorruptStoreError(
                f"the store's {folder} holds more than {MOST_ENTITY_FILES:,} files", next=FSCK
            )
        level = below
    return files


# -- tombstones --------------------------------------------------------------------------


def _purged(reader: Reader, tree: str) -> set[tuple[str, str]]:
    """The entities that a store's tombstones name, as (top folder, id)."""
    top = _tree(reader, tree).get("tombstones")
    if top is None:
        return set()
    found = set()
    for name in list_files(reader, "tombstones", top):
        entity = is_tombstone(f"tombstones/{name}")
        if entity is not None:
            found.add(entity)
    return found


def _standing(reader: Reader, tree: str, purged: set[tuple[str, str]]) -> list[str]:
    """The folders of a store that belong to purged entities."""
    found = []
    for top, entity_id in purged:
        folder = layout.folder_of(top, entity_id)
        at: str | None = tree
        for part in folder.split("/"):
            entry = _tree(reader, at).get(part) if at is not None else None
            at = entry.oid if entry is not None and entry.is_tree else None
        if at is not None:
            found.append(folder)
    return found


def _tree(reader: Reader, oid: str) -> dict[str, Entry]:
    for data in reader.read_many((oid,)):
        if data is not None:
            return parse_tree(data)
    raise MissingObjectError(f"tree {oid} of the store is missing", next=FSCK)
