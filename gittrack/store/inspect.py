"""Look through a store that came from elsewhere, before anything of it is joined or read.

What a fetch brings is hostile until it has been looked at. Refused is what no gittrack writes:
names that could leave a folder, symlinks and submodules, files where folders belong, files and
folders of no sane size, YAML that expands or nests without end, objects that are missing. A run
whose files merely do not follow the format is let through: it is shown as damaged and harms nobody.

Only what differs from a store that is here already is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gittrack.core import codec
from gittrack.core.join import entity_of
from gittrack.core.yamltext import MAX_DEPTH
from gittrack.errors import CorruptStoreError, MissingObjectError, UnsafeStoreError
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader, Entry, Reader, bulk_reader, get_tree, parse_tree

#: GitHub takes no larger file, so no store that travels holds one.
MOST_FILE_BYTES = 100_000_000
#: Room for half a million entries; an hour in which 100,000 runs begin takes 6 MB.
MOST_FOLDER_BYTES = 32_000_000
#: A run with more files than this is nobody's.
MOST_ENTITY_FILES = 200_000
#: No artifact's path has as many parts.
MOST_LEVELS = 2_100
#: The store's own folders; down to the entities in them there are folders only.
_TOPS = ("runs", "experiments", "models", "logged", "tombstones", "env", "source")

#: Lines in canonical form begin with a key or a quote.
_ODD_LINE = re.compile(rb'^[^A-Za-z_"\n]', re.MULTILINE)


class _Folder(NamedTuple):
    """A folder of theirs, and the one at its path here, if there is one."""

    path: str
    new: str
    old: str | None


def inspect(git: Git, theirs: str, ours: str | None) -> None:
    """See that a store commit holds nothing that could harm.

    Args:
        theirs: the commit that came.
        ours: a commit that was looked at before; what is the same there is passed over.
    Raises:
        UnsafeStoreError: it holds what no store may hold; the message names the path.
        CorruptStoreError: an object of it is missing or damaged.
    """
    reader = bulk_reader(git) if ours is None else CatFileReader(git)
    counts: dict[str, int] = {}
    known = None if ours is None else get_tree(reader, ours)
    level = [_Folder("", get_tree(reader, theirs), known)]
    for _ in range(MOST_LEVELS):
        _check_sizes(git, [(f.path, f.new, "tree") for f in level], MOST_FOLDER_BYTES)
        files: list[tuple[str, Entry]] = []
        below: list[_Folder] = []
        for folder, new, old in _read(reader, level):
            for name, entry in new.items():
                if old.get(name) == entry:
                    continue
                path = f"{folder.path}/{name}" if folder.path else name
                check_place(path, entry)
                if entry.is_tree:
                    same = old.get(name)
                    known = same.oid if same is not None and same.is_tree else None
                    below.append(_Folder(path, entry.oid, known))
                else:
                    files.append((path, entry))
                    _count(path, counts)
        _check_sizes(git, [(path, e.oid, "blob") for path, e in files], MOST_FILE_BYTES)
        _check_yaml(reader, files)
        level = below
        if not level:
            return
    raise UnsafeStoreError(
        f"a folder of the store is more than {MOST_LEVELS:,} levels deep",
        why=f"no gittrack writes one: {level[0].path[:200]}...",
    )


def check_size(git: Git, spec: str, path: str) -> None:
    """See that a file which is read before the rest is looked at is of a sane size.

    Raises:
        UnsafeStoreError: it is not.
    """
    size = git.run("cat-file", "-s", spec, check=False).decode().strip()
    if size.isdigit() and int(size) > MOST_FILE_BYTES:
        raise UnsafeStoreError(
            f"{path} has {int(size):,} bytes", why=f"the limit is {MOST_FILE_BYTES:,}"
        )


def _read(
    reader: Reader, level: Sequence[_Folder]
) -> Iterable[tuple[_Folder, dict[str, Entry], dict[str, Entry]]]:
    old_ids = [folder.old for folder in level if folder.old is not None]
    old = iter([_known(data) for data in reader.read_many(old_ids)])
    found = list(reader.read_many(folder.new for folder in level))
    for folder, data in zip(level, found, strict=True):
        assert data is not None  # its size was asked for
        try:
            yield folder, parse_tree(data), next(old) if folder.old is not None else {}
        except UnsafeStoreError as error:
            where = f"{folder.path}/" if folder.path else "the top of the store"
            raise UnsafeStoreError(f"{error.message}, in {where}", why=error.why) from None


def _known(data: bytes | None) -> dict[str, Entry]:
    """What a folder here holds; of one that is damaged nothing, so all of theirs is looked at."""
    try:
        return {} if data is None else parse_tree(data)
    except CorruptStoreError:
        return {}


def check_place(path: str, entry: Entry) -> None:
    """Folders of the store's own hold folders, down to runs and the like; the rest is free.

    Raises:
        UnsafeStoreError: an entry is a file where a folder belongs, or the other way round.
    """
    top, _, rest = path.partition("/")
    is_above = not entity_of(path) and (not rest or top in ("runs", "experiments"))
    if top in _TOPS and is_above and not entry.is_tree:
        raise UnsafeStoreError(f"the store's {path} is a file", why="there are folders only")
    if path == "store.yaml" and entry.is_tree:
        raise UnsafeStoreError("the store's store.yaml is a folder", why="it is a file")


def _count(path: str, counts: dict[str, int]) -> None:
    entity = entity_of(path)
    if not entity:
        return
    counts[entity] = counts.get(entity, 0) + 1
    if counts[entity] > MOST_ENTITY_FILES:
        raise UnsafeStoreError(
            f"{entity} holds more than {MOST_ENTITY_FILES:,} files",
            why="no gittrack writes so many",
        )


def _check_sizes(git: Git, objects: Sequence[tuple[str, str, str]], most: int) -> None:
    """Before anything is read: it is here, of its type, and of a size that can be read."""
    if not objects:
        return
    asked = "".join(f"{oid}\n" for _, oid, _ in objects).encode()
    format_ = "--batch-check=%(objecttype) %(objectsize)"
    answers = git.run("cat-file", "--buffer", format_, input=asked).decode().splitlines()
    for (path, oid, kind), answer in zip(objects, answers, strict=True):
        where = path or "the top of the store"
        found, _, size = answer.partition(" ")
        if found not in ("blob", "tree", "commit", "tag"):
            raise MissingObjectError(
                f"{where} is missing from the store", why=f"object {oid} is not in this repository"
            )
        if found != kind:
            raise UnsafeStoreError(f"{where} is a {found}", why=f"its folder says it is a {kind}")
        if int(size) > most:
            raise UnsafeStoreError(
                f"{where} has {int(size):,} bytes", why=f"the limit of a {kind} is {most:,}"
            )


def _check_yaml(reader: Reader, files: Sequence[tuple[str, Entry]]) -> None:
    wanted = [
        (path, entry.oid)
        for path, entry in files
        # What users made lies below these; nobody parses it.
        if path.endswith(".yaml") and "/artifacts/" not in path and not path.startswith("source/")
    ]
    found = reader.read_many(oid for _, oid in wanted)
    for (path, _), data in zip(wanted, found, strict=True):
        if data is not None and _may_harm(data):
            try:
                codec.decode_mapping(data, where=path)
            except UnsafeStoreError:
                raise
            except CorruptStoreError:
                continue  # damaged, and harmless


def _may_harm(data: bytes) -> bool:
    """Whether a file holds what could be an anchor, an alias, a tag or deep nesting.

    Only such files are parsed here; of 40,000 files in canonical form none is, in 0.1 s.
    """
    if b"&" in data or b"*" in data or b"!" in data:
        return True
    return data.count(b"{") + data.count(b"[") > MAX_DEPTH or _ODD_LINE.search(data) is not None
