"""One run in full, for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.log import header
from gittrack.core.model import Run, Source

_INDENT = "    "
_MOST_FILES = 20


def render_show(run: Run, source: Source, style: Style, width: int) -> Iterator[str]:
    """Everything that is known of a run."""
    yield from header(run, style, width)
    yield from _facts(run, width)
    if run.description.strip():
        yield ""
        lines = t.wrap(run.description, width - len(_INDENT))
        yield from (f"{_INDENT}{line}" if line else "" for line in lines)
    yield from _mapping("Params", run.params, style, width)
    yield from _metrics(run, style, width)
    yield from _mapping("Tags", run.tags, style, width)
    yield from _section("Source", _source(run, source), style, width)
    artifacts = {path: t.size(item.size_bytes) for path, item in run.artifacts.items()}
    yield from _mapping("Artifacts", artifacts, style, width)
    yield from _section("Redacted", [t.safe(name) for name in run.redacted], style, width)
    warnings = [f"warning: {text}" for text in run.warnings]
    warnings += [f"conflict: {text}" for text in run.conflicts]
    wrapped = [line for text in warnings for line in t.wrap(text, width - len(_INDENT))]
    yield from _section("Warnings", wrapped, style, width, "red")


def _facts(run: Run, width: int) -> Iterator[str]:
    facts = {
        "Id:": run.id if run.id != run.short_id else "",
        "Status:": run.status if run.exit_code is None else f"{run.status}, exit {run.exit_code}",
        "Host:": run.host,
        "Argv:": " ".join(run.argv),
        "Parent:": run.parent or "",
    }
    for label, value in facts.items():
        if value:
            yield t.cut(f"{label:<8}{t.safe(value)}", width)


def _section(
    title: str, lines: Sequence[str], style: Style, width: int, color: str = "yellow"
) -> Iterator[str]:
    if lines:
        yield ""
        yield style(title, color)
        yield from (t.cut(_INDENT + line, width) for line in lines)


def _mapping(title: str, values: Mapping[str, Any], style: Style, width: int) -> Iterator[str]:
    keys = {key: t.cut(t.safe(key), (width - len(_INDENT)) // 2) for key in values}
    room = max(map(t.width_of, keys.values()), default=0)
    lines = [f"{t.pad(keys[key], room)}  {t.value_text(value)}" for key, value in values.items()]
    yield from _section(title, lines, style, width)


def _metrics(run: Run, style: Style, width: int) -> Iterator[str]:
    if not run.metrics:
        return
    rows: list[tuple[str, ...]] = [("", "last", "min", "max", "count")]
    for key, item in run.metrics.items():
        numbers = [t.number(value) for value in (item.last, item.min, item.max)]
        rows.append((t.safe(key), *numbers, str(item.count)))
    sizes = [max(t.width_of(row[column]) for row in rows) for column in range(5)]
    # Where it is narrow the key is cut, then count, max and min go; the last value stays.
    shown = 5
    while shown > 2 and 8 + sum(sizes[1:shown]) + 2 * (shown - 1) > width - len(_INDENT):
        shown -= 1
    room = width - len(_INDENT) - sum(sizes[1:shown]) - 2 * (shown - 1)
    sizes[0] = max(8, min(sizes[0], room))
    lines = []
    for row in rows:
        cells = [t.pad(t.cut(row[0], sizes[0]), sizes[0])]
        cells += [cell.rjust(size) for cell, size in zip(row[1:shown], sizes[1:], strict=False)]
        lines.append("  ".join(cells))
    yield from _section("Metrics", lines, style, width)


def _source(run: Run, source: Source) -> list[str]:
    lines = []
    if source.commit or run.commit:
        where = f" on {t.safe(run.branch)}" if run.branch else ""
        lines.append(f"commit  {(source.commit or run.commit or '')[:12]}{where}")
    if run.remote:
        lines.append(f"remote  {t.safe(run.remote)}")
    if not lines:
        return []
    lines.append(f"state   {source_state(run, source)}")
    if source.tree:
        lines.append(f"tree    {source.tree}")
    changes = _changed_files(source)
    lines += changes[:_MOST_FILES]
    if len(changes) > _MOST_FILES:
        lines.append(f"and {t.plural(len(changes) - _MOST_FILES, 'more file')}")
    return lines


def source_state(run: Run, source: Source) -> str:
    """In a few words: whether it can be rebuilt, and how it stands to its commit."""
    if source.withheld:
        words = [f"withheld: {t.plural(len(source.withheld), 'file')}"]
    elif source.tree is None:
        words = ["not recorded"]
    else:
        words = ["inexact: submodules had changes" if source.submodules_dirty else "exact"]
    if source.dirty or run.dirty:
        words.append(f"dirty, {t.plural(len(_changed_files(source)), 'changed file')}")
    if source.state:
        words.append(f"{t.safe(source.state)} in progress")
    return "; ".join(words)


def _changed_files(source: Source) -> list[str]:
    letters: dict[str, str] = dict.fromkeys(source.modes, "M")
    letters.update(dict.fromkeys(source.files, "M"))
    letters.update(dict.fromkeys(source.symlinks, "L"))
    letters.update(dict.fromkeys(source.gitlinks, "S"))
    letters.update(dict.fromkeys(source.submodules_dirty, "S"))
    letters.update(dict.fromkeys(source.deleted, "D"))
    lines = {path: f"{letter} {t.safe(path)}" for path, letter in letters.items()}
    for path, why in source.withheld.items():
        lines[path] = f"withheld {t.safe(path)}: {t.safe(why)}"
    return [lines[path] for path in sorted(lines)]
