"""Which data it was: a file, a folder, what DVC tracks, or an address."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from hashlib import md5, sha256

from gittrack.capture import redact, tracked
from gittrack.core.listing import Listed, encode_listing
from gittrack.core.model import Dataset
from gittrack.errors import InvalidValueError

_CHUNK = 1 << 20
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")
_FILE_URI = re.compile(r"file://(?:localhost)?(?=/)", re.IGNORECASE)


def is_uri(text: str) -> bool:
    """Whether it is the address of data elsewhere, and no path of this machine."""
    return _URI.match(text) is not None and not _FILE_URI.match(text)


def check_input(place: str) -> None:
    """See that there is such data: an address, a path, or one that DVC tracks.

    Raises:
        InvalidValueError: there is none.
    """
    path = _local(place)
    if is_uri(place) or os.path.exists(path) or tracked.find_tracked(path) is not None:
        return
    is_link = os.path.islink(path)
    raise InvalidValueError(
        f"there is no input {redact.redact_url(place.partition(chr(10))[0][:200])[0]}",
        why="it is a broken link" if is_link else f"the current folder is {os.getcwd()}",
        next="check the path; DVC's data counts as soon as its .dvc file is there",
    )


def describe(place: str, allow: Sequence[str] = ()) -> Dataset:
    """Digest and size of data, which is called as its path is.

    The digest is that of DVC's cache: the md5 of a file, and of a folder that of its listing with
    `.dir` behind it. Where DVC tracks the path it is read from DVC's file, and the data is not
    opened; unless its size tells that it was changed since. Of an address only its text is hashed,
    without the secrets in it.

    Args:
        place: a path or a URI.
        allow: see `capture.redact`.
    Raises:
        OSError: it cannot be read.
        InvalidValueError: it is neither a file nor a folder.
    """
    if is_uri(place):
        uri = redact.redact_url(place, allow)[0]
        digest = sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        return Dataset(uri, f"uri:{digest}", source=uri, kind="uri")
    path = _local(place)
    name = os.path.normpath(path).replace(os.sep, "/")
    known = tracked.find_tracked(path)
    if known is not None and tracked.is_as_tracked(path, known):
        return Dataset(
            name, known.digest, source=name, kind="folder" if known.is_folder else "file",
            size_bytes=known.size_bytes, files=known.files, dvc=known.file,
        )  # fmt: skip
    if os.path.isdir(path):
        return _describe_folder(path, name, ignoring=known is not None)
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise InvalidValueError(
            f"{place} is neither a file nor a folder",
            why="a pipe or a device has no content of its own",
            next="write the data to a file first",
        )
    digest, size = _digest(path)
    return Dataset(name, f"md5:{digest}", source=name, kind="file", size_bytes=size)


def _local(place: str) -> str:
    match = _FILE_URI.match(place)
    if match is None:
        return place
    from urllib.parse import unquote

    return unquote(place[match.end() :])


def _describe_folder(path: str, name: str, *, ignoring: bool) -> Dataset:
    listing = []
    total = 0
    for folder, files in tracked.walk_data(path, ignoring=ignoring):
        for file in files:
            full = os.path.join(folder, file)
            if not stat.S_ISREG(os.stat(full).st_mode):
                continue  # a pipe would be waited for
            digest, size = _digest(full)
            total += size
            listing.append(Listed(os.path.relpath(full, path).replace(os.sep, "/"), digest))
    digest = md5(encode_listing(listing), usedforsecurity=False).hexdigest()
    return Dataset(
        name, f"md5:{digest}.dir", source=name, kind="folder", size_bytes=total, files=len(listing)
    )


def _digest(path: str) -> tuple[str, int]:
    found = md5(usedforsecurity=False)
    size = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return found.hexdigest(), size
