"""Commits of the code, what they changed, and the runs beside a change. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.diff import file_mark
from gittrack.cli.output.records import time_or_none
from gittrack.core.diff import ADDED, REMOVED
from gittrack.core.model import Run
from gittrack.store.ancestry import CommitInfo, FileStat

_INDENT = "    "
_COLORS = {ADDED: "green", REMOVED: "red"}
_MOST_FILES = 20
_MOST_RUNS = 5


def render_commit(commit: CommitInfo, style: Style, width: int) -> Iterator[str]:
    """The commit as `git log` shows it."""
    yield style(f"commit {commit.id[: width - len('commit ')]}", "yellow")
    yield t.cut(f"Author: {t.safe(commit.author)}", width)
    yield t.cut(f"Date:   {t.date(commit.time_ms)}", width)
    yield ""
    yield t.cut(_INDENT + t.safe(commit.subject), width)


def oneline(commit: CommitInfo) -> str:
    """The short id and the subject."""
    return f"{commit.short} {t.safe(commit.subject)}".rstrip()


def render_files(files: Sequence[FileStat], style: Style, width: int) -> Iterator[str]:
    """The files with the lines that came and went, under a line that counts them."""
    if not files:
        return
    added, removed = (sum(f.added or 0 for f in files), sum(f.removed or 0 for f in files))
    yield ""
    yield style(f"Files ({t.plural(len(files), 'file')}, +{added} -{removed})", "yellow")
    shown = files[:_MOST_FILES]
    counts = ["binary" if f.added is None else f"+{f.added} -{f.removed}" for f in shown]
    room = width - len(_INDENT) - 4 - max(map(len, counts))
    paths = [t.cut(t.safe(f.path), room) for f in shown]
    longest = max(map(t.width_of, paths))
    for item, path, count in zip(shown, paths, counts, strict=True):
        mark = style(file_mark(item.kind), _COLORS.get(item.kind, "yellow"))
        yield f"{_INDENT}{mark} {t.pad(path, longest)}  {count}"
    if len(files) > _MOST_FILES:
        yield f"{_INDENT}and {t.plural(len(files) - _MOST_FILES, 'more file')}"


def render_sides(
    before: Sequence[tuple[Run, str]],
    after: Sequence[tuple[Run, str]],
    style: Style,
    width: int,
) -> Iterator[str]:
    """The runs on both sides, each with what is said of it: `-` before, `+` after."""
    if not before and not after:
        return
    yield ""
    yield style("Runs", "yellow")
    for mark, color, side in (("-", "red", before), ("+", "green", after)):
        for run, said in side[:_MOST_RUNS]:
            text = f"{t.safe(run.short_id)} {t.safe(run.name)}  {said}".rstrip()
            yield f"{_INDENT}{style(mark, color)} {t.cut(text, width - len(_INDENT) - 2)}"
        if len(side) > _MOST_RUNS:
            yield f"{_INDENT}{style(mark, color)} and {len(side) - _MOST_RUNS} more"


def next_lines(*commands: str) -> Iterator[str]:
    """What to type next, a line each."""
    for number, command in enumerate(commands):
        yield f"{'      ' if number else 'next: '}{command}"


def commit_record(commit: CommitInfo) -> dict[str, Any]:
    """What `--format json` says of a commit."""
    return {
        "id": commit.id,
        "short_id": commit.short,
        "subject": commit.subject,
        "author": commit.author,
        "time": time_or_none(commit.time_ms),
    }


def run_record(run: Run) -> dict[str, Any]:
    """What it says of a run beside a change."""
    return {"id": run.id, "name": run.name, "experiment": run.experiment, "commit": run.commit}


def file_records(files: Sequence[FileStat]) -> list[dict[str, Any]]:
    """What it says of files."""
    return [
        {"path": f.path, "change": f.kind, "added": f.added, "removed": f.removed} for f in files
    ]
