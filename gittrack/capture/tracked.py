"""What DVC knows of a path, from its `.dvc` file or `dvc.lock`; the data itself is not opened.

Source: DVC 3.67, `dvc.schema` and `dvc.output`. Files without `hash: md5` are of DVC 2, which
took the line ends out of text before it hashed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.core import codec
from gittrack.core.listing import is_listing, is_md5
from gittrack.errors import GittrackError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

#: Folders that DVC leaves out of any data: what git, Mercurial and it keep there changes by itself.
NO_DATA = frozenset((".git", ".hg", ".dvc"))
_IGNORE = ".dvcignore"
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
    for folder, names in walk_data(path, ignoring=True):
        for name in names:
            files += 1
            size += os.stat(os.path.join(folder, name)).st_size
    return known.size_bytes in (None, size) and known.files in (None, files)


def walk_data(path: str, *, ignoring: bool) -> Iterator[tuple[str, list[str]]]:
    """The folders of data in order, and the files in each, without what is none.

    Args:
        ignoring: leave out what a `.dvcignore` names, as DVC does with what it tracks.
    Raises:
        OSError: a folder cannot be read; left out, the digest would be that of other data.
    """
    path = os.path.abspath(path) if ignoring else path
    specs = []
    for above in _folders_up(os.path.dirname(path)) if ignoring else ():
        spec = _read_ignore(above)
        # What was added all the same is not left out as a whole.
        if spec is not None and not spec.match_file(f"{os.path.relpath(path, above)}/"):
            specs.append((above, spec))
    for folder, folders, names in os.walk(path, onerror=_raise):
        if ignoring and (spec := _read_ignore(folder)) is not None:
            specs.append((folder, spec))
        # In a worktree of git's `.git` is a file.
        folders[:] = sorted(name for name in folders if name not in NO_DATA)
        names = [name for name in names if name != ".git"]
        for base, spec in specs:
            if f"{folder}/".startswith(f"{base}/"):
                start = "" if folder == base else f"{os.path.relpath(folder, base)}/"
                folders[:] = [n for n in folders if not spec.match_file(f"{start}{n}/")]
                names = [n for n in names if not spec.match_file(f"{start}{n}")]
        yield folder, names


def _raise(error: OSError) -> None:
    raise error


def _read_ignore(folder: str) -> GitIgnoreSpec | None:
    """The patterns of a folder's `.dvcignore`; None if it has none, as the one of `dvc init`."""
    try:
        with open(os.path.join(folder, _IGNORE), encoding="utf-8", errors="replace") as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")]
    except OSError:
        return None
    if not lines:
        return None
    from pathspec import GitIgnoreSpec  # 10 ms, which most do not need

    return GitIgnoreSpec.from_lines(lines)


def _folders_up(folder: str) -> Iterator[str]:
    """A folder and those above it, up to the top of DVC's or git's repository."""
    while True:
        yield folder
        is_top = any(os.path.exists(os.path.join(folder, top)) for top in (".dvc", ".git"))
        if is_top or folder == os.path.dirname(folder):
            return
        folder = os.path.dirname(folder)


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
    for above in _folders_up(folder):
        lock = os.path.join(above, "dvc.lock")
        if os.path.isfile(lock):
            yield lock


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
