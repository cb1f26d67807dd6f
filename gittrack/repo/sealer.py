"""Commits the runs of this process shortly after they end, in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping

from gittrack import journal
from gittrack.capture import process
from gittrack.config import Config
from gittrack.errors import GittrackError
from gittrack.repo.alive import judge
from gittrack.repo.around import short
from gittrack.repo.seal import Sealing, seal
from gittrack.repo.values import Began
from gittrack.store.git import Git
from gittrack.store.packs import join_small_packs
from gittrack.store.write import Person

#: How long the end of a process waits for a commit that is being written.
_PATIENCE_S = 30.0
_LATE, _NEXT = "ended runs were not committed yet", "next: gittrack recover"


class Sealer:
    """The runs of this process that have ended and are not in the store yet.

    Args:
        git: the repository that gets them; None if journals are all there is.
        journal_dir: where their journals are.
        finish: completes and closes the journal of a run that has ended.
        owner: this process, as a writer of journals.
    """

    def __init__(
        self,
        git: Git | None,
        journal_dir: str,
        config: Config,
        git_config: Mapping[str, list[str]],
        *,
        finish: Callable[[Began], None],
        owner: Callable[[], journal.Owner],
        warn: Callable[[str], None],
    ) -> None:
        self._git = git
        self._dir = journal_dir
        self._config = config
        self._git_config = git_config
        self._finish = finish
        self._owner = owner
        self._warn = warn
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._ended: list[Began] = []
        # Re-entrant both: a signal handler may end runs in the middle of either.
        self._wake = threading.Condition(threading.RLock())
        self._sealing = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closing = False
        self._has_stopped = False

    def after_fork(self) -> None:
        """In a forked child: the thread is the parent's, and so are the runs that it ended."""
        self._begin_anew()

    def start(self) -> None:
        """Have the thread run, if it does not yet."""
        if self._thread is None:
            self._closing = self._has_stopped = False
            self._thread = threading.Thread(target=self._work, name="gittrack", daemon=True)
            self._thread.start()

    def add(self, began: Began) -> None:
        """A run that has ended; it is sealed within a second, or by `close`."""
        with self._wake:
            self._ended.append(began)
            self._wake.notify()

    def close(self) -> None:
        """Seal what has ended and stop; trouble is a warning, the journals stay."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            if self._thread is not None and self._thread is not threading.current_thread():
                # Not `join`: a signal handler may have cut in where this lock was held already,
                # and the thread needs it to stop. Waiting on the condition gives it up whole.
                has_stopped = self._wake.wait_for(lambda: self._has_stopped, _PATIENCE_S)
                self._thread = None
                if not has_stopped:
                    # git hangs, or the disk; it has what `flush` would wait for.
                    self._warn(f"{_LATE}: that takes more than {_PATIENCE_S:g} s; {_NEXT}")
                    return
        try:
            self.flush()
        except (GittrackError, OSError) as error:
            self._warn(f"{_LATE}: {short(error)}; {_NEXT}")
        else:
            if not any(journal.list_runs(self._dir)):
                journal.disown(self._dir)

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
            if not ended or self._git is None:
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
                folder = os.path.join(self._dir, run_id)
                new = new and not journal.is_partly_sealed(folder)
                runs[run_id] = Sealing(run_id, states, new)
        if not runs:
            return
        who = process.identity(self._git_config, os.environ)
        person = Person(who.name, who.email)
        fsync = self._config.seal_fsync
        aside = seal(git, list(runs.values()), person, fsync=fsync, now=time.time)
        for run in runs.values():
            for state in run.states if run.run_id not in aside else ():
                journal.remove(state)
        for error in aside.values():
            self._warn(f"a run was not committed yet: {short(error)}; next: {error.next}")
        join_small_packs(git, self._config.store_max_packs)

    def _seal_going(self) -> None:
        """Commit the runs of this process that go on, as far as they are."""
        from gittrack.repo.going import seal_going

        if self._git is None:
            return
        runs = ((run_id, journal.read_run(self._dir, run_id)) for run_id in self._own_runs())
        who = process.identity(self._git_config, os.environ)
        fsync = self._config.seal_fsync
        with self._sealing:
            seal_going(self._git, runs, Person(who.name, who.email), fsync=fsync)

    def _own_runs(self) -> list[str]:
        owner = self._owner().writer
        return [
            run_id
            for run_id in journal.list_runs(self._dir)
            if any(s.owner == owner and not s.end for s in journal.read_run(self._dir, run_id))
        ]

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
                judgement = judge(self._dir, state.owner, self._config, process.boot_id())
                if judgement.state == journal.DEAD:
                    dead.append(judgement)
                    journal.mark_killed(state)
                    ripe.append(state)
        return ripe

    def _is_own(self, state: journal.State) -> bool:
        return state.owner == self._owner().writer

    def _work(self) -> None:
        try:
            self._keep()
        finally:
            with self._wake:
                self._has_stopped = True
                self._wake.notify_all()

    def _keep(self) -> None:
        """Seal ended runs shortly after they end, and show other machines that we live."""
        delay_s, beat_s = self._config.seal_delay_s, self._config.journal_heartbeat_s
        every_s = self._config.seal_every_s
        next_s = time.monotonic() + every_s
        if every_s:
            beat_s = min(beat_s, every_s)
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
                if every_s and time.monotonic() >= next_s:
                    next_s = time.monotonic() + every_s
                    self._seal_going()
            except (GittrackError, OSError) as error:
                # The journals are safe; the next round, the exit or `gittrack recover` seals.
                if not warned:
                    self._warn(f"{_LATE}: {short(error)}")
                    warned = True
                with self._wake:
                    self._wake.wait_for(lambda: self._closing, max(delay_s, 5.0))
