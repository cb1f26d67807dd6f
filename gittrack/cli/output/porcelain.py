r"""The form for scripts, which never changes within a version: `--porcelain`.

Version 1: a line a run, fields parted by tabs, no header. Of `log` without `--columns` they are
id, status, start, end, experiment, name, commit, dirty, author; what is not known is empty. Times
are ISO 8601 in UTC. In a field a backslash, a tab, a line feed and every other character that
could steer a terminal are written as `\\`, `\t`, `\n`, `\xNN`, `\uNNNN`. Later versions of gittrack
may add fields at the end of a line only under another version. Nothing is coloured, cut or paged,
and no setting of anybody changes it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gittrack.cli.output import text as t
from gittrack.cli.output.columns import machine_text, reader
from gittrack.core.model import Run

VERSIONS = ("v1",)
LOG_COLUMNS = (
    "id", "status", "start", "end", "experiment", "name", "commit", "dirty", "author",
)  # fmt: skip


def render_porcelain(runs: Sequence[Run], columns: Sequence[str], end: str) -> str:
    """The lines of runs; `end` is a line feed, or NUL."""
    readers = [reader(name, runs) for name in columns or LOG_COLUMNS]
    return render_lines(([machine_text(read(run)) for read in readers] for run in runs), end)


def render_lines(rows: Iterable[Sequence[str]], end: str = "\n") -> str:
    """Rows of texts as lines."""
    return "".join("\t".join(map(field, row)) + end for row in rows)


def field(text: str) -> str:
    """One field."""
    return t.safe(text.replace("\\", "\\\\"))
