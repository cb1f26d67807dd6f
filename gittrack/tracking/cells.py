"""Keep the cells of a notebook with a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gittrack.core.model import RUNNING
from gittrack.core.record import REDACTED_PREFIX

if TYPE_CHECKING:
    from gittrack.capture.notebook import Cell
    from gittrack.config import Config
    from gittrack.journal import RunJournal
    from gittrack.repo.values import Began


class Cells(ABC):
    """The part of `ActiveRun` that keeps cells."""

    _began: Began
    _journal: RunJournal
    _config: Config
    _status: str
    #: What was written last.
    _cells = ""

    def log_cells(self, cells: Sequence[Cell]) -> int:
        """Keep the source of a notebook's cells without secrets; the bytes that were written.

        Nothing is written if nothing has changed since the last time, or the run has ended.
        """
        from gittrack.capture.notebook import render_cells

        text, hits = render_cells(cells, self._config.redact_allow)
        if text == self._cells or self._status is not RUNNING:
            return 0
        # Another kernel may have its cells with the run.
        is_first = not (self._began.resumed or self._began.joined)
        name = "cells.py" if is_first else f"cells-{self._journal.writer}.py"
        data = text.encode("utf-8", "surrogatepass")
        try:
            staged = self._journal.stage(data, len(data))
        except OSError as error:
            self.note(f"the notebook's cells were not kept: {error.strerror or error}")
            return 0
        assert staged is not None
        file, size = staged
        self._journal.add_artifact(f"notebook/{name}", size, "644", file=file)
        if hits:
            times = {hit: hits.count(hit) for hit in hits}
            self._journal.stamp(
                {
                    f"{REDACTED_PREFIX}notebook: {hit}": "once" if n == 1 else f"{n} times"
                    for hit, n in times.items()
                }
            )
        self._cells = text
        return size

    @abstractmethod
    def note(self, text: str) -> None:
        """One warning to the person, and a note on the run."""
