"""Linked worktrees that live as long as one process: commits laid out beside the user's own."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gittrack.store.git import Git
from gittrack.store.scratch import QUIET

#: Below the common dir. A worktree's own folder and its lock have the same name.
FOLDER = os.path.join("gittrack", "laid-out")
_LOCK = ".lock"
#: To open and close a lock of ours again would drop it.
_ours: set[str] = set()


@contextmanager
def laid_out(git: Git, commit: str) -> Iterator[str]:
    """A folder with the files of a commit, which git takes for a worktree of this repository.

    No hook fires, and neither HEAD nor the staging area of another worktree is touched. It is
    taken away at the end; what a killed process leaves, `sweep` does.
    """
    folder = os.path.join(git.common_dir, FOLDER)
    os.makedirs(folder, exist_ok=True)
    # Its name is also that of git's notes about it, below `worktrees`.
    path = os.path.join(folder, f"gittrack-{os.urandom(4).hex()}")
    lock = os.open(path + _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    _ours.add(path + _LOCK)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        git.run(*QUIET, "worktree", "add", "--detach", "--no-checkout", path, commit)
        # `read-tree` calls no hook, whatever hooks are there and however they are set up.
        inside = {"GIT_DIR": _git_dir(git, path), "GIT_WORK_TREE": path}
        git.run(*QUIET, "read-tree", "--reset", "-u", "HEAD", env=inside, cwd=path)
        yield path
    finally:
        with _undisturbed():
            _remove(git, path)
            os.close(lock)
            _ours.discard(path + _LOCK)


def sweep(git: Git) -> int:
    """Take away the worktrees of processes that were killed; how many."""
    folder = os.path.join(git.common_dir, FOLDER)
    swept = 0
    for name in _names(folder):
        path = os.path.join(folder, name)
        if not name.endswith(_LOCK) or path in _ours:
            continue
        try:
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # it lives
        else:
            with _undisturbed():
                _remove(git, path.removesuffix(_LOCK))
            swept += 1
        finally:
            os.close(lock)
    return swept


def _remove(git: Git, path: str) -> None:
    """Take away a worktree, what git knows of it, and its lock."""
    notes = _git_dir(git, path)
    try:
        shutil.rmtree(path)
    except OSError:
        # A program may have left folders that cannot be written.
        for folder, _, _ in os.walk(path):
            with suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(notes, ignore_errors=True)
    with suppress(OSError):
        os.unlink(path + _LOCK)
    for empty in (os.path.dirname(notes), os.path.dirname(path)):
        with suppress(OSError):
            os.rmdir(empty)


def _git_dir(git: Git, path: str) -> str:
    return os.path.join(git.common_dir, "worktrees", os.path.basename(path))


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C waits until what the first one began to take away is gone."""
    wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
