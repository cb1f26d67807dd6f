"""Which data it was: a digest of a file or a folder, as DVC would name it."""

from __future__ import annotations

import os
from hashlib import md5
from typing import Any

from gittrack.core.listing import Listed, encode_listing

_CHUNK = 1 << 20


def describe(path: str) -> dict[str, Any]:
    """Digest, size in bytes and, of a folder, the number of files.

    The digest is that of DVC's cache: the md5 of a file, and of a folder that of its listing with
    `.dir` behind it. So a dataset that DVC tracks has the same name here.

    Raises:
        OSError: it cannot be read.
    """
    if os.path.isdir(path):
        listing = []
        total = 0
        for folder, folders, files in os.walk(path):
            folders.sort()
            for name in files:
                full = os.path.join(folder, name)
                digest, size = _digest(full)
                total += size
                name = os.path.relpath(full, path).replace(os.sep, "/")
                listing.append(Listed(name, digest))
        digest = md5(encode_listing(listing), usedforsecurity=False).hexdigest()
        return {"digest": f"md5:{digest}.dir", "files": len(listing), "size": total}
    digest, size = _digest(path)
    return {"digest": f"md5:{digest}", "size": size}


def _digest(path: str) -> tuple[str, int]:
    found = md5(usedforsecurity=False)
    size = 0
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
            size += len(chunk)
    return found.hexdigest(), size
