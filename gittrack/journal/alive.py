"""Who writes, and whether it still lives."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import NamedTuple

from gittrack.journal import files
from gittrack.journal.files import FOLDER_MODE, cannot_write, unlink

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
    folder = os.path.join(journal_dir, files.ALIVE)
    path = os.path.join(folder, writer)
    try:
        os.makedirs(folder, mode=FOLDER_MODE, exist_ok=True)
        # Locked under another name first: nobody may find it unlocked and take it for dead.
        temporary = f"{path}.new"
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise cannot_write(journal_dir, error) from error
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
        raise cannot_write(journal_dir, error) from error
    return Owner(writer, path, fd, locks)


def disown(journal_dir: str) -> None:
    """Take this process's `.alive` file away, at its end and when no journal of it is left."""
    owner = _owners.pop(journal_dir, None)
    if owner is not None:
        unlink(owner.alive_path)
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
    path = os.path.join(journal_dir, files.ALIVE, writer)
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


def remove_owner(journal_dir: str, writer: str) -> None:
    """Take away the `.alive` file of a dead writer that has no journal left."""
    unlink(os.path.join(journal_dir, files.ALIVE, writer))


def list_owners(journal_dir: str) -> list[str]:
    """The writers that have an `.alive` file here."""
    try:
        names = os.listdir(os.path.join(journal_dir, files.ALIVE))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if "." not in name)
