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

    What is lost here of a run that both have stops nobody: a file that cannot be read gives way to
    the other side's, and so does a folder.

    Args:
        ours, theirs: ids of the trees of two store commits.
    Raises:
        CorruptStoreError: a tree above runs is damaged or missing.
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
        left, right = _listed(reader, path, x), _listed(reader, path, y)
        if left is not None and right is not None:
            changes.update(_join(reader, path, left, right))
        elif right is not None:
            changes[path] = Put(entry=y)
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
        sides = [_contents(reader, joined), _contents(reader, list_files(reader, path, folder))]
        for _, lost in sides:
            if lost:
                raise MissingObjectError(
                    f"{lost[0]} of {path} cannot be read",
                    why="it is missing from this repository, or damaged",
                    next=FSCK,
                )
        both = join_entity(sides[0][0], sides[1][0])
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
    mine, lost = _contents(reader, left)
    theirs, theirs_lost = _contents(reader, right)
    _give_way(mine, lost, theirs)
    _give_way(theirs, theirs_lost, mine)
    joined = join_entity(mine, theirs)
    prefix = f"{folder}/" if folder else ""
    changes: dict[str, Put] = {}
    for name, data in joined.items():
        known, taken = left.get(name), _taken(data)
        if isinstance(taken, Entry):
            if known is None or known.oid != taken.oid:
                changes[prefix + name] = Put(entry=taken)
        elif known is None or known.oid != codec.blob_id(data, codec.object_format(known.oid)):
            changes[prefix + name] = Put(data=data)
    for name in left.keys() - joined.keys():
        changes[prefix + name] = Put()
    return changes


def _give_way(mine: dict[str, bytes], lost: Sequence[str], theirs: Mapping[str, bytes]) -> None:
    """Put the other side's files in the place of those that cannot be read."""
    for name in lost:
        if name in theirs:
            mine[name] = theirs[name]
            if name == layout.ARTIFACTS_FILE:
                # Nothing says any more which entries these belonged to.
                for other in [n for n in mine if n.startswith(f"{layout.ARTIFACTS_DIR}/")]:
                    del mine[other]


def _listed(reader: Reader, path: str, folder: Entry) -> dict[str, Entry] | None:
    """The files of a run, or None if they cannot be listed."""
    try:
        return list_files(reader, path, folder)
    except CorruptStoreError:
        return None


def _contents(reader: Reader, files: Mapping[str, File]) -> tuple[dict[str, bytes], list[str]]:
    """The content of files by name, and the names of those that cannot be read.

    A stand-in takes the place of these, and of those that are named by their content.
    """
    contents: dict[str, bytes] = {}
    lost: list[str] = []
    wanted: list[tuple[str, Entry]] = []
    for name, file in files.items():
        if isinstance(file, bytes):
            contents[name] = file
        elif file_class(name) in _UNREAD_KINDS:
            contents[name] = _stand_in(file)
        else:
            wanted.append((name, file))
    found = reader.read_many(entry.oid for _, entry in wanted)
    for (name, entry), data in zip(wanted, found, strict=True):
        if data is None:
            lost.append(name)
        contents[name] = _stand_in(entry) if data is None else data
    return contents, lost


def _stand_in(entry: Entry) -> bytes:
    return _UNREAD + f"{entry.mode} {entry.oid}".encode()


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
