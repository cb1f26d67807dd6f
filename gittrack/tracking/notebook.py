"""Runs in Jupyter and IPython: the cells that ran go with them, and magics record and show them.

    %load_ext gittrack

    %%run baseline -e iris --tag team=vision
    train()

A kernel outlives its runs, so what ends a script is only the end of a cell here. A run goes on
over cells; one that was forgotten is ended by the next `start_run` of a later cell, or by the
kernel's end: finished, or failed if the cell that began it had raised.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

from gittrack.capture import notebook
from gittrack.core.model import FINISHED, KILLED, RUNNING
from gittrack.tracking import fluent
from gittrack.tracking.active import ActiveRun, outcome

#: What a run's cells may take on disk while it goes on. After that they are written at its end.
_MOST_COPIED = 4_000_000


class _Followed(NamedTuple):
    """A run that a cell has begun: the cell's number among all that ran."""

    run: ActiveRun
    cell: int


class Watch:
    """What goes on in this shell: the cell that runs, and the runs that go on.

    Args:
        shell: IPython's.
    """

    def __init__(self, shell: Any) -> None:
        self._pid = os.getpid()
        # IPython's own list is emptied by %reset, and before the process ends.
        history = getattr(shell, "history_manager", None)
        self._sources: list[str] = list(getattr(history, "input_hist_raw", ()))
        self._cell = 0
        self._is_in_cell = len(self._sources) > 1
        #: How the cells ended that did not end well.
        self._raised: dict[int, str] = {}
        self._followed: dict[str, _Followed] = {}
        self._copied: dict[str, int] = {}
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)

    @property
    def is_here(self) -> bool:
        """Whether this is the process that runs the shell's cells."""
        return os.getpid() == self._pid

    def follow(self, run: ActiveRun) -> None:
        """Keep the cells with a run that the current cell has begun.

        One that no cell has begun, as in `ipython train.py`, is a script's and ends as such.
        """
        if self._is_in_cell:
            self._followed[run.id] = _Followed(run, self._cell)
            self._write(run)

    def leave(self, run: ActiveRun) -> None:
        """Write the cells of a run that is about to end."""
        if self._followed.pop(run.id, None) is not None:
            self._write(run, is_last=True)
            self._copied.pop(run.id, None)

    def end_forgotten(self, runs: Sequence[ActiveRun]) -> bool:
        """End runs that cells before this one have begun; whether all of them are such.

        Args:
            runs: the innermost last.
        """
        found = [self._followed.get(run.id) for run in runs]
        if not self._is_in_cell or any(item is None or item.cell == self._cell for item in found):
            return False
        for run in reversed(runs):
            status = self._status_of(run)
            run.note(
                f"run {run.name} was still active when a later cell started another one, and was "
                f"ended as {status}; `with gittrack.start_run():` ends it with its cell, and "
                "start_run(nested=True) starts one inside it"
            )
            fluent.leave(run, status, None)
        return True

    def _status_of(self, run: ActiveRun) -> str:
        followed = self._followed.get(run.id)
        return FINISHED if followed is None else self._raised.get(followed.cell, FINISHED)

    def _before_cell(self, info: Any) -> None:
        if info.silent:
            return
        self._cell += 1
        self._is_in_cell = True
        if info.store_history:
            self._sources.append(info.raw_cell)
            for run, _ in list(self._followed.values()):
                if run.status == RUNNING:
                    self._write(run)
                else:
                    self.leave(run)

    def _after_cell(self, result: Any) -> None:
        # IPython has shown it already, and goes on: it is no end of the process.
        fluent._session.outcome = FINISHED, None
        self._is_in_cell = False
        if result is None:
            self._raised[self._cell] = KILLED
        elif not result.success:
            self._raised[self._cell], _ = outcome(result.error_before_exec or result.error_in_exec)

    def _write(self, run: ActiveRun, *, is_last: bool = False) -> None:
        copied = self._copied.get(run.id, 0)
        cells = notebook.list_cells(self._sources)
        if cells and (copied <= _MOST_COPIED or is_last):
            self._copied[run.id] = copied + run.log_cells(cells)

    def end_all(self) -> None:
        """End the runs that cells have begun, for the kernel ends: killed if it cuts one short."""
        for run, _ in reversed(list(self._followed.values())):
            fluent.leave(run, KILLED if self._is_in_cell else self._status_of(run), None)


#: One for a process; a shell there is only one of, too.
_watch: Watch | None = None


def find_watch() -> Watch | None:
    """The watch of this process's shell, from now on if there was none; None without a shell."""
    global _watch
    if _watch is None:
        shell = notebook.find_shell()
        if shell is not None and hasattr(shell, "events"):
            _watch = Watch(shell)
    # A forked child has the shell's memory and runs none of its cells.
    return _watch if _watch is not None and _watch.is_here else None
