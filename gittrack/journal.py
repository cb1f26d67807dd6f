"""A running run on local disk: append-only files, one per writing process.

    <journal>/.alive/<writer>             who writes; locked as long as that process lives
    <journal>/<run id>/<writer>.log       what was logged, one line a record
    <journal>/<run id>/<writer>.files/    copies of artifacts and of changed source files

A record is one line and one `write`, so what a call returned from survives `kill -9`; a line
without its newline was never acknowledged. Records, by their first letter:

    J {..}   header: format, run id, writer; `resumes` if the run is older than this file,
             `joins` if another writer ends the run
    R {..}   the facts of run.yaml, from the first writer only
    S {..}   the source that ran;  D {..} the source on disk when it no longer was the same
    P {..}   params
    K n "k"  from here on, n stands for the metric key k
    M n step time_ms value    a point
    N {..}   stamped notes (name, tags, status, ...): key -> [value, time, writer]
    A {..}   an artifact whose copy lies in <writer>.files/
    E {..}   the end: status, end, exit

A process is known to be alive by a POSIX lock on its `.alive` file. `lockf`, not `flock`: a
forked child inherits the latter. Across machines no lock, pid or host name is believed, only
the file's age.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import RLock
from typing import Any, NamedTuple

from gittrack.core.model import Stamp
from gittrack.errors import JournalError

FORMAT = 1
_ALIVE = ".alive"
_LOG = ".log"
_FILES = ".files"
_FOLDER_MODE = 0o777
_COPY_BYTES = 1 << 20
#: How long a disk that refused a write is left alone; the end of the run asks at once.
_RETRY_S = 0.5

ALIVE = "alive"
#: Another machine's writer has not been heard of for a while; it may come back.
QUIET = "quiet"
DEAD = "dead"


class Owner(NamedTuple):
    """A writing process: its name in journals, and the locked file that shows its life."""

    writer: str
    alive_path: str
    fd: int
    locks: bool

    def beat(self) -> None:
        """Show other machines that this process lives."""
        os.utime(self.alive_path)


_owners: dict[str, Owner] = {}
# A forked child is a writer of its own; POSIX locks stay with the parent.
os.register_at_fork(after_in_child=_owners.clear)


def own(journal_dir: str, host: str, boot: str) -> Owner:
    """This process as a writer in a journal folder; made at the first call.

    Raises:
        JournalError: the folder cannot be written.
    """
    owner = _owners.get(journal_dir)
    if owner is None:
        owner = _owners[journal_dir] = _new_owner(journal_dir, host, boot)
    return owner


def _new_owner(journal_dir: str, host: str, boot: str) -> Owner:
    writer = os.urandom(4).hex()
    folder = os.path.join(journal_dir, _ALIVE)
    path = os.path.join(folder, writer)
    try:
        os.makedirs(folder, mode=_FOLDER_MODE, exist_ok=True)
        # Locked under another name first: nobody may find it unlocked and take it for dead.
        temporary = f"{path}.new"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise _cannot_write(journal_dir, error) from error
    locks = True
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        # A file system without locks: only silence can tell that this process is gone.
        locks = False
    facts = {"host": host, "boot": boot, "pid": os.getpid(), "locks": locks}
    try:
        os.write(fd, json.dumps(facts).encode() + b"\n")
        os.replace(temporary, path)
    except OSError as error:
        os.close(fd)
        raise _cannot_write(journal_dir, error) from error
    return Owner(writer, path, fd, locks)


def disown(journal_dir: str) -> None:
    """Take this process's `.alive` file away, at its end and when no journal of it is left."""
    owner = _owners.pop(journal_dir, None)
    if owner is not None:
        _unlink(owner.alive_path)
        os.close(owner.fd)


class Judgement(NamedTuple):
    """Whether a writer lives; a dead one comes locked by us, so that nobody else takes it."""

    state: str
    lock: int | None = None

    def release(self) -> None:
        """Let go of the lock."""
        if self.lock is not None:
            os.close(self.lock)


def judge(
    journal_dir: str, writer: str, *, boot: str, lost_after_s: float, keep_s: float, force: bool
) -> Judgement:
    """Whether a writer is alive, quiet or dead.

    Args:
        boot: this machine's boot id; a lock is believed only below the same kernel.
        lost_after_s: silence after which another machine's writer counts as quiet.
        keep_s: silence after which it counts as dead.
        force: count a quiet one as dead.
    """
    if any(owner.writer == writer for owner in _owners.values()):
        # Opening and closing our own lock file would drop our lock.
        return Judgement(ALIVE)
    path = os.path.join(journal_dir, _ALIVE, writer)
    try:
        with open(path, "rb") as file:
            facts = json.loads(file.read() or b"{}")
        age_s = time.time() - os.stat(path).st_mtime
    except FileNotFoundError:
        return _take(path)
    except (OSError, ValueError):
        facts, age_s = {}, 0.0
    if facts.get("locks") and facts.get("boot") == boot:
        return _take(path)
    if age_s < lost_after_s:
        return Judgement(ALIVE)
    return _take(path) if force or age_s >= keep_s else Judgement(QUIET)


def _take(path: str) -> Judgement:
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError:
        # Not ours to write: the journal can be read, not taken over.
        return Judgement(QUIET)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return Judgement(ALIVE)
    return Judgement(DEAD, fd)


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
        self._reopen: Callable[[], tuple[Owner, dict[str, Any]]] | None = None
        self._open(f"{owner.writer}-{os.urandom(2).hex()}" if resumes else owner.writer)

    def _open(self, writer: str) -> None:
        self.writer = writer
        path = os.path.join(self.folder, writer + _LOG)
        self._files = os.path.join(self.folder, writer + _FILES)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            try:
                self._fd = os.open(path, flags, 0o666)
            except FileNotFoundError:
                os.makedirs(self.folder, mode=_FOLDER_MODE, exist_ok=True)
                self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error

    def begin(self, records: Sequence[tuple[str, object]]) -> None:
        """Write the first records, in one write.

        Raises:
            JournalError: they could not be written.
        """
        data = b"".join(_record(op, payload) for op, payload in records)
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            raise _cannot_write(self.folder, error) from error
        if written != len(data):
            raise _cannot_write(self.folder, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def leave_to_parent(self, reopen: Callable[[], tuple[Owner, dict[str, Any]]]) -> None:
        """In a forked child: this file is the parent's; the first record opens one of our own.

        Args:
            reopen: gives the child as a writer, and the header of its file.
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

    def append(self, op: str, payload: object) -> None:
        """Write one record."""
        with self._lock:
            self._write(_record(op, payload))

    def stamp(self, notes: Mapping[str, Any]) -> None:
        """Write notes under one new time, greater than every one before it."""
        with self._lock:
            self._clock = max(self._clock + 1, time.time_ns() // 1_000_000)
            entries = {key: [value, self._clock, self.writer] for key, value in notes.items()}
            self._write(_record("N", entries))

    def add_artifact(self, path: str, file: str, size_bytes: int, mode: str) -> None:
        """Write that a staged copy is an artifact of the run."""
        with self._lock:
            self._clock = max(self._clock + 1, time.time_ns() // 1_000_000)
            entry = {
                "path": path,
                "file": file,
                "size_bytes": size_bytes,
                "mode": mode,
                "stamp": [self._clock, self.writer],
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

    def stage(self, source: str | bytes, max_bytes: int) -> tuple[str, int] | None:
        """Copy a file, or bytes, beside the journal; its name there and its size.

        None when it turns out to be larger than `max_bytes`; nothing is kept then.

        Raises:
            OSError: the source cannot be read, or the copy cannot be written.
        """
        with self._lock:
            name = str(self._staged)
            self._staged += 1
        os.makedirs(self._files, mode=_FOLDER_MODE, exist_ok=True)
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
            _unlink(target)
            raise
        if size > max_bytes:
            _unlink(target)
            return None
        return name, size

    def close(self) -> int:
        """Close the file; the number of bytes that the disk never took."""
        with self._lock:
            if self._pending:
                self._write(b"")
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            return len(self._pending)

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
        owner, header = reopen()
        self._open(owner.writer)
        self._write(_record("J", header))
        self._write(data)

    def _keep(self, data: bytes, error: OSError) -> None:
        # Kept in memory and tried again, until the disk takes it.
        self._pending += data
        self._retry_at = time.monotonic() + _RETRY_S
        if self.on_trouble is not None:
            report, self.on_trouble = self.on_trouble, None
            report(error)


class Staged(NamedTuple):
    """An artifact whose copy lies beside the journal."""

    path: str
    file: str
    size_bytes: int
    mode: str
    stamp: tuple[int, str]


class State:
    """What one writer's journal says, up to its last whole line."""

    __slots__ = (
        "artifacts",
        "damaged",
        "disk",
        "end",
        "facts",
        "folder",
        "header",
        "keys",
        "notes",
        "params",
        "points",
        "run_id",
        "source",
        "writer",
    )

    def __init__(self, folder: str, run_id: str, writer: str) -> None:
        self.folder = folder
        self.run_id = run_id
        self.writer = writer
        self.header: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.source: dict[str, Any] = {}
        self.disk: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self.notes: dict[str, Stamp] = {}
        self.artifacts: dict[str, Staged] = {}
        self.end: dict[str, Any] = {}
        #: Key numbers to keys, and to (step, time_ms, value as text).
        self.keys: dict[str, str] = {}
        self.points: dict[str, list[tuple[int, int, str]]] = {}
        self.damaged = 0

    @property
    def owner(self) -> str:
        """The process that wrote it, as named in `.alive`."""
        return self.writer.partition("-")[0]

    @property
    def resumes(self) -> bool:
        """Whether the run began before this file."""
        return bool(self.header.get("resumes"))

    @property
    def joins(self) -> bool:
        """Whether another writer, not this one, decides how the run ends."""
        return bool(self.header.get("joins"))

    def by_key(self) -> dict[str, list[tuple[int, int, str]]]:
        """All points by key, as (step, time_ms, value as text)."""
        return {self.keys[number]: points for number, points in self.points.items() if points}

    def staged_path(self, name: str) -> str:
        """Where the copy of that name lies."""
        return os.path.join(self.folder, self.writer + _FILES, os.path.basename(name))


def list_runs(journal_dir: str) -> list[str]:
    """The ids of the runs that have a journal here, oldest first."""
    try:
        names = os.listdir(journal_dir)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if not name.startswith("."))


def read_run(journal_dir: str, run_id: str) -> list[State]:
    """What the journals of a run say; empty if it has none, or has been sealed meanwhile."""
    folder = os.path.join(journal_dir, run_id)
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    states = []
    for name in names:
        if name.endswith(_LOG):
            state = read_journal(folder, run_id, name[: -len(_LOG)])
            if state is not None:
                states.append(state)
    return states


def read_journal(folder: str, run_id: str, writer: str) -> State | None:
    """What one journal says; None if it is gone or holds no whole header."""
    try:
        with open(os.path.join(folder, writer + _LOG), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    state = State(folder, run_id, writer)
    parse(state, data)
    return state if state.header else None


def parse(state: State, data: bytes) -> None:
    """Add to a state what the whole lines of a journal say.

    Lines that a crash of the machine left unreadable are counted, not obeyed.
    """
    end = data.rfind(b"\n") + 1
    points = state.points
    for line in data[:end].decode("utf-8", "replace").split("\n")[:-1]:
        try:
            if line[0] == "M":
                _, number, step, time_ms, value = line.split(" ")
                float(value)
                points[number].append((int(step), int(time_ms), value))
            else:
                _parse_record(state, line)
        except (IndexError, KeyError, ValueError, TypeError):
            state.damaged += 1


def _parse_record(state: State, line: str) -> None:
    op = line[:2]
    if op == "K ":
        number, key = line[2:].split(" ", 1)
        state.keys[number] = str(json.loads(key))
        state.points.setdefault(number, [])
        return
    record = json.loads(line[2:])
    if not isinstance(record, dict):
        raise ValueError(line)
    if op == "J ":
        if record["format"] > FORMAT:
            raise JournalError(
                f"the journal of run {state.run_id} has format {record['format']}",
                why=f"a newer gittrack writes it; this one reads format {FORMAT}",
                next="pip install --upgrade gittrack",
            )
        state.header.update(record)
    elif op == "N ":
        for key, (value, t, by) in record.items():
            state.notes[key] = Stamp(value, int(t), str(by))
    elif op == "A ":
        t, by = record.pop("stamp")
        staged = Staged(stamp=(int(t), str(by)), **record)
        state.artifacts[staged.path] = staged
    else:
        {
            "R ": state.facts,
            "S ": state.source,
            "D ": state.disk,
            "P ": state.params,
            "E ": state.end,
        }[op].update(record)


def remove(state: State) -> None:
    """Take a sealed journal away; the run's folder goes with the last one."""
    # The log first: whoever finds files without a log knows that the run is in the store.
    _unlink(os.path.join(state.folder, state.writer + _LOG))
    files = os.path.join(state.folder, state.writer + _FILES)
    if os.path.isdir(files):
        shutil.rmtree(files, ignore_errors=True)
    try:
        os.rmdir(state.folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def remove_owner(journal_dir: str, writer: str) -> None:
    """Take away the `.alive` file of a dead writer that has no journal left."""
    _unlink(os.path.join(journal_dir, _ALIVE, writer))


def list_owners(journal_dir: str) -> list[str]:
    """The writers that have an `.alive` file here."""
    try:
        names = os.listdir(os.path.join(journal_dir, _ALIVE))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if "." not in name)


def _record(op: str, payload: object) -> bytes:
    return f"{op} {json.dumps(payload, separators=(',', ':'))}\n".encode()


def _chunks(source: str | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with open(source, "rb") as file:
        while chunk := file.read(_COPY_BYTES):
            yield chunk


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def _cannot_write(folder: str, error: OSError) -> JournalError:
    return JournalError(
        f"runs cannot be written to {folder}",
        why=(error.strerror or str(error)).lower(),
        next="give GITTRACK_JOURNAL=DIR a folder that can be written; later: gittrack recover DIR",
    )
