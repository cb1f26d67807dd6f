"""What differs between two runs: for people, for programs, for a page. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.records import artifact_record, dataset_record
from gittrack.cli.output.tables import escape_markdown, render_markdown, render_table
from gittrack.core import kept
from gittrack.core.diff import (
    ADDED,
    CHANGED,
    EQUAL,
    REMOVED,
    Change,
    MetricChange,
    RunDiff,
    SourceDiff,
    difference,
    same_value,
)
from gittrack.core.direction import is_better
from gittrack.core.model import Artifact, Dataset, Run

_INDENT = "    "
_MARKS = {ADDED: "+", REMOVED: "-", EQUAL: " "}
_COLORS = {"+": "green", "-": "red", "~": "yellow", "?": "cyan", " ": "dim"}
_MOST_FILES = 20
#: Facts that the part about the source says better.
_SAID_OF_SOURCE = ("commit", "base", "tree")

BETTER, WORSE = "better", "worse"
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")

#: Of metrics: `max` where a greater value is better, `min` where a smaller one is.
Ways = Mapping[str, str]
UNKNOWN: Ways = {}
#: Mark, key, value in a, value in b, change.
Row = tuple[str, str, str, str, str]


def render_diff(
    diff: RunDiff, a: Run, b: Run, style: Style, width: int, ways: Ways = UNKNOWN
) -> Iterator[str]:
    """The form for people, in the manner of `git diff`: `-` is a alone, `+` is b alone.

    Args:
        ways: of metrics, whether more or less is better, as far as it is known.
    """
    yield style(t.cut(f"--- {_name(a)}", width), "bold")
    yield style(t.cut(f"+++ {_name(b)}", width), "bold")
    if diff.is_empty:
        yield ""
        yield "nothing differs but id, name and times"
        return
    for title, rows, equal in _sections(diff, ways):
        if title == "Facts" and diff.source is not None:
            rows = [row for row in rows if row[1] not in _SAID_OF_SOURCE]
        if rows:
            yield ""
            same = f" ({equal} equal)" if equal else ""
            yield style(f"{title}{same}", "yellow")
            yield from _aligned(rows, style, width)
    if diff.source is not None:
        yield ""
        yield style("Source", "yellow")
        yield from (_INDENT + line for line in _source_lines(diff.source, style, width))


def render_worktree_diff(source: SourceDiff, a: Run, style: Style, width: int) -> Iterator[str]:
    """What the code in the worktree, as it is now, differs in from what a run ran."""
    yield style(t.cut(f"--- {_name(a)}", width), "bold")
    yield style(t.cut("+++ the worktree as it is now", width), "bold")
    yield ""
    yield style("Source", "yellow")
    yield from (_INDENT + line for line in _source_lines(source, style, width))


def worktree_record(source: SourceDiff, a: Run) -> dict[str, Any]:
    """What `--format json` says of that."""
    return {
        "a": {"id": a.id, "name": a.name, "experiment": a.experiment},
        "b": None,
        "source": _source_record(source),
    }


def diff_rows(diff: RunDiff, ways: Ways = UNKNOWN) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table of everything that differs."""
    header = ["", "key", "a", "b", "change", "of"]
    rows = [[*row, title.lower()] for title, section, _ in _sections(diff, ways) for row in section]
    if diff.source is not None:
        rows += [
            [file_mark(item.kind), t.safe(item.path), "", "", item.kind, "source"]
            for item in diff.source.files
        ]
    return header, rows


def render_diff_table(diff: RunDiff, width: int | None, ways: Ways = UNKNOWN) -> list[str]:
    """All that differs in one aligned table."""
    header, rows = diff_rows(diff, ways)
    return render_table(header, rows, width)


def render_diff_markdown(diff: RunDiff, a: Run, b: Run, ways: Ways = UNKNOWN) -> list[str]:
    """The same for a page, under a line that names both runs."""
    title = f"**{escape_markdown(_name(a))}** → **{escape_markdown(_name(b))}**"
    header, rows = diff_rows(diff, ways)
    table = render_markdown(header[1:], [row[1:] for row in rows])
    return [title, "", *(table or ["Nothing differs but id, name and times."])]


def diff_record(diff: RunDiff, a: Run, b: Run, ways: Ways = UNKNOWN) -> dict[str, Any]:
    """What `--format json` says of a diff."""
    return {
        "a": {"id": a.id, "name": a.name, "experiment": a.experiment},
        "b": {"id": b.id, "name": b.name, "experiment": b.experiment},
        "equal": {"params": diff.params_equal, "metrics": diff.metrics_equal},
        "params": change_records(diff.params),
        "metrics": {item.key: _metric_record(item, ways) for item in diff.metrics},
        "tags": change_records(diff.tags),
        "facts": change_records(diff.attributes),
        "artifacts": change_records(diff.artifacts),
        "environment": change_records(diff.environment),
        "data": change_records(diff.data),
        "source": None if diff.source is None else _source_record(diff.source),
    }


def _name(run: Run) -> str:
    return f"{t.safe(run.short_id)} {t.safe(run.name)} ({t.safe(run.experiment)})"


def _sections(diff: RunDiff, ways: Ways) -> Iterator[tuple[str, list[Row], int]]:
    yield "Params", [_row(item) for item in diff.params], diff.params_equal
    yield "Metrics", [_metric_row(item, ways) for item in diff.metrics], diff.metrics_equal
    yield "Tags", [_row(item) for item in diff.tags], 0
    yield "Facts", [_row(item) for item in diff.attributes], 0
    yield "Artifacts", [_row(i._replace(key=kept.shown(i.key))) for i in diff.artifacts], 0
    yield "Environment", [_row(item) for item in diff.environment], 0
    yield "Data", [_row(item) for item in diff.data], 0


def _row(item: Change) -> Row:
    a = "" if item.kind == ADDED else _value(item.key, item.a)
    b = "" if item.kind == REMOVED else _value(item.key, item.b)
    return _MARKS.get(item.kind, "~"), t.safe(item.key), a, b, ""


def _value(key: str, value: Any) -> str:
    if isinstance(value, Artifact):
        return f"{t.artifact_text(value)} {(value.blob or value.md5 or '')[:8]}".rstrip()
    if key in ("commit", "base", "tree") and isinstance(value, str):
        return t.safe(value)[:12]
    if key == "argv":
        return t.safe(" ".join(value))
    return t.data_text(value, short=True) if isinstance(value, Dataset) else t.value_text(value)


def _metric_row(item: MetricChange, ways: Ways) -> Row:
    a = "" if item.a is None else t.number(item.a.last)
    b = "" if item.b is None else t.number(item.b.last)
    return _MARKS.get(item.kind, "~"), t.safe(item.key), a, b, change_text(item, ways)


def change_text(item: MetricChange, ways: Ways = UNKNOWN) -> str:
    """`+0.012 (+1.4 %) better`, as far as it can be said."""
    if item.absolute is None or item.kind == EQUAL:
        return ""
    sign = "+" if item.absolute >= 0 else ""
    text = f"{sign}{item.absolute:.3g}"
    if item.relative is not None:
        text += f" ({item.relative * 100:+.3g} %)"
    better = is_better(item.absolute, ways.get(item.key))
    return text if better is None else f"{text} {BETTER if better else WORSE}"


def _aligned(rows: Sequence[Row], style: Style, width: int) -> Iterator[str]:
    """Rows in columns; a row that is too long for that takes a line for each part."""
    room = width - len(_INDENT) - 2  # the mark and a blank
    short = [row for row in rows if t.width_of(_joined(row, (0, 0, 0))) <= room]
    pairs = [row for row in short if row[2] and row[3]]
    sizes = [max((t.width_of(row[1]) for row in short), default=0)]
    sizes += [max((t.width_of(row[column]) for row in pairs), default=0) for column in (2, 3)]
    for row in rows:
        mark, key, a, b, change = row
        lines = [_joined(row, kept) for kept in (tuple(sizes), (sizes[0], 0, 0), (0, 0, 0))]
        line = next((line for line in lines if t.width_of(line) <= room), key)
        yield f"{_INDENT}{style(mark, _COLORS[mark])} {_coloured(t.cut(line, room), row, style)}"
        if row not in short:
            pair = [f"{a} -> {b}"] if a and b else [a or b]
            if mark == _MARKS[EQUAL]:
                pair = [a]
            elif t.width_of(pair[0]) > room - 2 and a and b:
                pair = [f"- {a}", f"+ {b}"]
            yield from (f"{_INDENT}    {t.cut(part, room - 2)}" for part in (*pair, change) if part)


def _coloured(line: str, row: Row, style: Style) -> str:
    """A line with what got better or worse, and the words that changed, in colour."""
    if not style.on:
        return line
    _, _, a, b, change = row
    for word, color in ((BETTER, "green"), (WORSE, "red")):
        if change.endswith(word) and line.endswith(change):
            line = line[: -len(change)] + style(change, color)
    pair = f"{a} -> {b}"
    if a and b and not change and line.endswith(pair):
        old, new = mark_words(a, b, style)
        line = f"{line[: -len(pair)]}{old} -> {new}"
    return line


def mark_words(a: str, b: str, style: Style) -> tuple[str, str]:
    """Two texts with the words that only one of them has marked, as `git diff --color-words`."""
    from difflib import SequenceMatcher

    old, new = _WORDS.findall(a), _WORDS.findall(b)
    left: list[str] = []
    right: list[str] = []
    for what, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = "".join(old[i:j]), "".join(new[k:m])
        left.append(gone if what == "equal" else style(gone, "red"))
        right.append(come if what == "equal" else style(come, "green"))
    return "".join(left), "".join(right)


def _joined(row: Row, sizes: tuple[int, ...]) -> str:
    mark, key, a, b, change = row
    if mark == _MARKS[EQUAL]:
        return f"{t.pad(key, sizes[0])}  {a}".rstrip()
    values = f"{t.pad(a, sizes[1])} -> {t.pad(b, sizes[2])}" if a and b else a or b
    return f"{t.pad(key, sizes[0])}  {values}  {change}".rstrip()


def file_mark(kind: str) -> str:
    """`+` added, `-` removed, `?` perhaps, `~` changed."""
    return {ADDED: "+", REMOVED: "-", "maybe": "?"}.get(kind, "~")


def _source_lines(source: SourceDiff, style: Style, width: int) -> Iterator[str]:
    commits = [commit[:12] if commit else "none" for commit in source.commits]
    where = commits[0] if commits[0] == commits[1] else f"{commits[0]} -> {commits[1]}"
    said = {True: "the same", False: "different", None: "not known whether it differs"}
    yield t.cut(f"{said[source.same]}; commit {where}", width - len(_INDENT))
    for item in source.files[:_MOST_FILES]:
        mark = file_mark(item.kind)
        yield f"{style(mark, _COLORS[mark])} {t.cut(t.safe(item.path), width - len(_INDENT) - 2)}"
    if len(source.files) > _MOST_FILES:
        yield f"and {t.plural(len(source.files) - _MOST_FILES, 'more file')}"
    if not source.complete:
        yield t.cut("there may be more: not all files can be compared", width - len(_INDENT))


def render_values(
    values: Sequence[tuple[str, str, Any, Any]], ways: Ways, style: Style, width: int
) -> Iterator[str]:
    """Values on both sides, a line each.

    Args:
        values: what a value is called, the key of its metric, and its two sides; None where
            there is none.
    """
    rows: list[Row] = []
    for name, key, a, b in values:
        mark = "+" if a is None else "-" if b is None else " " if same_value(a, b) else "~"
        texts = ["" if value is None else _plain_text(value) for value in (a, b)]
        change = ""
        if _is_number(a) and _is_number(b):
            change = delta_text(a, b, ways.get(key))
        rows.append((mark, t.safe(name), texts[0], texts[1], change))
    yield from _aligned(rows, style, width)


def delta_text(a: float, b: float, way: str | None) -> str:
    """`-0.09 (-10 %) worse`, as far as it can be said."""
    absolute, relative = difference(a, b)
    ways = {"": way} if way is not None else {}
    return change_text(MetricChange("", CHANGED, None, None, absolute, relative), ways)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain_text(value: Any) -> str:
    return t.number(value) if _is_number(value) else t.value_text(value)


def render_changes(changes: Sequence[Change], style: Style, width: int) -> Iterator[str]:
    """Keys whose values differ, a line each."""
    yield from _aligned([_row(item) for item in changes], style, width)


def change_records(changes: Sequence[Change]) -> dict[str, Any]:
    """The same for programs."""
    return {
        item.key: {"change": item.kind, "a": _plain(item.a), "b": _plain(item.b)}
        for item in changes
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Dataset):
        return dataset_record(value)
    return artifact_record(value) if isinstance(value, Artifact) else value


def _metric_record(item: MetricChange, ways: Ways) -> dict[str, Any]:
    way = ways.get(item.key)
    return {
        "change": item.kind,
        "a": None if item.a is None else item.a.last,
        "b": None if item.b is None else item.b.last,
        "absolute": item.absolute,
        "relative": item.relative,
        "better": None if item.absolute is None else is_better(item.absolute, way),
    }


def _source_record(source: SourceDiff) -> dict[str, Any]:
    return {
        "same": source.same,
        "commits": list(source.commits),
        "files": [{"path": item.path, "change": item.kind} for item in source.files],
        "complete": source.complete,
    }
