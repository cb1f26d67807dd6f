"""What happened to a run in the store. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.records import time_or_none
from gittrack.core.diff import ADDED, REMOVED, Change
from gittrack.repo.history import RECORDED, HistoryEntry

_INDENT = "    "
_MOST = 20
#: Of the commit that recorded a run, these are counted, not listed.
_COUNTED = ("params", "metrics", "artifacts", "tags", "inputs", "outputs")


def render_history(entries: Sequence[HistoryEntry], style: Style, width: int) -> Iterator[str]:
    """The commits in the form of `git log`."""
    for number, entry in enumerate(entries):
        if number:
            yield ""
        # An id stays one that can be copied, however narrow it is.
        yield style(f"commit {entry.commit[: width - len('commit ')]}", "yellow")
        yield t.cut(f"Author: {t.safe(entry.author)}", width)
        yield t.cut(f"Date:   {t.date(entry.time_ms)}", width)
        yield ""
        lines = _recorded(entry) if entry.kind == RECORDED else list(map(_line, entry.changes))
        left = len(lines) - _MOST
        for line in lines[:_MOST]:
            yield t.cut(_INDENT + line, width)
        if left > 0:
            yield f"{_INDENT}and {left} more"


def _recorded(entry: HistoryEntry) -> list[str]:
    counts = Counter(
        change.key.partition(".")[0]
        for change in entry.changes
        if change.key.partition(".")[0] in _COUNTED and "." in change.key
    )
    parts = [t.plural(counts[kind], kind[:-1]) for kind in _COUNTED if counts[kind]]
    facts = {change.key: change.b for change in entry.changes}
    status = t.safe(str(facts.get("status", "running")))
    said = f"recorded as {t.safe(str(facts.get('name', '')))}, {status}"
    return [said, *([", ".join(parts)] if parts else [])]


def _line(change: Change) -> str:
    key, a, b = t.safe(change.key), t.value_text(change.a), t.value_text(change.b)
    if change.key == "deleted":
        return "deleted" if change.b else "restored"
    if change.kind == ADDED:
        return f"+ {key} {b}"
    if change.kind == REMOVED:
        return f"- {key} {a}"
    return f"~ {key} {a} -> {b}"


def history_records(entries: Sequence[HistoryEntry]) -> list[dict[str, Any]]:
    """What `--format json` says."""
    return [
        {
            "commit": entry.commit,
            "author": entry.author,
            "time": time_or_none(entry.time_ms),
            "kind": entry.kind,
            "changes": {
                change.key: {"change": change.kind, "a": change.a, "b": change.b}
                for change in entry.changes
            },
        }
        for entry in entries
    ]
