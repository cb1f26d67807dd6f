"""Write a journal: one append-only file, one `write` a record."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from threading import RLock
from typing import Any

from gittrack.core.model import next_time
from gittrack.journal.alive import Owner
from gittrack.journal.files import FILES, FOLDER_MODE, LOG, PARTLY, cannot_write, unlink

#: Gives a forked child as a writer, and the first records of its file.
Reopen = Callable[[], tuple[Owner, Sequence[tuple[str, object]]]]

_COPY_BYTES = 1 << 20
#: How long a disk that refused a write is left alone; the end of the run asks at once.
_RETRY_S = 0.5


class _Key:
    """A metric key in one journal: what its lines begin with, and its next step."""

    __slots__ = ("next_step", "prefix")

    def __init__(self, prefix: str, next_step: int) -> None:
        self.prefix = prefix
        self.next_step = next_step


class RunJournal:
    """The append-only file of one writer of one run."""

    def __init__(
        self, journal_dir: str, run_id: str, owner: Owner, *, resumes: bool = False
    ) -> None:
        """Create the file.

        A process that goes on with a run which it ended itself may find the old file still
        there, about to be sealed and removed; `resumes` gives the new one a name of its own.

        Raises:
            JournalError: it cannot be created.
        """
        self.run_id = run_id
        self.writer = owner.writer
        self.folder = os.path.join(journal_dir, run_id)
        self._staged = 0
        self._keys: dict[str, _Key] = {}
        self._first_steps: Mapping[str, int] = {}
        # Re-entrant: a signal handler may end the run while the same thread writes a point.
        self._lock = RLock()
        self._clock = 0
        self._pending = bytearray()
        self._retry_at = 0.0
        #: Called once with the error when the disk refuses a write.
        self.on_trouble: Callable[[OSError], None] | None = None
        self._reopen: Reopen | None = None
        self._open(f"{owner.writer}-{os.urandom(2).hex()}" if resumes else owner.writer)

    def _open(self, writer: str) -> None:
        self.writer = writer
        path = os.path.join(self.folder, writer + LOG)
        self._files = os.path.join(self.folder, writer + FILES)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            try:
                self._fd = os.open(path, flags, 0o666)
            except FileNotFoundError:
                os.makedirs(self.folder, mode=FOLDER_MODE, exist_ok=True)
                self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise cannot_write(self.folder, error) from error

    def begin(self, records: Sequence[tuple[str, object]]) -> None:
        """Write the first records, in one write.

        Raises:
            JournalError: they could not be written.
        """
        data = b"".join(_record(op, payload) for op, payload in records)
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise cannot_write(self.folder, error) from error
        if written != len(data):
            raise cannot_write(self.folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def leave_to_parent(self, reopen: Reopen) -> None:
        """In a forked child: this file is the parent's; the first record opens one of our own.

        Args:
            reopen: gives the child as a writer, and the first records of its file.
        """
        steps = {key: entry.next_step for key, entry in self._keys.items()}
        self._first_steps = {**self._first_steps, **steps}
        self._keys = {}
        self._lock = RLock()
        self._pending = bytearray()
        # Not closed: the descriptor's number may be in use by code that runs before exec.
        self._fd = -1
        self._reopen = reopen

    def resume(self, next_steps: Mapping[str, int], clock: int) -> None:
        """Go on after what the run already holds: steps per key, and the highest stamp."""
        self._first_steps = next_steps
        self._clock = clock

    def hold(self) -> AbstractContextManager[object]:
        """Keep every other thread from writing while the block runs."""
        return self._lock

    def append(self, op: str, payload: object) -> None:
        """Write one record."""
        with self._lock:
            self._write(_record(op, payload))

    def stamp(self, notes: Mapping[str, Any]) -> None:
        """Write notes under one new time, greater than every one before it."""
        with self._lock:
            self._clock = next_time(time.time_ns() // 1_000_000, self._clock)
            entries = {key: [value, self._clock, self.writer] for key, value in notes.items()}
            self._write(_record("N", entries))

    def add_artifact(self, path: str, size_bytes: int, mode: str, **where: object) -> None:
        """Write that a copy is an artifact of the run; see `Staged` for where it is."""
        with self._lock:
            self._clock = next_time(time.time_ns() // 1_000_000, self._clock)
            entry = {
                "path": path,
                "size_bytes": size_bytes,
                "mode": mode,
                "stamp": [self._clock, self.writer],
                **where,
            }
            self._write(_record("A", entry))

    def append_point(
        self,
        key: str,
        value: float,
        step: int | None,
        time_ms: int | None,
        check: Callable[[str], str],
    ) -> None:
        """Write one point; without a step it gets the key's next one.

        Args:
            check: judges a key that is seen for the first time.
        """
        if time_ms is None:
            time_ms = time.time_ns() // 1_000_000
        with self._lock:
            entry = self._keys.get(key) or self._declare(check(key))
            if step is None:
                step = entry.next_step
            if step >= entry.next_step:
                entry.next_step = step + 1
            self._write(f"{entry.prefix}{step} {time_ms} {value!r}\n".encode())

    def append_points(
        self,
        values: Iterable[tuple[str, float]],
        step: int | None,
        time_ms: int | None,
        check: Callable[[str], str],
    ) -> None:
        """Write points of several keys, in one write; see `append_point`."""
        if time_ms is None:
            time_ms = time.time_ns() // 1_000_000
        with self._lock:
            keys = self._keys
            lines = []
            for key, value in values:
                entry = keys.get(key) or self._declare(check(key))
                at = entry.next_step if step is None else step
                if at >= entry.next_step:
                    entry.next_step = at + 1
                lines.append(f"{entry.prefix}{at} {time_ms} {value!r}\n")
            self._write("".join(lines).encode())

    def append_rows(
        self,
        rows: Iterable[tuple[str, float, int | None, int | None]],
        check: Callable[[str], str],
    ) -> None:
        """Write many points, each of its own key, step and time, in one write."""
        now_ms = time.time_ns() // 1_000_000
        with self._lock:
            keys = self._keys
            lines = []
            for key, value, step, time_ms in rows:
                entry = keys.get(key) or self._declare(check(key))
                if step is None:
                    step = entry.next_step
                if step >= entry.next_step:
                    entry.next_step = step + 1
                at_ms = now_ms if time_ms is None else time_ms
                lines.append(f"{entry.prefix}{step} {at_ms} {value!r}\n")
            self._write("".join(lines).encode())

    def stage(self, source: str | bytes, max_bytes: int) -> tuple[str, int] | None:
        """Copy a file, or bytes, beside the journal; its name there and its size.

        None when it turns out to be larger than `max_bytes`; nothing is kept then.

        Raises:
            OSError: the source cannot be read, or the copy cannot be written.
        """
        with self._lock:
            if self._reopen is not None:
                # Until then the folder for copies is the parent's.
                self._open_in_child(b"")
            name = str(self._staged)
            self._staged += 1
        os.makedirs(self._files, mode=FOLDER_MODE, exist_ok=True)
        target = os.path.join(self._files, name)
        size = 0
        try:
            with open(target, "xb") as copy:
                for chunk in _chunks(source):
                    size += len(chunk)
                    if size > max_bytes:
                        break
                    copy.write(chunk)
        except OSError:
            unlink(target)
            raise
        if size > max_bytes:
            unlink(target)
            return None
        return name, size

    def staged_path(self, name: str) -> str:
        """Where the copy of that name is that `stage` made."""
        return os.path.join(self._files, name)

    def is_alone(self) -> bool:
        """Whether the folder of a run that began here holds no more than this file says."""
        try:
            found = os.listdir(self.folder)
        except OSError:
            return False
        return sum(name.endswith(LOG) for name in found) == 1 and PARTLY not in found

    def close(self) -> int:
        """Close the file; the number of bytes that the disk never took."""
        with self._lock:
            if self._pending:
                self._write(b"")
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            return len(self._pending)

    def settle(self) -> int:
        """Try once more what the disk refused; the number of bytes that it still does not take."""
        with self._lock:
            if self._pending:
                self._retry_at = 0.0
                self._write(b"")
            return len(self._pending)

    @property
    def path(self) -> str:
        """What the names of this writer's files begin with."""
        return os.path.join(self.folder, self.writer)

    def unwritten(self) -> bytes:
        """What the disk never took; it is in memory only."""
        return bytes(self._pending)

    def _declare(self, key: str) -> _Key:
        number = len(self._keys)
        entry = _Key(f"M {number} ", self._first_steps.get(key, 0))
        self._write(f"K {number} {json.dumps(key)}\n".encode())
        self._keys[key] = entry
        return entry

    def _write(self, data: bytes) -> None:
        if self._pending:
            self._pending += data
            # A full disk is asked again now and then, not at each of a million points.
            if data and time.monotonic() < self._retry_at:
                return
            data = bytes(self._pending)
            self._pending.clear()
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            if self._reopen is not None:
                self._open_in_child(data)
            else:
                self._keep(data, error)
            return
        if written != len(data):
            self._keep(data[written:], OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _open_in_child(self, data: bytes) -> None:
        reopen, self._reopen = self._reopen, None
        assert reopen is not None
        owner, records = reopen()
        self._open(f"{owner.writer}-{os.urandom(2).hex()}")
        self._write(b"".join(_record(op, payload) for op, payload in records))
        self._write(data)

    def _keep(self, data: bytes, error: OSError) -> None:
        # Kept in memory and tried again, until the disk takes it.
        self._pending += data
        self._retry_at = time.monotonic() + _RETRY_S
        if self.on_trouble is not None:
            report, self.on_trouble = self.on_trouble, None
            report(error)


def _record(op: str, payload: object) -> bytes:
    return f"{op} {json.dumps(payload, separators=(',', ':'))}\n".encode()


def _chunks(source: str | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb") as file:
        while chunk := file.read(_COPY_BYTES):
            yield chunk
