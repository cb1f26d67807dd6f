"""What a folder holds: the listing that DVC calls a `.dir` object. Pure.

A listing may come from a remote that anybody may have written to, so it is hostile input.

Source: DVC's `dvc_data.hashfile.tree`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from typing import NamedTuple

from gittrack.errors import CorruptStoreError, UnsafeStoreError

#: 40 MB hold a folder of 400,000 files with names of usual length.
MAX_BYTES = 256 * 2**20
_MAX_PATH_BYTES = 4096
_MAX_NAME_BYTES = 255

_OBJECT = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_FILE = re.compile(r"[0-9a-f]{32}")


class Listed(NamedTuple):
    """A file of a folder: its path there, with `/`, and the md5 of its bytes."""

    path: str
    md5: str


def is_md5(text: object) -> bool:
    """Whether it names an object: an MD5 in small hex digits, `.dir` behind it for a listing.

    Only such a text may become a path.
    """
    return isinstance(text, str) and _OBJECT.fullmatch(text) is not None


def is_listing(md5: str) -> bool:
    """Whether the object of that name is the listing of a folder."""
    return md5.endswith(".dir")


def encode_listing(files: Iterable[Listed]) -> bytes:
    """The object of a folder, byte by byte what DVC writes."""
    ordered = sorted(files, key=lambda file: file.path)
    return json.dumps([{"md5": f.md5, "relpath": f.path} for f in ordered]).encode()


def decode_listing(data: bytes, md5: str) -> list[Listed]:
    """The files of a folder, in the order of its listing.

    The format is DVC's: a JSON list of `{"md5": ..., "relpath": ...}`; other keys are left alone.

    Raises:
        CorruptStoreError: it is no listing.
        UnsafeStoreError: a path in it leads out of the folder, or cannot be that of a file.
    """
    if len(data) > MAX_BYTES:
        raise _corrupt(md5, f"it has more than {MAX_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _corrupt(md5, f"it is not JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(found, list):
        raise _corrupt(md5, "it is not a list")
    entries = [_entry(item, md5) for item in found]
    _check_paths(entries, md5)
    return entries


def _entry(item: object, md5: str) -> Listed:
    match item:
        case {"md5": str(file), "relpath": str(path)} if _FILE.fullmatch(file):
            return Listed(path, file)
    raise _corrupt(md5, "an entry is not a path with the MD5 of its file")


def _check_paths(entries: list[Listed], md5: str) -> None:
    files: set[str] = set()
    folders: set[str] = set()
    for path, _ in entries:
        _check_path(path, md5)
        if path in files:
            raise _unsafe(md5, path, "it is listed twice")
        files.add(path)
        # Upwards, until a folder that is known, whose own folders are known then.
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    both = files & folders
    if both:
        raise _unsafe(md5, min(both), "it is both a file and a folder")


def _check_path(path: str, md5: str) -> None:
    names = path.split("/")
    if any(name in ("", ".", "..") for name in names) or "\0" in path:
        raise _unsafe(md5, path, "it is not a path below the folder")
    try:
        # Names that are not UTF-8 come as lone surrogates, as DVC writes them.
        is_long = len(os.fsencode(path)) > _MAX_PATH_BYTES or any(
            len(os.fsencode(name)) > _MAX_NAME_BYTES for name in names
        )
    except UnicodeEncodeError:
        raise _unsafe(md5, path, "it is no text") from None
    if is_long:
        raise _unsafe(md5, path, "it is too long")


def _corrupt(md5: str, why: str) -> CorruptStoreError:
    return CorruptStoreError(f"object {md5} is not the listing of a folder", why=why)


def _unsafe(md5: str, path: str, why: str) -> UnsafeStoreError:
    return UnsafeStoreError(
        f"the listing {md5} holds a path that is refused", why=f"{why}: {path[:80]!r}"
    )
