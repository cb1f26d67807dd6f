"""Copy, compare and hash files of any size, and see that they are on disk."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from hashlib import md5 as new_md5
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

#: As much of a file is in memory at once.
CHUNK_BYTES = 1 << 20
FILE_MODE = 0o444
_PART_BYTES = 8 << 20
#: What fits into the processor's cache is hashed faster.
_BUFFER_BYTES = 256 << 10
_O_BINARY = getattr(os, "O_BINARY", 0)


def open_regular(path: str) -> int:
    """Open a file to read it; a named pipe, on which one would wait for ever, is refused.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _O_BINARY)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(0, "it is not a regular file", path)
    return file


def create(path: str) -> int:
    """A new file that others may only read, and the folder that it lies in."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _O_BINARY
    try:
        return os.open(path, flags, FILE_MODE)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, FILE_MODE)


def digest(file: int) -> tuple[str, int]:
    """The md5 of all that follows in an open file, and how many bytes that is."""
    found, size = new_md5(usedforsecurity=False), 0
    while chunk := os.read(file, CHUNK_BYTES):
        found.update(chunk)
        size += len(chunk)
    return found.hexdigest(), size


def copy_hashed(source: int, target: int) -> tuple[str, int]:
    """Copy all that follows of a file, and the md5 of what was written, and how much it was.

    Hashed is what can be read back, so whatever is written to the source meanwhile, the name is
    that of the bytes under it. The kernel copies, where it can without moving a byte; at the same
    time another thread hashes what is there. Neither holds Python's lock.
    """
    found, size = new_md5(usedforsecurity=False), 0
    buffer = bytearray(_BUFFER_BYTES)
    hashing: list[Future[None]] = []

    def hash_part(start: int, end: int) -> None:
        while start < end:
            with memoryview(buffer)[: min(len(buffer), end - start)] as view:
                count = os.preadv(target, [view], start)
                if not count:
                    raise OSError(5, "what was written cannot be read back")
                found.update(view[:count])
            start += count

    hasher = start_threads(1)
    try:
        for end in copy_parts(source, target):
            if hasher is None:
                hash_part(size, end)
            else:
                hashing.append(hasher.submit(hash_part, size, end))
            size = end
        for future in hashing:
            future.result()
    finally:
        if hasher is not None:
            hasher.shutdown(cancel_futures=True)
    return found.hexdigest(), size


def copy_parts(source: int, target: int) -> Iterator[int]:
    """Copy all that follows of a file, in large parts; how many bytes are there after each."""
    size = 0
    with contextlib.suppress(OSError, AttributeError):
        # It ends early, or does not work at all, on some file systems.
        while count := os.copy_file_range(source, target, _PART_BYTES):
            size += count
            yield size
    buffer = bytearray(_BUFFER_BYTES)
    while count := os.readv(source, [buffer]):
        with memoryview(buffer)[:count] as view:
            write_all(target, view)
        size += count
        yield size


def start_threads(count: int) -> ThreadPoolExecutor | None:
    """Threads for work that does not hold Python's lock; None while Python ends."""
    try:
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(count)
        pool.submit(int)
    except RuntimeError:
        return None
    return pool


def compare(a: int, b: int) -> tuple[bool, str]:
    """Whether what follows in two files is equal, and the md5 of the first, if it is."""
    found = new_md5(usedforsecurity=False)
    while True:
        chunk = os.read(a, CHUNK_BYTES)
        if chunk != read_all(b, len(chunk) or 1):
            return False, ""
        if not chunk:
            return True, found.hexdigest()
        found.update(chunk)


def is_equal(path: str, copy: bytes | str) -> bool:
    try:
        if isinstance(copy, bytes):
            with open(path, "rb") as file:
                return file.read(len(copy) + 1) == copy
        with open(path, "rb") as a, open(copy, "rb") as b:
            return compare(a.fileno(), b.fileno())[0]
    except OSError:
        return False


def read_all(file: int, most: int | None = None) -> bytes:
    parts, left = [], most
    while left is None or left > 0:
        part = os.read(file, CHUNK_BYTES if left is None else left)
        if not part:
            break
        parts.append(part)
        left = None if left is None else left - len(part)
    return b"".join(parts)


def write_all(file: int, data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def fsync(path: str) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_all(folder: str) -> bool:
    """Make durable whatever the file system of a folder has in memory; whether that is possible."""
    import ctypes

    sync: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "syncfs", None)
    if sync is None:
        return False
    file = os.open(folder, os.O_RDONLY)
    try:
        return sync(file) == 0
    finally:
        os.close(file)
