"""Keep copies of files and folders with a run: small ones for git, large ones as objects.

What goes wrong with one file is noted on the run, and the others are kept. The user's files keep
their mode, their inode and their place.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from gittrack.core import kept, names
from gittrack.core.listing import Listed, encode_listing
from gittrack.core.model import Artifact
from gittrack.errors import InvalidNameError
from gittrack.journal import RunJournal
from gittrack.store.copying import start_threads
from gittrack.store.odb import Odb, Stored

#: A folder with more small files than that is kept as one: each would be an object of git.
_MOST_BLOBS = 200
#: A folder with more large files than that is kept as one: each would have a pointer.
_MOST_POINTERS = 20
#: Files that a thread stores before it asks for more, and how many threads do: the kernel takes
#: most of the time, but threads that take turns after every file are slower than one.
_BATCH, _THREADS = 25, 3
#: How often a file is read anew that is written to meanwhile.
_TRIES = 3
#: Without space nothing else can be kept either.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Found(NamedTuple):
    """A file of a folder: its path there, with `/`, where it is, and its size in bytes."""

    name: str
    path: str
    size: int


class _Kept(NamedTuple):
    """Where an artifact is: `file` is a copy beside the journal, or `md5` an object."""

    file: str | None
    md5: str | None
    size: int


class Keeper:
    """Keeps the artifacts of one run.

    Args:
        objects: gives the object store that large ones go to.
        note: tells the user, and keeps with the run, what was not kept, and why.
        max_file_bytes, max_run_bytes: what git takes, of one file and of all of them.
    """

    def __init__(
        self,
        journal: RunJournal,
        objects: Callable[[], Odb],
        note: Callable[[str], None],
        *,
        max_file_bytes: int,
        max_run_bytes: int,
    ) -> None:
        self._journal = journal
        self._objects = objects
        self._note = note
        self._most = max_file_bytes
        self._left = max_run_bytes
        self._kept: dict[str, _Kept] = {}

    def keep(self, source: str | bytes, path: str) -> None:
        """Keep a file, or bytes, under that path."""
        try:
            self._keep(source, path)
        except OSError as error:
            self._failed(path, error)

    def read(self, path: str) -> bytes | None:
        """The bytes that were kept under that path from here; None if none were, or are no more.

        Raises:
            OSError: they cannot be read.
        """
        kept_at = self._kept.get(path)
        if kept_at is None:
            return None
        if kept_at.md5 is not None:
            return self._objects().read(kept_at.md5)
        assert kept_at.file is not None
        try:
            with open(kept_at.file, "rb") as file:
                return file.read()
        except FileNotFoundError:
            # Committed meanwhile.
            return None

    def has(self, path: str) -> bool:
        """Whether something was kept under that path from here."""
        return path in self._kept

    def keep_folder(self, top: str, into: str) -> None:
        """Keep all files below a folder, under their relative paths; `into` is "" or a path."""
        found: list[Found] = []
        for item, why in walk(top):
            if why:
                self._note(f"artifact {_within(into, item.name)} was not kept: {why}")
            else:
                found.append(item)
        blobs, single, layer = self._divide(found)
        for item in [*blobs, *single]:
            self.keep(item.path, _within(into, item.name))
        if layer or (into and not found):
            self._keep_layer(layer, into)

    def _divide(self, files: Sequence[Found]) -> tuple[list[Found], list[Found], list[Found]]:
        """Which files become blobs, which get a pointer each, and which are kept as one folder."""
        small = [file for file in files if file.size <= self._most]
        large = [file for file in files if file.size > self._most]
        if (
            len(small) > _MOST_BLOBS
            or sum(file.size for file in small) > self._left
            or not all(_is_legal(file.name) for file in files)
        ):
            return [], [], list(files)
        return (small, large, []) if len(large) <= _MOST_POINTERS else (small, [], large)

    def _keep(self, source: str | bytes, path: str) -> None:
        mode = "644"
        if isinstance(source, str):
            found = os.stat(source)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(0, "it is not a regular file")
            size = found.st_size
            mode = "755" if found.st_mode & 0o111 else "644"
        else:
            size = len(source)
        # What is replaced does not count any more: git gets the last one alone.
        before = self._kept.get(path)
        freed = before.size if before is not None and before.file is not None else 0
        most = min(self._most, self._left + freed)
        staged = self._journal.stage(source, most) if size <= most else None
        if staged is not None:
            file, size = staged
            self._left += freed - size
            self._journal.add_artifact(path, size, mode, file=file)
            self._kept[path] = _Kept(self._journal.staged_path(file), None, size)
            return
        objects = self._objects()
        if isinstance(source, str):
            stored = objects.put_file(source)
            for _ in range(_TRIES - 1):
                if not stored.changed:
                    break
                stored = objects.put_file(source)
            if stored.changed:
                self._note(f"artifact {path} was written to while it was stored")
        else:
            stored = objects.put_bytes(source)
        self._journal.add_artifact(path, stored.size_bytes, mode, md5=stored.md5)
        self._left += freed
        self._kept[path] = _Kept(None, stored.md5, stored.size_bytes)

    def _keep_layer(self, files: Sequence[Found], into: str) -> None:
        objects = self._objects()
        listed: list[Listed] = []
        total = changed = 0
        for file, stored in zip(files, _put_all(objects, files), strict=False):
            if isinstance(stored, OSError):
                self._failed(_within(into, file.name), stored)
                if stored.errno in _FULL:
                    return
                continue
            listed.append(Listed(file.name, stored.md5))
            total += stored.size_bytes
            changed += stored.changed
        try:
            listing = objects.put_bytes(encode_listing(listed), ".dir")
        except OSError as error:
            self._failed(into or "of all files", error)
            return
        if changed:
            self._note(f"{changed} files of artifact {into or '.'}/ were written to while stored")
        layer = Artifact(into, total, md5=listing.md5, files=len(listed))
        key = kept.layer_key(into, listing.md5)
        self._journal.add_artifact(
            key, layer.size_bytes, layer.mode, md5=layer.md5, files=layer.files
        )

    def _failed(self, path: str, error: OSError) -> None:
        self._note(f"artifact {path} was not kept: {error.strerror or error}")


def _put_all(objects: Odb, files: Sequence[Found]) -> Iterator[Stored | OSError]:
    """Store files, in order; several at once, for the kernel takes most of the time."""

    def put(file: Found) -> Stored | OSError:
        try:
            return objects.put_file(file.path)
        except OSError as error:
            return error

    def put_some(at: int) -> list[Stored | OSError]:
        return [put(file) for file in files[at : at + _BATCH]]

    pool = start_threads(_THREADS) if len(files) > _BATCH else None
    if pool is None:
        yield from map(put, files)
        return
    try:
        for some in pool.map(put_some, range(0, len(files), _BATCH)):
            yield from some
    finally:
        pool.shutdown(cancel_futures=True)


def walk(top: str) -> Iterator[tuple[Found, str]]:
    """The files below a folder, in order, or why what is there is none.

    Symbolic links are followed, as DVC follows them, but never in a circle.
    """
    yield from _walk(top, "", [])


def _walk(folder: str, prefix: str, above: list[tuple[int, int]]) -> Iterator[tuple[Found, str]]:
    try:
        here = os.stat(folder)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        yield Found(prefix.rstrip("/") or ".", folder, 0), error.strerror or str(error)
        return
    if (here.st_dev, here.st_ino) in above:
        yield Found(prefix.rstrip("/"), folder, 0), "it is a link to a folder above it"
        return
    above = [*above, (here.st_dev, here.st_ino)]
    for entry in entries:
        name = prefix + entry.name
        try:
            status = entry.stat()
        except OSError as error:
            why = "it is a broken link" if entry.is_symlink() else error.strerror or str(error)
            yield Found(name, entry.path, 0), why
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(entry.path, f"{name}/", above)
        elif stat.S_ISREG(status.st_mode):
            yield Found(name, entry.path, status.st_size), ""
        else:
            yield Found(name, entry.path, 0), "it is not a regular file"


def _is_legal(name: str) -> bool:
    try:
        names.check_artifact_path(name)
    except InvalidNameError:
        return False
    return True


def _within(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name
