"""What a folder holds: the listing that DVC calls a `.dir` object. Pure.

A listing comes from a remote that anybody may have written to, so it is hostile input.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from gittrack.errors import CorruptStoreError, UnsafeStoreError

#: 40 MB hold a folder of 400,000 files with names of usual length.
MAX_BYTES = 256 * 2**20
_MAX_PATH_BYTES = 4096
_MAX_NAME_BYTES = 255

_OBJECT = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_FILE = re.compile(r"[0-9a-f]{32}")
#: The folders above all objects, in our store and below the prefix of a remote.
OBJECTS = ("files", "md5")
DIR_SUFFIX = ".dir"


class Entry(NamedTuple):
    """A file of a folder: the name of its object, and its path in the folder with `/`."""

    oid: str
    path: str


def is_oid(text: str) -> bool:
    """Whether a text names an object: an MD5 in small hex digits, `.dir` behind it for a folder.

    Only such a text may become a path.
    """
    return _OBJECT.fullmatch(text) is not None


def oid_at(path: str) -> str | None:
    """The name of the object that lies at a path, of whatever system; None if none does."""
    *above, first, rest = ("", "", "", *re.split(r"[/\\]", path))[-4:]
    oid = first + rest
    is_place = tuple(above) == OBJECTS and len(first) == 2 and is_oid(oid)
    return oid if is_place else None


def is_folder(oid: str) -> bool:
    """Whether an object is the listing of a folder."""
    return oid.endswith(DIR_SUFFIX)


def decode_listing(data: bytes, oid: str) -> list[Entry]:
    """The files of a folder, in the order of its listing.

    The format is DVC's: a JSON list of `{"md5": ..., "relpath": ...}`; other keys are left alone.

    Raises:
        CorruptStoreError: it is no listing.
        UnsafeStoreError: a path in it leads out of the folder, or cannot be that of a file.
    """
    if len(data) > MAX_BYTES:
        raise _corrupt(oid, f"it has more than {MAX_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _corrupt(oid, f"it is not JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(found, list):
        raise _corrupt(oid, "it is not a list")
    entries = [_entry(item, oid) for item in found]
    _check_paths(entries, oid)
    return entries


def _entry(item: object, oid: str) -> Entry:
    match item:
        case {"md5": str(md5), "relpath": str(path)} if _FILE.fullmatch(md5):
            return Entry(md5, path)
    raise _corrupt(oid, "an entry is not a path with the MD5 of its file")


def _check_paths(entries: list[Entry], oid: str) -> None:
    files: set[str] = set()
    folders: set[str] = set()
    for _, path in entries:
        _check_path(path, oid)
        if path in files:
            raise _unsafe(oid, path, "it is listed twice")
        files.add(path)
        # Upwards, until a folder that is known, whose own folders are known then.
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    both = files & folders
    if both:
        raise _unsafe(oid, min(both), "it is both a file and a folder")


def _check_path(path: str, oid: str) -> None:
    names = path.split("/")
    if any(name in ("", ".", "..") for name in names) or "\0" in path:
        raise _unsafe(oid, path, "it is not a path below the folder")
    try:
        # Names that are not UTF-8 come as lone surrogates, as DVC writes them.
        is_long = len(os.fsencode(path)) > _MAX_PATH_BYTES or any(
            len(os.fsencode(name)) > _MAX_NAME_BYTES for name in names
        )
    except UnicodeEncodeError:
        raise _unsafe(oid, path, "it is no text") from None
    if is_long:
        raise _unsafe(oid, path, "it is too long")


def _corrupt(oid: str, why: str) -> CorruptStoreError:
    return CorruptStoreError(f"object {oid} is not the listing of a folder", why=why)


def _unsafe(oid: str, path: str, why: str) -> UnsafeStoreError:
    return UnsafeStoreError(
        f"the listing {oid} holds a path that is refused", why=f"{why}: {path[:80]!r}"
    )


def files_of(listings: Mapping[str, list[Entry]]) -> set[str]:
    """The objects of all files in those folders."""
    return {entry.oid for entries in listings.values() for entry in entries}
