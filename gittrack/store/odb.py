"""Our own object store, in the format of DVC's cache: large artifacts, named by their md5.

    <folder>/files/md5/<2 hex>/<30 hex>         a file
    <folder>/files/md5/<2 hex>/<30 hex>.dir     the listing of a folder
    <folder>/tmp/                               what is being written

It lies under git's common dir, because every variant of `dvc gc` deletes from DVC's cache what only
a run names. Objects are complete or absent, read-only, and never change.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import md5 as new_md5
from typing import NamedTuple

from gittrack.core.listing import decode_listing, is_listing, is_md5
from gittrack.store import copying

#: As many objects are made durable one by one; of more, the file system all at once.
_FEW = 16
_TEMPORARY = re.compile(r"([0-9a-f]{30}(\.dir)?\.)?[0-9a-f]{16}\.new")


class Stored(NamedTuple):
    """An object that was put into the store.

    `changed` tells that the file was written to meanwhile: the object holds what was read, whatever
    that was.
    """

    md5: str
    size_bytes: int
    changed: bool = False


class Item(NamedTuple):
    """An object that lies in the store."""

    md5: str
    size_bytes: int
    mtime: float


class Odb:
    """The objects below one folder.

    Args:
        folder: is made when something is put there.
        caches: folders `files/md5` of DVC caches; what lies there too is linked, not kept twice.
    """

    def __init__(self, folder: str, caches: Sequence[str] = ()) -> None:
        self.folder = folder
        self._caches = caches

    def path(self, md5: str) -> str:
        """Where the object of that name lies, or would lie."""
        return _place(os.path.join(self.folder, "files", "md5"), md5)

    def has(self, md5: str) -> bool:
        """Whether the object is here."""
        return os.path.isfile(self.path(md5))

    def read(self, md5: str) -> bytes | None:
        """The bytes of an object, None if it is not here."""
        try:
            with open(self.path(md5), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def is_sound(self, md5: str) -> bool:
        """Whether the object is here, and its bytes are those of its name."""
        try:
            with open(self.path(md5), "rb") as file:
                return copying.digest(file.fileno())[0] == md5[:32]
        except OSError:
            return False

    # -- put -----------------------------------------------------------------------------

    def put_file(self, path: str) -> Stored:
        """Copy a file into the store, hashing what is copied: one pass, and never a wrong name.

        Raises:
            OSError: it cannot be read, is no regular file, or cannot be stored.
        """
        source = copying.open_regular(path)
        try:
            before = os.fstat(source)
            known = self._known_to_dvc(path, source, before.st_size)
            if known is not None:
                return Stored(known, before.st_size)
            os.lseek(source, 0, os.SEEK_SET)
            found, size = self._copy(source, before.st_size)
            after = os.fstat(source)
            changed = (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
            return Stored(found, size, changed)
        finally:
            os.close(source)

    def put_bytes(self, data: bytes, suffix: str = "") -> Stored:
        """Put bytes that are in memory; `suffix` is `.dir` for the listing of a folder."""
        name = new_md5(data, usedforsecurity=False).hexdigest() + suffix
        if not self._has_still(name, len(data)):
            self._write(name, data)
        return Stored(name, len(data))

    def take(self, md5: str, other: str) -> bool:
        """Take over an object that lies elsewhere, by a link where that is possible.

        Whether it could be taken; one that is not what its name says is not.
        """
        target = self.path(md5)
        if os.path.exists(target):
            return True
        try:
            with open(other, "rb") as file:
                if copying.digest(file.fileno())[0] != md5[:32]:
                    return False
                if self._link(other, md5):
                    return True
                os.lseek(file.fileno(), 0, os.SEEK_SET)
                with self._writing() as (path, copy):
                    found, _ = copying.copy_hashed(file.fileno(), copy)
                    if found == md5[:32]:
                        self._settle(path, md5)
                    return found == md5[:32]
        except FileNotFoundError:
            return False

    def _copy(self, source: int, size: int) -> tuple[str, int]:
        if size <= copying.CHUNK_BYTES:
            # Nothing is written of what is there already.
            data = copying.read_all(source)
            name = new_md5(data, usedforsecurity=False).hexdigest()
            if not self._has_still(name, len(data)) and not self._link_cached(name, data):
                self._write(name, data)
            return name, len(data)
        with self._writing() as (path, copy):
            name, total = copying.copy_hashed(source, copy)
            if not self._has_still(name, total) and not self._link_cached(name, path):
                self._settle(path, name)
        return name, total

    def _has_still(self, md5: str, size: int) -> bool:
        """Whether the object is here; then it is as young as a new one, and nobody deletes it."""
        path = self.path(md5)
        try:
            found = os.stat(path)
            # Of one that DVC's cache shares, DVC remembers the time, and would hash it again.
            if found.st_nlink == 1:
                with contextlib.suppress(PermissionError):
                    os.utime(path)
        except OSError:
            return False
        # Half an object, after a loss of power, is replaced.
        return found.st_size == size

    def _write(self, name: str, data: bytes) -> None:
        # Beside its place: several threads may make files in several folders at once.
        target = self.path(name)
        path = f"{target}.{os.urandom(8).hex()}.new"
        file = copying.create(path)
        try:
            try:
                copying.write_all(file, data)
            finally:
                os.close(file)
            os.replace(path, target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[str, int]]:
        """A new file that is gone afterwards, unless it was settled."""
        path = f"{self.folder}/tmp/{os.urandom(8).hex()}.new"
        file = copying.create(path)
        try:
            yield path, file
        finally:
            os.close(file)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def _settle(self, path: str, md5: str) -> None:
        """Give a whole file its name."""
        target = self.path(md5)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.replace(path, target)

    def fsync(self, names: Collection[str]) -> None:
        """See that objects survive a loss of power."""
        folders: set[str] = set()
        if len(names) > _FEW and copying.sync_all(self.folder):
            return
        for name in names:
            path = self.path(name)
            with contextlib.suppress(FileNotFoundError):
                copying.fsync(path)
                folders.add(os.path.dirname(path))
        for folder in folders:
            copying.fsync(folder)

    # -- DVC's cache ---------------------------------------------------------------------

    def _known_to_dvc(self, path: str, source: int, size: int) -> str | None:
        """The name of a file that DVC keeps already: then it is linked, and nothing is copied.

        A pointer beside the file only says where to look; the bytes are compared and hashed.
        """
        name = _named_by_pointer(path) if self._caches else None
        if name is None:
            return None
        for cache in self._caches:
            cached = _place(cache, name)
            try:
                with open(cached, "rb") as file:
                    if os.fstat(file.fileno()).st_size != size:
                        continue
                    equal, found = copying.compare(source, file.fileno())
            except OSError:
                continue
            if equal and found == name and (self.has(name) or self._link(cached, name)):
                return name
        return None

    def _link_cached(self, name: str, copy: bytes | str) -> bool:
        """Link what DVC's cache holds of that name, if it is what was read here."""
        for cache in self._caches:
            cached = _place(cache, name)
            if (
                os.path.exists(cached)
                and copying.is_equal(cached, copy)
                and self._link(cached, name)
            ):
                return True
        return False

    def _link(self, other: str, name: str) -> bool:
        """Make a hard link, unless somebody may write to the file."""
        target = self.path(name)
        try:
            if stat.S_IMODE(os.stat(other).st_mode) & 0o222:
                return False
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.link(other, target)
        except FileExistsError:
            return True
        except OSError:
            return False
        return True

    # -- all of them ---------------------------------------------------------------------

    def __iter__(self) -> Iterator[Item]:
        top = os.path.join(self.folder, "files", "md5")
        for head in _scan(top):
            for entry in _scan(head.path):
                name = head.name + entry.name
                if is_md5(name):
                    with contextlib.suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        yield Item(name, found.st_size, found.st_mtime)

    def remove(self, md5: str) -> None:
        """Delete an object."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(md5))

    def leftovers(self, older_than: float) -> list[str]:
        """Files that somebody who died was writing: not written to since that time."""
        found = []
        heads = _scan(os.path.join(self.folder, "files", "md5"))
        for folder in (os.path.join(self.folder, "tmp"), *(head.path for head in heads)):
            for entry in _scan(folder):
                # Transfers have folders and locks there, and tidy up themselves.
                if _TEMPORARY.fullmatch(entry.name) is None:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < older_than:
                        found.append(entry.path)
        return found

    def with_children(self, names: Iterable[str]) -> dict[str, None]:
        """Those objects, and behind each folder the files that its listing names, if it is here."""
        found: dict[str, None] = {}
        for name in names:
            found[name] = None
            data = self.read(name) if is_listing(name) else None
            if data is not None:
                found.update(dict.fromkeys(file.md5 for file in decode_listing(data, name)))
        return found


def dvc_caches(worktree: str | None) -> list[str]:
    """Where DVC keeps its objects for that worktree: folders `files/md5`."""
    folder = os.path.join(worktree, ".dvc") if worktree is not None else ""
    if not os.path.isdir(folder):
        return []
    import configparser

    cache = "cache"
    for name in ("config", "config.local"):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        # DVC itself says what is wrong with its settings.
        with contextlib.suppress(OSError, UnicodeError, configparser.Error):
            parser.read(os.path.join(folder, name), encoding="utf-8")
            cache = parser.get("cache", "dir", fallback=cache)
    return [os.path.join(folder, cache, "files", "md5")]


def _place(top: str, md5: str) -> str:
    if not is_md5(md5):
        raise ValueError(f"{md5!r} is no md5")
    return os.path.join(top, md5[:2], md5[2:])


def _named_by_pointer(path: str) -> str | None:
    """The md5 that the pointer beside a file says it has."""
    try:
        with open(f"{path}.dvc", "rb") as file:
            text = file.read(10_000)
    except OSError:
        return None
    found = re.search(rb"(?m)^\s*(?:- )?md5: ([0-9a-f]{32})\s*$", text)
    return found[1].decode() if found else None


def _scan(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
