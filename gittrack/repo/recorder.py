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
from gittrack.core.model import KILLED, Stamp
from gittrack.core.record import REDACTED_PREFIX, warning_key
from gittrack.errors import GittrackError
from gittrack.repo.around import Around, Found, merge, short, source_records
from gittrack.repo.seal import Sealing, seal
from gittrack.store.git import Git
from gittrack.store.packs import join_small_packs
from gittrack.store.write import Person

if TYPE_CHECKING:
    from gittrack.capture.output import Output


class Began(NamedTuple):
    """A run that has just been begun, resumed or joined, and where to write it.

    `resumed` says that the run is older than this journal, `joined` that somebody else ends it.
    """

    run_id: str
    name: str
    experiment_id: str
    experiment: str
    start_ms: int
    journal: journal.RunJournal
    author: str
    resumed: bool = False
    joined: bool = False
    params: Mapping[str, Any] = {}


class Older(NamedTuple):
    """A run that a process goes on with: who it is, and what its writers have said so far."""

    run_id: str
    name: str
    experiment: tuple[str, str]
    start_ms: int
    author: str
    params: Mapping[str, Any]
    next_steps: Mapping[str, int]
    clock: int


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
        environments = os.path.join(journal_dir, journal.ENVIRONMENTS)
        self._around = Around(code_git, config, git_config, environments)
        self._output: Output | None = None
        self._captures = True
        self._last_start_ms = 0
        self._ended: list[Began] = []
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
        argv: list[str] | None = None,
        is_open: bool = False,
        captures: bool = True,
    ) -> Began:
        """Begin a run: its journal holds all facts before this returns.

        Args:
            argv: the command line, if it is not this process's own.
            is_open: the run goes on without a process, until somebody ends it.
            captures: whether what this process prints belongs to it.
        Raises:
            JournalError: the journal cannot be written.
        """
        # Two runs of one process never start at once, so "newest first" is their order.
        start_ms = self._last_start_ms = max(time.time_ns() // 1_000_000, self._last_start_ms + 1)
        run_id = names.new_run_id(start_ms, os.urandom(6))
        given = names.check_run_name(name)
        name = given or names.random_name(os.urandom(4))
        who = process.identity(self._git_config, os.environ)
        author = f"{who.name} <{who.email}>"
        owner = self._owner()
        log = journal.RunJournal(self._dir, run_id, owner)
        found = self._around.begin(log, self._writes_later(log, "R"))
        around, more, hidden = merge(found)
        worktree = self._code_git.worktree if self._code_git else None
        facts = self._facts(start_ms, hidden, argv)
        facts.update(
            author=author,
            author_source=who.source,
            entry=process.entry_script(worktree) if argv is None else "",
            experiment=experiment[0],
            id=run_id,
            parent=parent,
            python=".".join(map(str, sys.version_info[:3])) if argv is None else "",
            **around,
        )
        header = self._header(run_id, owner, experiment=list(experiment))
        if not given:
            header["unnamed"] = True
        if is_open:
            header["open"] = True
        log.begin([("J", header), ("R", _known(facts)), *source_records(log, found)])
        log.stamp({"name": name, **more, **notes})
        began = Began(run_id, name, experiment[0], experiment[1], start_ms, log, author)
        self._go(began, captures=captures)
        return began

    def resume(
        self, older: Older, notes: Mapping[str, Any], *, name: str, is_step: bool = False
    ) -> Began:
        """Go on with a run that has ended; this process becomes a further writer of it.

        Args:
            is_step: a single step from the command line; it leaves no trace of its own.
        """
        return self._go_on(older, notes, name=name, joins=False, is_step=is_step)

    def join(
        self, older: Older, notes: Mapping[str, Any], *, name: str, is_step: bool = False
    ) -> Began:
        """Write to a run that somebody else ends.

        Args:
            is_step: a single step from the command line; it leaves no trace of its own.
        """
        return self._go_on(older, notes, name=name, joins=True, is_step=is_step)

    def _go_on(
        self,
        older: Older,
        notes: Mapping[str, Any],
        *,
        name: str,
        joins: bool,
        is_step: bool = False,
    ) -> Began:
        owner = self._owner()
        log = journal.RunJournal(self._dir, older.run_id, owner, resumes=True)
        header = self._header(older.run_id, owner, resumes=True)
        if joins:
            header["joins"] = True
        records: list[tuple[str, object]] = [("J", header)]
        more: dict[str, Any] = {}
        if is_step:
            header["step"] = True
        else:
            found = self._around.begin(log, self._writes_later(log, "W"))
            around, more, hidden = merge(found)
            facts = self._facts(time.time_ns() // 1_000_000, hidden)
            records.append(("W", _known({**facts, **around})))
        log.begin(records)
        log.resume(older.next_steps, older.clock)
        if more or notes:
            log.stamp({**more, **notes})
        began = Began(
            older.run_id, name, *older.experiment, older.start_ms, log, older.author,
            resumed=True, joined=joins, params=older.params,
        )  # fmt: skip
        if is_step:
            return began
        self._go(began)
        return began

    def _facts(
        self, start_ms: int, hidden: list[str], argv: list[str] | None = None
    ) -> dict[str, Any]:
        """What every writing process says of itself."""
        if argv is None:
            argv = process.command_line()
        argv, hits = redact.redact_argv(argv, self._config.redact_allow)
        return {
            "argv": argv,
            "host": process.host_name(),
            "redacted": [*(f"argv: {hit}" for hit in hits), *hidden],
            "start": codec.format_time(start_ms),
            **process.ranks(os.environ),
        }

    def _writes_later(self, log: journal.RunJournal, op: str) -> Callable[[Found], None]:
        def write(found: Found) -> None:
            facts, notes, _ = merge([found])
            try:
                if facts:
                    log.append(op, _known(facts))
                if op == "R":
                    for record in source_records(log, [found]):
                        log.append(*record)
            except OSError as error:
                text = f"the source could not be recorded: {short(error)}"
                notes[warning_key(text)] = text
            if notes:
                log.stamp(notes)

        return write

    def _go(self, began: Began, *, captures: bool = True) -> None:
        if captures:
            self._capture(began)
        self._start_keeper()

    def _capture(self, began: Began) -> None:
        """Record what is printed from now on; if that cannot be, the run says so, once."""
        if not self._captures or not self._config.output_capture:
            return
        from gittrack.capture import output

        try:
            if self._output is None:
                config = self._config
                self._output = output.start(config.output_max_bytes, config.redact_allow)
                self._captures = self._output is not None
            if self._output is not None and self._output.is_here:
                self._output.begin(began.journal.path)
        except OSError as error:
            self._captures = False
            text = f"output could not be recorded: {short(error)}"
            began.journal.stamp({warning_key(text): text})

    def _owner(self) -> journal.Owner:
        return journal.own(self._dir, process.host_name(), process.boot_id())

    def _header(self, run_id: str, owner: journal.Owner, **more: Any) -> dict[str, Any]:
        return {"format": journal.FORMAT, "run": run_id, "writer": owner.writer, **more}

    def join_from_fork(self, log: journal.RunJournal) -> None:
        """In a forked child: let it write to its parent's run, as a writer of its own."""

        def reopen() -> tuple[journal.Owner, list[tuple[str, object]]]:
            owner = self._owner()
            now = codec.format_time(time.time_ns() // 1_000_000)
            facts = {"host": process.host_name(), "start": now, **process.ranks(os.environ)}
            header = self._header(log.run_id, owner, resumes=True, joins=True)
            return owner, [("J", header), ("W", facts)]

        log.leave_to_parent(reopen)

    # -- end -----------------------------------------------------------------------------

    def leave_open(self, began: Began) -> None:
        """Let go of a run that goes on without a process, once its start is written whole."""
        self._await_around(began)
        began.journal.close()

    def _await_around(self, began: Began) -> None:
        if not self._around.wait(began.run_id):
            text = "source or environment were not recorded: reading them took too long"
            began.journal.stamp({warning_key(text): text})

    def end(self, began: Began, status: str, exit_code: int | None) -> None:
        """End a run; it is sealed within a second, or at exit.

        Of a run that somebody else ends, only this writer's part ends.
        """
        log = began.journal
        self._await_around(began)
        if self._output is not None and self._output.is_here:
            self._output.end(log.path)
        notes: dict[str, Any] = {
            "end": codec.format_time(time.time_ns() // 1_000_000),
            "status": status,
        }
        if exit_code is not None:
            notes["exit"] = exit_code
        if not began.joined:
            log.stamp(notes)
        log.append("E", notes)
        log.settle()
        with self._wake:
            self._ended.append(began)
            self._wake.notify()

    def _finish(self, began: Began) -> None:
        """Wait for what was printed, note what became of it, and close the journal."""
        log = began.journal
        ended = None if self._output is None else self._output.wait(log.path)
        if ended is not None:
            notes: dict[str, Any] = {}
            if ended.error:
                text = f"output is not recorded whole: {ended.error}"
                notes[warning_key(text)] = text
            for label, count in ended.redacted.items():
                times = "once" if count == 1 else f"{count} times"
                notes[f"{REDACTED_PREFIX}output: {label}"] = times
            if notes:
                log.stamp(notes)
        log.close()

    def flush(self) -> None:
        """Seal what has ended, now.

        Raises:
            GittrackError: the store could not be written; the journals stay.
        """
        with self._sealing:
            with self._wake:
                ended, self._ended = self._ended, []
            for began in ended:
                self._finish(began)
            if not ended or not self._seals or self._git is None:
                return
            dead: list[journal.Judgement] = []
            try:
                self._seal(self._git, ended, dead)
            except BaseException:
                with self._wake:
                    self._ended = ended + self._ended
                raise
            finally:
                for judgement in dead:
                    judgement.release()

    def _seal(self, git: Git, ended: list[Began], dead: list[journal.Judgement]) -> None:
        runs: dict[str, Sealing] = {}
        unwritten = {began.journal.path: began.journal.unwritten() for began in ended}
        for run_id in dict.fromkeys(began.run_id for began in ended):
            mine = {b.journal.writer: b for b in ended if b.run_id == run_id}
            states = self._ripe(journal.read_run(self._dir, run_id), mine, dead)
            for state in states:
                journal.parse(state, unwritten.get(os.path.join(state.folder, state.writer), b""))
            if states:
                new = any(not began.resumed for began in mine.values())
                runs[run_id] = Sealing(run_id, states, new)
        if not runs:
            return
        who = process.identity(self._git_config, os.environ)
        person = Person(who.name, who.email)
        seal(git, list(runs.values()), person, fsync=self._config.seal_fsync, now=time.time)
        for run in runs.values():
            for state in run.states:
                journal.remove(state)
        join_small_packs(git, self._config.store_max_packs)

    def _ripe(
        self,
        states: list[journal.State],
        mine: Mapping[str, Began],
        dead: list[journal.Judgement],
    ) -> list[journal.State]:
        """The journals of a run that may go into the store now.

        Those of this process's ended writers, and of others what they had added until then. What
        was added to a run that goes on waits for its end: without its first writer's facts the
        store would hold a damaged run.
        """
        if all(began.joined for began in mine.values()) and any(
            state.facts and state.writer not in mine for state in states
        ):
            return []
        is_over = any(began for began in mine.values() if not began.joined)
        ripe = []
        for state in states:
            is_mine = state.writer in mine
            if is_mine or (state.is_open and is_over) or (state.joins and state.end):
                ripe.append(state)
            elif state.joins and not self._is_own(state):
                judgement = self._judge(state.owner)
                if judgement.state == journal.DEAD:
                    dead.append(judgement)
                    mark_killed(state)
                    ripe.append(state)
        return ripe

    def _is_own(self, state: journal.State) -> bool:
        return state.owner == self._owner().writer

    def _judge(self, writer: str) -> journal.Judgement:
        return journal.judge(
            self._dir,
            writer,
            boot=process.boot_id(),
            lost_after_s=self._config.journal_lost_after_s,
            keep_s=self._config.journal_keep_days * 86400,
            force=False,
        )

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
            self._warn(f"ended runs were not committed yet: {short(error)}; next: gittrack recover")
        else:
            if not any(journal.list_runs(self._dir)):
                journal.disown(self._dir)
        if self._output is not None:
            self._output.stop()
            self._output = None
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
                    self._warn(f"ended runs were not committed yet: {short(error)}")
                    warned = True
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, max(delay_s, 5.0))

    def _after_fork(self) -> None:
        # The child has no keeper thread, and the parent seals the runs that it ended.
        self._wake = threading.Condition(threading.RLock())
        self._sealing = threading.RLock()
        self._thread = None
        self._ended = []
        self._around.after_fork()


def mark_killed(state: journal.State) -> None:
    """The end that a writer could not write: killed, when it last wrote.

    Of a run that somebody else ends, only this writer's part ended so.
    """
    last_ms = state.last_written_ms()
    end = codec.format_time(last_ms)
    state.end = {"status": KILLED, "end": end}
    if not state.joins:
        t = max([last_ms, *(stamp.t + 1 for stamp in state.notes.values())])
        state.notes["status"] = Stamp(KILLED, t, state.writer)
        state.notes["end"] = Stamp(end, t, state.writer)


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value not in (None, "", [])}
