"""The writing side of a repository in one process: begin runs, end them, seal them."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from gittrack import journal
from gittrack.capture import process, redact
from gittrack.config import Config
from gittrack.core import codec, names
from gittrack.core.record import REDACTED_PREFIX, warning_key
from gittrack.repo.around import Around, Found, merge, short, source_records
from gittrack.repo.sealer import Sealer
from gittrack.repo.values import Began, NewRun, Older
from gittrack.store.git import Git

if TYPE_CHECKING:
    from gittrack.capture.cells import CellOutput
    from gittrack.capture.output import Output
    from gittrack.store.odb import Odb


class _Later:
    """Writes what is found out about a run after it has begun, and when all of it is written.

    From then on the journal is settled: what is written once of the run will not change any more,
    so the run may be committed while it goes on.
    """

    def __init__(self, log: journal.RunJournal, op: str) -> None:
        self._log = log
        self._op = op
        self._lock = threading.Lock()
        self._written = 0
        self._expected: int | None = None

    def expect(self, count: int) -> bool:
        """Say how much is to come; whether all of it has come already."""
        with self._lock:
            self._expected = count
            return self._written >= count

    def __call__(self, found: Found) -> None:
        """Write it to the journal."""
        log, op = self._log, self._op
        facts, notes, hidden = merge([found])
        notes.update(_redacted_notes(hidden))
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
        with self._lock:
            self._written += 1
            is_last = self._expected is not None and self._written >= self._expected
        if is_last:
            log.append("J", {"settled": True})


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
        environments = os.path.join(journal_dir, journal.ENVIRONMENTS)
        self._around = Around(code_git, config, git_config, environments)
        self._output: Output | CellOutput | None = None
        self._captures = True
        #: Why what is printed cannot be recorded, if it cannot.
        self._trouble = ""
        self._last_start_ms = 0
        self._objects: Odb | None = None
        self._sealer = Sealer(
            git if seals else None, journal_dir, config, git_config,
            finish=self._finish, owner=self._owner, warn=warn,
        )  # fmt: skip
        os.register_at_fork(after_in_child=self._after_fork)

    def objects(self) -> Odb:
        """The object store that large artifacts of these runs go to."""
        if self._objects is None:
            from gittrack.repo.objects import open_objects

            common_dir = self._git.common_dir if self._git is not None else None
            worktree = self._code_git.worktree if self._code_git is not None else None
            self._objects = open_objects(self._dir, common_dir, worktree)
        return self._objects

    # -- begin ---------------------------------------------------------------------------

    def begin(self, new: NewRun, experiment: tuple[str, str]) -> Began:
        """Begin a run: its journal holds all facts before this returns.

        Args:
            experiment: id and name of the one that it belongs to.
        Raises:
            JournalError: the journal cannot be written.
        """
        # Two runs of one process never start at once, so "newest first" is their order.
        start_ms = self._last_start_ms = max(time.time_ns() // 1_000_000, self._last_start_ms + 1)
        run_id = names.new_run_id(start_ms, os.urandom(6))
        given = names.check_run_name(new.name)
        name = given or names.random_name(os.urandom(4))
        who = process.identity(self._git_config, os.environ)
        author = f"{who.name} <{who.email}>"
        owner = self._owner()
        log = journal.RunJournal(self._dir, run_id, owner)
        later = _Later(log, "R")
        found, late = self._around.begin(log, later)
        around, more, hidden = merge(found)
        worktree = self._code_git.worktree if self._code_git else None
        facts = self._facts(start_ms, hidden, new.argv)
        facts.update(
            author=author,
            author_source=who.source,
            entry=process.entry_script(worktree) if new.argv is None else "",
            experiment=experiment[0],
            id=run_id,
            parent=new.parent,
            python=".".join(map(str, sys.version_info[:3])) if new.argv is None else "",
            **around,
        )
        header = self._header(run_id, owner, experiment=list(experiment))
        if later.expect(late):
            header["settled"] = True
        if not given:
            header["unnamed"] = True
        if new.is_open:
            header["open"] = True
        log.begin([("J", header), ("R", _known(facts)), *source_records(log, found)])
        log.stamp({"name": name, **more, **new.notes})
        began = Began(run_id, name, experiment[0], experiment[1], start_ms, log, author)
        self._go(began, captures=new.captures)
        return began

    def go_on(
        self,
        older: Older,
        notes: Mapping[str, Any],
        *,
        name: str = "",
        joins: bool = False,
        is_step: bool = False,
    ) -> Began:
        """Go on with a run; this process becomes a further writer of it.

        Args:
            name: what the run is called from now on, if not as before.
            joins: somebody else ends the run.
            is_step: a single step from the command line; it leaves no trace of its own.
        """
        owner = self._owner()
        log = journal.RunJournal(self._dir, older.run_id, owner, resumes=True)
        header = self._header(older.run_id, owner, resumes=True)
        if joins:
            header["joins"] = True
        records: list[tuple[str, object]] = [("J", header)]
        more: dict[str, Any] = {}
        if is_step:
            header["step"] = header["settled"] = True
        else:
            later = _Later(log, "W")
            found, late = self._around.begin(log, later)
            if later.expect(late):
                header["settled"] = True
            around, more, hidden = merge(found)
            facts = self._facts(time.time_ns() // 1_000_000, hidden)
            # run.yaml says what was redacted for its writer; for others a note does.
            more.update(_redacted_notes(facts["redacted"]))
            records.append(("W", _known({**facts, **around})))
        log.begin(records)
        log.resume(older.next_steps, older.clock)
        if more or notes:
            log.stamp({**more, **notes})
        began = Began(
            older.run_id, name or older.name, *older.experiment, older.start_ms, log, older.author,
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

    def _go(self, began: Began, *, captures: bool = True) -> None:
        if captures:
            self._capture(began)
        self._sealer.start()

    def _capture(self, began: Began) -> None:
        """Record what is printed from now on; if that cannot be, the run says so."""
        if not self._captures or not self._config.output_capture:
            return
        from gittrack.capture import output

        try:
            if self._output is None and not self._trouble:
                config = self._config
                self._output = output.start(config.output_max_bytes, config.redact_allow)
                self._captures = self._output is not None
            if self._output is not None and self._output.is_here:
                self._output.begin(began.journal.path)
        except OSError as error:
            self._trouble = short(error)
        if self._output is not None and self._output.lost:
            self._trouble = "the process that wrote it down died"
        if self._trouble:
            text = f"output could not be recorded: {self._trouble}"
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
            header = self._header(log.run_id, owner, resumes=True, joins=True, settled=True)
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
        self._sealer.add(began)

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
        self._sealer.flush()

    def close(self) -> None:
        """Seal what has ended and stop; for the end of the process."""
        self._sealer.close()
        if self._output is not None:
            self._output.stop()
            self._output = None
        if self._git is not None:
            self._git.close()

    def _after_fork(self) -> None:
        self._sealer.after_fork()
        self._around.after_fork()


def _redacted_notes(hits: Iterable[str]) -> dict[str, str]:
    return {REDACTED_PREFIX + hit: "once" for hit in hits}


def _known(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in facts.items() if value not in (None, "", [])}
