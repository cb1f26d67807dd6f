"""The writing side of a repository in one process: begin runs, end them, seal them."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack import journal
from gittrack.capture import process, redact
from gittrack.config import Config
from gittrack.core import codec, names
from gittrack.core.model import Source
from gittrack.core.record import encode_source
from gittrack.errors import GittrackError
from gittrack.repo.seal import Sealing, seal
from gittrack.store.git import Git
from gittrack.store.packs import join_small_packs
from gittrack.store.write import Person

if TYPE_CHECKING:
    from gittrack.store.source import Head, Snapshot


class Began(NamedTuple):
    """A run that has just been begun or resumed, and where to write it."""

    run_id: str
    name: str
    experiment_id: str
    experiment: str
    start_ms: int
    journal: journal.RunJournal
    author: str
    resumed: bool = False
    params: Mapping[str, Any] = {}


class _Code(NamedTuple):
    """The code of this process, as it was when its first run began."""

    facts: dict[str, Any]
    source: Source
    overlay: dict[str, bytes]
    warnings: tuple[str, ...]
    fingerprint: tuple[Any, ...]
    redacted: tuple[str, ...] = ()


class Recorder:
    """Begins, ends and seals the runs of this process in one repository.

    Args:
        git: the repository that gets the runs; None when there is only a journal folder.
        code_git: the repository of the code that runs; usually the same one.
        journal_dir: where journals go.
        seals: whether ended runs are committed from here.
    """

    def __init__(
        self,
        git: Git | None,
        code_git: Git | None,
        journal_dir: str,
        config: Config,
        git_config: Mapping[str, list[str]],
        *,
        seals: bool,
        warn: Callable[[str], None],
    ) -> None:
        self._git = git
        self._code_git = code_git
        self._dir = journal_dir
        self._config = config
        self._git_config = git_config
        self._seals = seals and git is not None
        self._warn = warn
        self._code: _Code | None = None
        self._last_start_ms = 0
        self._ended: list[tuple[journal.RunJournal, bool]] = []
        # Re-entrant both: a signal handler may end runs in the middle of either.
        self._wake = threading.Condition(threading.RLock())
        self._sealing = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closing = False
        os.register_at_fork(after_in_child=self._after_fork)

    # -- begin ---------------------------------------------------------------------------

    def begin(
        self,
        *,
        name: str,
        experiment: tuple[str, str],
        parent: str | None,
        notes: Mapping[str, Any],
    ) -> Began:
        """Begin a run: its journal holds all facts before this returns.

        Raises:
            JournalError: the journal cannot be written.
        """
        # Two runs of one process never start at once, so "newest first" is their order.
        start_ms = self._last_start_ms = max(time.time_ns() // 1_000_000, self._last_start_ms + 1)
        run_id = names.new_run_id(start_ms, os.urandom(6))
        name = names.check_run_name(name) or names.random_name(os.urandom(4))
        who = process.identity(self._git_config, os.environ)
        code, first = self._current_code()
        argv, hidden = redact.redact_argv(process.command_line(), self._config.redact_allow)
        author = f"{who.name} <{who.email}>"
        facts: dict[str, Any] = {
            "argv": argv,
            "author": author,
            "author_source": who.source,
            "entry": process.entry_script(self._code_git.worktree if self._code_git else None),
            "experiment": experiment[0],
            "host": process.host_name(),
            "id": run_id,
            "parent": parent,
            "python": ".".join(map(str, sys.version_info[:3])),
            "redacted": [*(f"argv: {hit}" for hit in hidden), *code.redacted],
            "start": codec.format_time(start_ms),
            **code.facts,
        }
        facts = {key: value for key, value in facts.items() if value not in (None, "", [])}
        owner = self._owner()
        log = journal.RunJournal(self._dir, run_id, owner)
        log.begin(
            [
                ("J", self._header(run_id, owner, experiment=list(experiment))),
                ("R", facts),
                *self._source_records(log, code),
            ]
        )
        more = {"name": name, **notes}
        for warning in code.warnings:
            more[_warning_key(warning)] = warning
        if not first and self._fingerprint() != code.fingerprint:
            self._add_disk(log, more)
        log.stamp(more)
        self._start_keeper()
        return Began(run_id, name, experiment[0], experiment[1], start_ms, log, author)

    def resume(
        self,
        run_id: str,
        *,
        name: str,
        experiment: tuple[str, str],
        start_ms: int,
        author: str,
        params: Mapping[str, Any],
        next_steps: Mapping[str, int],
        clock: int,
        notes: Mapping[str, Any],
    ) -> Began:
        """Go on with a run that has ended; this process becomes a further writer of it."""
        code, _ = self._current_code()
        argv, hidden = redact.redact_argv(process.command_line(), self._config.redact_allow)
        facts: dict[str, Any] = {
            "argv": argv,
            "host": process.host_name(),
            "redacted": [*(f"argv: {hit}" for hit in hidden), *code.redacted],
            "start": codec.format_time(time.time_ns() // 1_000_000),
            **code.facts,
        }
        facts = {key: value for key, value in facts.items() if value not in (None, "", [])}
        owner = self._owner()
        log = journal.RunJournal(self._dir, run_id, owner, resumes=True)
        header = self._header(run_id, owner, resumes=True, writer_facts=facts)
        log.begin([("J", header)])
        log.resume(next_steps, clock)
        if notes:
            log.stamp(notes)
        self._start_keeper()
        return Began(run_id, name, *experiment, start_ms, log, author, resumed=True, params=params)

    def _owner(self) -> journal.Owner:
        return journal.own(self._dir, process.host_name(), process.boot_id())

    def _header(self, run_id: str, owner: journal.Owner, **more: Any) -> dict[str, Any]:
        return {"format": journal.FORMAT, "run": run_id, "writer": owner.writer, **more}

    def join_from_fork(self, log: journal.RunJournal) -> None:
        """In a forked child: let it write to its parent's run, as a writer of its own."""

        def reopen() -> tuple[journal.Owner, dict[str, Any]]:
            owner = self._owner()
            now = codec.format_time(time.time_ns() // 1_000_000)
            facts = {"host": process.host_name(), "start": now}
            header = self._header(log.run_id, owner, resumes=True, joins=True, writer_facts=facts)
            return owner, header

        log.leave_to_parent(reopen)

    # -- source --------------------------------------------------------------------------

    def _current_code(self) -> tuple[_Code, bool]:
        """The code of this process, and whether it has been read just now."""
        if self._code is not None:
            return self._code, False
        self._code = self._read_code()
        return self._code, True

    def _read_code(self) -> _Code:
        fingerprint = self._fingerprint()
        git = self._code_git
        if git is None or not self._config.source_capture:
            return _Code({}, Source(), {}, (), fingerprint)
        from gittrack.store import source as source_room

        warnings: list[str] = []
        head: Head | None = None
        try:
            head = source_room.head_state(git)
            snapshot = self._snapshot(git, head)
            found, overlay = snapshot.source, dict(snapshot.overlay)
            warnings.extend(snapshot.warnings)
        except (GittrackError, OSError) as error:
            warnings.append(f"the source could not be recorded: {_short(error)}")
            found, overlay = Source(), {}
            if head is not None:
                found = Source(head.commit, branch=head.branch, dirty=head.dirty, state=head.state)
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
        return _Code(facts, found, overlay, tuple(warnings), fingerprint, hidden)

    def _snapshot(self, git: Git, head: Head) -> Snapshot:
        import tempfile

        from gittrack.store import source as source_room

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

    def _source_records(
        self, log: journal.RunJournal, code: _Code, op: str = "S"
    ) -> list[tuple[str, object]]:
        lines = encode_source(code.source)
        if not lines:
            return []
        overlay = []
        for path, data in code.overlay.items():
            staged = log.stage(data, len(data))
            assert staged is not None
            overlay.append([path, staged[0]])
        return [(op, {"lines": lines, "overlay": overlay})]

    def _fingerprint(self) -> tuple[Any, ...]:
        """Changes when HEAD, the staging area or a loaded file of the worktree does."""
        git = self._code_git
        if git is None or git.worktree is None:
            return ()
        paths = [os.path.join(git.git_dir, "HEAD"), os.path.join(git.git_dir, "index")]
        paths += _loaded_files(git.worktree)
        return tuple(_stat(path) for path in paths)

    def _add_disk(self, log: journal.RunJournal, notes: dict[str, Any]) -> None:
        """The files have changed since this process read them: record both."""
        code = self._read_code()
        if code.source.tree == (self._code.source.tree if self._code else None):
            # Only touched; remember the new look of the same bytes.
            if self._code is not None:
                self._code = self._code._replace(fingerprint=code.fingerprint)
            return
        lines = {
            **encode_source(code.source),
            "commit": code.source.commit,
            "tree": code.source.tree,
        }
        overlay = []
        for path, data in code.overlay.items():
            staged = log.stage(data, len(data))
            assert staged is not None
            overlay.append([path, staged[0]])
        log.append("D", {"lines": lines, "overlay": overlay})
        text = (
            "the code on disk changed after this process had started; disk.yaml has the new state"
        )
        notes[_warning_key(text)] = text

    # -- end -----------------------------------------------------------------------------

    def end(self, began: Began, status: str, exit_code: int | None) -> None:
        """End a run; it is sealed within a second, or at exit."""
        end_ms = time.time_ns() // 1_000_000
        notes: dict[str, Any] = {"end": codec.format_time(end_ms), "status": status}
        if exit_code is not None:
            notes["exit"] = exit_code
        began.journal.stamp(notes)
        began.journal.append("E", notes)
        began.journal.close()
        with self._wake:
            self._ended.append((began.journal, not began.resumed))
            self._wake.notify()

    def flush(self) -> None:
        """Seal what has ended, now.

        Raises:
            GittrackError: the store could not be written; the journals stay.
        """
        with self._sealing:
            with self._wake:
                ended, self._ended = self._ended, []
            if not ended or not self._seals or self._git is None:
                return
            runs = []
            states: list[journal.State] = []
            for log, new in ended:
                found = journal.read_run(self._dir, log.run_id)
                mine = [state for state in found if state.writer == log.writer]
                for state in mine:
                    journal.parse(state, log.unwritten())
                if mine:
                    runs.append(Sealing(log.run_id, mine, new))
                    states.extend(mine)
            who = process.identity(self._git_config, os.environ)
            fsync = self._config.seal_fsync
            try:
                seal(self._git, runs, Person(who.name, who.email), fsync=fsync, now=time.time)
            except BaseException:
                with self._wake:
                    self._ended = ended + self._ended
                raise
            for state in states:
                journal.remove(state)
            join_small_packs(self._git, self._config.store_max_packs)

    def close(self) -> None:
        """Seal what has ended and stop; for the end of the process."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)
            self._thread = None
        try:
            self.flush()
        except (GittrackError, OSError) as error:
            self._warn(
                f"ended runs were not committed yet: {_short(error)}; next: gittrack recover"
            )
        else:
            if not any(journal.list_runs(self._dir)):
                journal.disown(self._dir)
        if self._git is not None:
            self._git.close()

    # -- the keeper ----------------------------------------------------------------------

    def _start_keeper(self) -> None:
        if self._thread is None:
            self._closing = False
            self._thread = threading.Thread(target=self._keep, name="gittrack", daemon=True)
            self._thread.start()

    def _keep(self) -> None:
        """Seal ended runs shortly after they end, and show other machines that we live."""
        delay_s, beat_s = self._config.seal_delay_s, self._config.journal_heartbeat_s
        warned = False
        while True:
            with self._wake:
                if not self._ended and not self._closing:
                    self._wake.wait(beat_s)
                if self._closing:
                    return
                # Runs that end together share one commit.
                if bool(self._ended) and self._wake.wait_for(lambda: self._closing, delay_s):
                    return
            # A missed beat matters to other machines only, and the next one makes up for it.
            with contextlib.suppress(OSError, GittrackError):
                self._owner().beat()
            try:
                self.flush()
            except (GittrackError, OSError) as error:
                # The journals are safe; the next round, the exit or `gittrack recover` seals.
                if not warned:
                    self._warn(f"ended runs were not committed yet: {_short(error)}")
                    warned = True
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, max(delay_s, 5.0))

    def _after_fork(self) -> None:
        # The child has no keeper thread, and the parent seals the runs that it ended.
        self._wake = threading.Condition(threading.RLock())
        self._sealing = threading.RLock()
        self._thread = None
        self._ended = []


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


def _short(error: BaseException) -> str:
    if isinstance(error, GittrackError):
        return f"{error.message} ({error.why})" if error.why else error.message
    return str(error)


def _warning_key(text: str) -> str:
    from gittrack.core.record import warning_key

    return warning_key(text)
