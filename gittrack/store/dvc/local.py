"""The side of a transfer that is here: objects in DVC's cache format below a folder.

An object lies at `files/md5/<2 hex>/<rest>`, mode 0444, and gets there by a rename, so that it is
either whole or not there. What is under way lies in a folder of `tmp/` that its process has locked:
one that was killed leaves it, and the next process takes it away.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from gittrack.core.listing import is_md5

#: The folders above all objects, in our store and below the prefix of a remote.
OBJECTS = ("files", "md5")
_TEMPORARY = "tmp"
_CHUNK = 2**20

#: Told the number of bytes that went by since it was told last.
Told = Callable[[int], None]


class Store:
    """Our object store: `folder` is the one that holds `files/md5`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._objects = os.path.join(folder, *OBJECTS)

    def path(self, oid: str) -> str:
        """Where an object lies, or would."""
        return os.path.join(self._objects, oid[:2], oid[2:])

    def find_size(self, oid: str) -> int | None:
        """The bytes of an object; None if it is not here."""
        try:
            return file_size(self.path(oid))
        except FileNotFoundError:
            return None

    def is_sound(self, oid: str) -> bool:
        """Whether the object's bytes are those that its name says."""
        return hash_file(self.path(oid)) == digest_of(oid)

    def read(self, oid: str) -> bytes | None:
        """A small object; None if its bytes are not those that its name says.

        Raises:
            FileNotFoundError: it is not here.
        """
        return read_checked(self.path(oid), oid)

    @contextmanager
    def scratch(self) -> Iterator[str]:
        """A folder for what is under way; gone at the end, or soon if the process is killed."""
        import secrets

        top = os.path.join(self.folder, _TEMPORARY)
        os.makedirs(top, exist_ok=True)
        _clean_up(top)
        name = os.path.join(top, secrets.token_hex(8))
        lock = _locked(f"{name}.lock")
        try:
            os.mkdir(name)
            yield name
        finally:
            shutil.rmtree(name, ignore_errors=True)
            with suppress(FileNotFoundError):
                os.unlink(f"{name}.lock")
            os.close(lock)

    def place(self, path: str, oid: str) -> None:
        """Make a file of ours, whose bytes were checked, the object of that name."""
        final = self.path(oid)
        os.makedirs(os.path.dirname(final), exist_ok=True)
        os.chmod(path, 0o444)
        os.replace(path, final)


def oid_at(path: str) -> str | None:
    """The name of the object that lies at a path, of whatever system; None if none does."""
    *above, first, rest = ("", "", "", *re.split(r"[/\\]", path))[-4:]
    oid = first + rest
    is_place = tuple(above) == OBJECTS and len(first) == 2 and is_md5(oid)
    return oid if is_place else None


def file_size(path: str) -> int:
    """The bytes of a file.

    Raises:
        FileNotFoundError: there is none; a folder is none.
    """
    try:
        found = os.stat(path)
    except NotADirectoryError as error:
        raise FileNotFoundError(path) from error
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(path)
    return found.st_size


def make_folders(folder: str, base: str, *, is_shared: bool) -> None:
    """Make a folder with those above it; shared ones for the group of `base`, as DVC does."""
    if os.path.isdir(folder):
        return
    if folder != base:
        make_folders(os.path.dirname(folder), base, is_shared=is_shared)
    try:
        os.makedirs(folder)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
        # Somebody else was sooner.
        return
    if is_shared:
        os.chmod(folder, 0o2775)


def list_objects(folder: str) -> list[tuple[str, int | None]]:
    """The objects below a folder, with their sizes in bytes; nothing if it is not there."""
    objects: list[tuple[str, int | None]] = []
    try:
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    for entry in entries:
        if entry.is_dir():
            objects += list_objects(entry.path)
        elif oid := oid_at(entry.path):
            objects.append((oid, entry.stat().st_size))
    return objects


def digest_of(oid: str) -> str:
    """The MD5 in an object's name."""
    return oid[:32]


def hash_file(path: str) -> str:
    """The MD5 of a file's bytes."""
    with open(path, "rb") as file:
        # MD5 names the bytes, as in DVC; it protects nothing.
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def read_checked(path: str, oid: str) -> bytes | None:
    """The bytes of a file; None if they are not those that the object's name says."""
    with open(path, "rb") as file:
        data = file.read()
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return data if digest == digest_of(oid) else None


def copy_hashed(source: str, target: str, told: Told) -> str:
    """Copy a file in one pass, down to the disk; the MD5 of the bytes that were written."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(source, "rb", buffering=0) as read, open(target, "xb") as write:
        while chunk := read.read(_CHUNK):
            write.write(chunk)
            digest.update(chunk)
            told(len(chunk))
        write.flush()
        # A name must not come to stand for bytes that a power cut takes away.
        os.fsync(write.fileno())
    return digest.hexdigest()


def _locked(path: str) -> int:
    """A new file that this process holds the lock of, for as long as it lives."""
    import fcntl

    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        # flock, not lockf: another transfer of this process must find it taken, too.
        with suppress(OSError):
            # Where locks do not work, leftovers stay.
            fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return lock
        # Somebody who cleaned up came between.
        os.close(lock)


def _clean_up(top: str) -> None:
    """Remove what killed processes left: whose lock can be had, nobody uses."""
    import fcntl

    for name in os.listdir(top):
        if not name.endswith(".lock"):
            continue
        path = os.path.join(top, name)
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path.removesuffix(".lock"), ignore_errors=True)
            with suppress(FileNotFoundError):
                os.unlink(path)
        except OSError:
            continue
        finally:
            os.close(lock)
