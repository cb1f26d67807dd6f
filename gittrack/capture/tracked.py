"""What DVC knows of a path, from its `.dvc` file or `dvc.lock`; the data itself is not opened.

Source: DVC 3.67, `dvc.schema` and `dvc.output`. Files without `hash: md5` are of DVC 2, which
took the line ends out of text before it hashed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from gittrack.core import codec
from gittrack.core.listing import is_listing, is_md5
from gittrack.errors import GittrackError

#: A longer file is none that DVC wrote for one dataset; `dvc.lock` of a large pipeline has 1 MB.
_MAX_BYTES = 8_000_000
#: More `.dvc` files in a folder are not looked through; the one of the path's own name always is.
_MOST_FILES = 1_000


class Tracked(NamedTuple):
    """What DVC's file says of a path: digest, size and number of files."""

    digest: str
    file: str
    is_folder: bool
    size_bytes: int | None = None
    files: int | None = None


def find_tracked(path: str) -> Tracked | None:
    """What DVC's files beside or above a path say of it; None if it tracks no such path."""
    folder, name = os.path.split(os.path.abspath(path))
    if not name:
        return None
    target = os.path.join(folder, name)
    for file in _candidates(folder, name):
        for out in _outs(file, name):
            base = os.path.join(os.path.dirname(file), str(out.get("wdir", ".")))
            if os.path.normpath(os.path.join(base, str(out.get("path", "")))) == target:
                found = _tracked(out, file)
                if found is not None:
                    return found
    return None


def is_as_tracked(path: str, known: Tracked) -> bool:
    """Whether the data is of the size that DVC knows, or is not here at all."""
    try:
        if not os.path.isdir(path):
            return known.size_bytes in (None, os.stat(path).st_size) and not known.is_folder
    except FileNotFoundError:
        return True
    if not known.is_folder:
        return False
    files = size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            files += 1
            size += os.stat(os.path.join(folder, name)).st_size
    return known.size_bytes in (None, size) and known.files in (None, files)


def _candidates(folder: str, name: str) -> Iterator[str]:
    """The files of DVC's that may tell of a path, the likeliest first."""
    own = os.path.join(folder, f"{name}.dvc")
    if os.path.isfile(own):
        yield own
    try:
        with os.scandir(folder) as entries:
            others = [entry.path for entry in entries if entry.name.endswith(".dvc")]
    except OSError:
        others = []
    if len(others) <= _MOST_FILES:
        yield from sorted(file for file in others if file != own and os.path.isfile(file))
    while True:
        lock = os.path.join(folder, "dvc.lock")
        if os.path.isfile(lock):
            yield lock
        is_top = any(os.path.exists(os.path.join(folder, top)) for top in (".dvc", ".git"))
        if is_top or folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


def _outs(file: str, name: str) -> Iterator[dict[str, Any]]:
    """The outputs in a file that may be of that name."""
    try:
        if os.path.getsize(file) > _MAX_BYTES:
            return
        with open(file, "rb") as stream:
            data = stream.read()
        # Parsing YAML is slow, and most files tell of something else.
        if name.isascii() and name.encode() not in data:
            return
        found = codec.decode_mapping(data, where=file)
    except (OSError, GittrackError):
        return  # DVC itself will say what is wrong with it
    stages = found.get("stages")
    for stage in stages.values() if isinstance(stages, dict) else [found]:
        outs = stage.get("outs") if isinstance(stage, dict) else None
        for out in outs if isinstance(outs, list) else ():
            if isinstance(out, dict):
                yield {"wdir": found.get("wdir", "."), **out}


def _tracked(out: dict[str, Any], file: str) -> Tracked | None:
    digest = out.get("md5")
    if not is_md5(digest):
        return None
    kind = "md5" if out.get("hash") == "md5" else "md5-dos2unix"
    return Tracked(
        f"{kind}:{digest}", os.path.relpath(file).replace(os.sep, "/"), is_listing(str(digest)),
        _count(out.get("size")), _count(out.get("nfiles")),
    )  # fmt: skip


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if is_count else None
