"""What surrounds the runs of one process: its code and its environment, read once.

A clean tree and a known environment are read at once, a few milliseconds each. What takes
longer (hashing changed files, reading the metadata of every package) is done by a thread while
the run goes on; whoever ends a run waits for it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack import journal
from gittrack.capture import redact
from gittrack.config import Config
from gittrack.core.model import Source
from gittrack.core.record import encode_source, warning_key
from gittrack.errors import GittrackError
from gittrack.store import forking
from gittrack.store.git import Git

if TYPE_CHECKING:
    from gittrack.capture.environment import Environment
    from gittrack.store.source import Head, Snapshot

#: How long the end of a run waits for what is still being read.
_PATIENCE_S = 20.0
_CHANGED = "the code on disk changed after this process had started; disk.yaml has the new state"


class Code(NamedTuple):
    """The code of this process, as it was when its first run began."""

    facts: dict[str, Any]
    source: Source
    overlay: dict[str, bytes]
    warnings: tuple[str, ...]
    redacted: tuple[str, ...] = ()


class Found(NamedTuple):
    """Something that surrounds a run, as the run's journal takes it."""

    facts: Mapping[str, Any] = {}
    source: Code | None = None
    disk: Code | None = None
    warnings: tuple[str, ...] = ()
    redacted: tuple[str, ...] = ()


class Around:
    """The code and the environment of this process.

    Args:
        code_git: the repository of the code that runs, if there is one.
        folder: where environments are remembered; it travels with the journals.
    """

    def __init__(
        self, code_git: Git | None, config: Config, git_config: Mapping[str, list[str]], folder: str
    ) -> None:
        self._git = code_git
        self._config = config
        self._git_config = git_config
        self._folder = folder
        self._lock = threading.RLock()
        self._code: Code | None = None
        self._fingerprint: tuple[Any, ...] = ()
        self._loaded: tuple[int, list[str]] = (0, [])
        self._environment: Found | None = None
        self._pending: list[Pending] = []

    def begin(
        self, log: journal.RunJournal, write: Callable[[Found], None]
    ) -> tuple[list[Found], int]:
        """What is known now; the rest is written to the run's journal when it is.

        Args:
            write: writes what was found later; called in another thread.
        Returns:
            What is known, and how often `write` will be called.
        """
        with self._lock:
            known = []
            late: list[Pending] = []
            first = self._code is None
            for read in (self._read_code_now, self._read_environment_now):
                found = read()
                if isinstance(found, Pending):
                    known.append(found.early)
                    late.append(found)
                else:
                    known.append(found)
            for item in late:
                item.tell(log.run_id, write)
            if not first and not late and self._look() != self._fingerprint:
                known.append(self._disk())
            return known, len(late)

    def wait(self, run_id: str) -> bool:
        """Wait until everything about a run is in its journal; whether it is."""
        with self._lock:
            pending = [item for item in self._pending if item.concerns(run_id)]
        return all(item.done.wait(_PATIENCE_S) for item in pending)

    def after_fork(self) -> None:
        """In a forked child: the thread that was reading is the parent's."""
        self._lock = threading.RLock()
        self._pending = []

    # -- code ----------------------------------------------------------------------------

    def _read_code_now(self) -> Found | Pending:
        if self._code is not None:
            return self._as_found(self._code)
        for item in self._pending:
            if item.what == "code":
                return item
        self._fingerprint = self._look()
        git = self._git
        if git is None or not self._config.source_capture:
            self._code = Code({}, Source(), {}, ())
            return Found()
        from gittrack.store import source as source_room

        head: Head | None = None
        try:
            head = source_room.head_state(git)
            if not head.dirty and not self._config.source_untracked:
                return self._take_code(self._read_code(git, head))
        except (GittrackError, OSError) as error:
            return self._take_code(self._failed_code(head, error))
        # Hashing what changed takes tens of milliseconds; commit and branch are known already.
        found = head
        early = self._as_found(self._code_of(_only_head(found), {}, ()))._replace(source=None)
        return self._start(
            "code", lambda: self._take_code(self._read_code_safely(git, found)), early
        )

    def _take_code(self, code: Code) -> Found:
        self._code = code
        return self._as_found(code)

    def _as_found(self, code: Code) -> Found:
        return Found(code.facts, code, warnings=code.warnings, redacted=code.redacted)

    def _read_code_safely(self, git: Git, head: Head) -> Code:
        # A git of its own: the other thread may be talking to the helper of the first.
        mine = git.another()
        try:
            return self._read_code(mine, head)
        except (GittrackError, OSError) as error:
            return self._failed_code(head, error)
        finally:
            mine.close()

    def _read_code(self, git: Git, head: Head) -> Code:
        snapshot = self._snapshot(git, head)
        return self._code_of(snapshot.source, dict(snapshot.overlay), snapshot.warnings)

    def _failed_code(self, head: Head | None, error: Exception) -> Code:
        found = Source() if head is None else _only_head(head)
        return self._code_of(found, {}, (f"the source could not be recorded: {short(error)}",))

    def _code_of(self, found: Source, overlay: dict[str, bytes], warnings: tuple[str, ...]) -> Code:
        remote = _remote_url(self._git_config, found.branch)
        hits: list[str] = []
        if remote:
            remote, hits = redact.redact_url(remote, self._config.redact_allow)
        found = found._replace(remote=remote)
        facts = {
            "base": found.base,
            "branch": found.branch,
            "commit": found.commit,
            "dirty": found.dirty,
            "remote": found.remote,
            "state": found.state,
            "tree": found.tree,
        }
        hidden = tuple(f"remote: {hit}" for hit in hits)
        return Code(facts, found, overlay, tuple(warnings), hidden)

    def _snapshot(self, git: Git, head: Head) -> Snapshot:
        with forking.unforked():
            import tempfile

            from gittrack.store import source as source_room

            tempfile.gettempdir()

        def withhold(path: str, data: bytes) -> str | None:
            return redact.file_reason(
                path, data, withhold=self._config.source_withhold, allow=self._config.redact_allow
            )

        with tempfile.TemporaryDirectory(prefix="gittrack-") as scratch:
            return source_room.snapshot(
                git,
                head,
                scratch,
                untracked=self._config.source_untracked,
                max_bytes=self._config.source_max_bytes,
                withhold=withhold,
            )

    def _look(self) -> tuple[Any, ...]:
        """Changes when HEAD, the staging area or a loaded file of the worktree does."""
        git = self._git
        if git is None or git.worktree is None:
            return ()
        paths = [os.path.join(git.git_dir, "HEAD"), os.path.join(git.git_dir, "index")]
        if len(sys.modules) != self._loaded[0]:
            # Asking a thousand modules for their files costs as much as writing the journal.
            self._loaded = len(sys.modules), _loaded_files(git.worktree)
        paths += self._loaded[1]
        return tuple(_stat(path) for path in paths)

    def _disk(self) -> Found:
        """The files have changed since this process read them: record both."""
        git = self._git
        before = self._code
        if git is None or before is None or not self._config.source_capture:
            return Found()
        from gittrack.store import source as source_room

        look = self._look()
        head: Head | None = None
        try:
            head = source_room.head_state(git)
            now = self._read_code(git, head)
        except (GittrackError, OSError) as error:
            now = self._failed_code(head, error)
        if now.source.tree == before.source.tree:
            # Only touched; remember the new look of the same bytes.
            self._fingerprint = look
            return Found()
        return Found(disk=now, warnings=(_CHANGED,))

    # -- environment ---------------------------------------------------------------------

    def _read_environment_now(self) -> Found | Pending:
        if not self._config.environment_capture:
            return Found()
        if self._environment is not None:
            return self._environment
        for item in self._pending:
            if item.what == "environment":
                return item
        from gittrack.capture import environment

        worktree = None if self._git is None else self._git.worktree
        key = environment.look(worktree)
        found = environment.known(self._folder, key)
        if found is not None:
            self._environment = _of_environment(found)
            return self._environment
        return self._start("environment", lambda: self._read_environment(worktree, key))

    def _read_environment(self, worktree: str | None, key: str) -> Found:
        from gittrack.capture import environment

        try:
            # It imports, and so would any worker that is forked meanwhile.
            with forking.unforked():
                found, checkouts = environment.read(worktree, self._config.redact_allow)
            environment.remember(self._folder, key, found, checkouts)
        except Exception as error:
            # The metadata of other people's packages may raise anything; the run goes on.
            result = Found(warnings=(f"the environment could not be recorded: {short(error)}",))
        else:
            result = _of_environment(found)
        self._environment = result
        return result

    # -- the thread ----------------------------------------------------------------------

    def _start(self, what: str, read: Callable[[], Found], early: Found | None = None) -> Pending:
        pending = Pending(what, early or Found())
        self._pending.append(pending)
        thread = threading.Thread(
            target=self._finish, args=(pending, read), name=f"gittrack-{what}", daemon=True
        )
        thread.start()
        return pending

    def _finish(self, pending: Pending, read: Callable[[], Found]) -> None:
        try:
            found = read()
        except Exception as error:
            found = Found(warnings=(f"the {pending.what} could not be recorded: {short(error)}",))
        with self._lock:
            if pending in self._pending:
                self._pending.remove(pending)
            pending.found(found)


class Pending:
    """Something that is being read, what is known of it already, and the runs that wait."""

    def __init__(self, what: str, early: Found) -> None:
        self.what = what
        self.early = early
        self.done = threading.Event()
        self._waiting: dict[str, Callable[[Found], None]] = {}

    def tell(self, run_id: str, write: Callable[[Found], None]) -> None:
        """Have it written to a run's journal."""
        self._waiting[run_id] = write

    def concerns(self, run_id: str) -> bool:
        """Whether that run waits for it."""
        return run_id in self._waiting

    def found(self, found: Found) -> None:
        """Write it to every journal that waits."""
        for write in self._waiting.values():
            write(found)
        self.done.set()


def merge(found: Sequence[Found]) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """The facts of all, their warnings as notes, and what was redacted."""
    facts: dict[str, Any] = {}
    notes: dict[str, str] = {}
    redacted: list[str] = []
    for item in found:
        facts.update(item.facts)
        notes.update({warning_key(text): text for text in item.warnings})
        redacted += item.redacted
    return facts, notes, redacted


def source_records(log: journal.RunJournal, found: Sequence[Found]) -> list[tuple[str, object]]:
    """The records of a journal that say what source ran; changed files are copied beside it."""
    records: list[tuple[str, object]] = []
    for item in found:
        for op, code in (("S", item.source), ("D", item.disk)):
            if code is None:
                continue
            lines = encode_source(code.source)
            if op == "D":
                lines = {**lines, "commit": code.source.commit, "tree": code.source.tree}
            if not lines:
                continue
            overlay = []
            for path, data in code.overlay.items():
                staged = log.stage(data, len(data))
                assert staged is not None
                overlay.append([path, staged[0]])
            records.append((op, {"lines": lines, "overlay": overlay}))
    return records


def _of_environment(found: Environment) -> Found:
    return Found({"env": found.digest}, warnings=found.notes, redacted=found.redacted)


def _only_head(head: Head) -> Source:
    return Source(head.commit, branch=head.branch, dirty=head.dirty, state=head.state)


def short(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, GittrackError):
        return f"{error.message} ({error.why})" if error.why else error.message
    return str(error) or type(error).__name__


def _remote_url(git_config: Mapping[str, list[str]], branch: str | None) -> str | None:
    remote = "origin"
    if branch and (named := git_config.get(f"branch.{branch}.remote")):
        remote = named[-1]
    urls = git_config.get(f"remote.{remote}.url")
    return urls[0] if urls else None


def _loaded_files(worktree: str) -> list[str]:
    prefix = worktree.rstrip(os.sep) + os.sep
    files = []
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        if isinstance(path, str) and path.startswith(prefix) and "site-packages" not in path:
            files.append(path)
    return sorted(files)


def _stat(path: str) -> tuple[str, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return path, found.st_mtime_ns, found.st_size
