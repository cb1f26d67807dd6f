"""One run in full, for people. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.log import header
from gittrack.cli.output.spark import sparkline
from gittrack.core import kept
from gittrack.core.dataset import by_label
from gittrack.core.headline import headline, is_system
from gittrack.core.model import Artifact, Dataset, Run, Source

_INDENT = "    "
_MOST_FILES = 20
#: How much of params, metrics, tags and artifacts the page shows; the options show all.
_MOST = 40
_CURVE = 16
#: Images and sounds of one key that a page shows one by one.
_SHORTEST_SERIES = 4
_STEP = re.compile(r"(.+/step-)(-?[0-9]{8,19})[^/]*(\.[^/.]+)")
_SHORTEST_CURVE = 8


class Page(NamedTuple):
    """What a page shows besides the run itself.

    Args:
        parts: names of the parts that were asked for; empty for the page as a whole.
        curves: values of metrics in the order of their steps.
    """

    parts: frozenset[str] = frozenset()
    curves: Mapping[str, Sequence[float]] = {}
    environment: Mapping[str, Any] = {}
    data: tuple[Dataset, ...] = ()
    files: tuple[str, ...] = ()
    base_is_here: bool = True
    ascii_only: bool = False

    def metric_keys(self, run: Run) -> list[str]:
        """The metrics that are shown, those that tell most first where not all are."""
        if self.parts:
            return list(run.metrics)
        shown = [key for key in run.metrics if not is_system(key)]
        return shown if len(shown) <= _MOST else headline(run.metrics, _MOST)


WHOLE = Page()


def render_show(
    run: Run, source: Source, style: Style, width: int, page: Page = WHOLE
) -> Iterator[str]:
    """Everything that is known of a run, or the parts that were asked for."""
    if not page.parts:
        yield from _render_all(run, source, style, width, page)
        return
    lines: list[str] = []
    if "params" in page.parts:
        lines += _mapping("Params", run.params, style, width)
    if "metrics" in page.parts:
        lines += _metrics(run, style, width, page)
    if "tags" in page.parts:
        lines += _mapping("Tags", run.tags, style, width)
    if "source" in page.parts:
        lines += _section("Source", _source(run, source, page), style, width)
    if "files" in page.parts:
        lines += _artifacts(run, style, width)
        lines += _section("Files", [t.safe(name) for name in page.files], style, width)
    if "data" in page.parts:
        lines += _section("Data", list(_data(page.data)), style, width)
    if "env" in page.parts:
        lines += _mapping("Environment", page.environment, style, width)
    # The blank line that parts sections is none before the first.
    yield from lines[1:]


def _render_all(run: Run, source: Source, style: Style, width: int, page: Page) -> Iterator[str]:
    yield from header(run, style, width)
    yield from _facts(run, width)
    if run.description.strip():
        yield ""
        lines = t.wrap(run.description, width - len(_INDENT))
        yield from (f"{_INDENT}{line}" if line else "" for line in lines)
    yield from _mapping(
        "Params", run.params, style, width, f"gittrack show {run.short_id} --params"
    )
    yield from _metrics(run, style, width, page)
    yield from _mapping("Tags", run.tags, style, width, f"gittrack show {run.short_id} --tags")
    yield from _section("Source", _source(run, source, page), style, width)
    (labelled,) = by_label(page.data)
    data = {label: t.data_text(item, short=True) for label, item in labelled.items()}
    yield from _mapping("Data", data, style, width, f"gittrack show {run.short_id} --data")
    if page.environment:
        count = t.plural(len(page.environment), "entry").replace("entrys", "entries")
        more = f"{count}: gittrack show {run.short_id} --env"
        yield from _section("Environment", [more], style, width)
    yield from _artifacts(run, style, width, f"gittrack show {run.short_id} --files")
    yield from _section("Redacted", [t.safe(name) for name in run.redacted], style, width)
    warnings = [f"warning: {text}" for text in run.warnings]
    warnings += [f"conflict: {text}" for text in run.conflicts]
    wrapped = [line for text in warnings for line in t.wrap(text, width - len(_INDENT))]
    yield from _section("Warnings", wrapped, style, width, "red")


def _data(data: Sequence[Dataset]) -> Iterator[str]:
    """Each dataset with where it is from and the types of its columns."""
    (labelled,) = by_label(data)
    for label, item in labelled.items():
        yield t.safe(label)
        yield f"  {t.data_text(item)}"
        if item.source and item.source != item.name:
            yield f"  from {t.safe(item.source)}"
        if item.dvc:
            yield f"  digest from {t.safe(item.dvc)}"
        if item.opaque:
            yield t.safe(f"  values not covered: {', '.join(item.opaque)}")
        room = max((t.width_of(t.safe(name)) for name, _ in item.schema), default=0)
        for name, kind in item.schema:
            title = f"{t.pad(t.safe(name), min(room, 40))}  " if name else ""
            yield f"  {title}{t.safe(kind)}"
        if item.schema and (item.columns or 0) > len(item.schema):
            yield f"  and {t.plural((item.columns or 0) - len(item.schema), 'more column')}"


def _facts(run: Run, width: int) -> Iterator[str]:
    facts = {
        "Id:": run.id if run.id != run.short_id else "",
        "Status:": run.status if run.exit_code is None else f"{run.status}, exit {run.exit_code}",
        "Host:": run.host,
        "Argv:": " ".join(run.argv),
        # A notebook has no command line that would name it.
        "Entry:": "" if run.argv else run.entry,
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


def _mapping(
    title: str, values: Mapping[str, Any], style: Style, width: int, more: str = ""
) -> Iterator[str]:
    """Keys and values; with `more`, the command that shows all, only as many as a page takes."""
    shown = list(values.items())[: _MOST if more else None]
    keys = {key: t.cut(t.safe(key), (width - len(_INDENT)) // 2) for key, _ in shown}
    room = max(map(t.width_of, keys.values()), default=0)
    # Cut before it is made safe: a param may have a megabyte.
    lines = [f"{t.pad(keys[key], room)}  {t.value_text(_clipped(v, width))}" for key, v in shown]
    left = len(values) - len(shown)
    yield from _section(title, lines + ([f"and {left} more: {more}"] if left else []), style, width)


def _clipped(value: Any, width: int) -> Any:
    return value[: 2 * width] if isinstance(value, str) else value


def _artifacts(run: Run, style: Style, width: int, more: str = "") -> Iterator[str]:
    artifacts: dict[str, str] = {}
    # Where all are asked for, all are shown.
    series = _series(run.artifacts.values()) if more else {}
    for key, item in run.artifacts.items():
        if (name := _series_of(key)) in series:
            artifacts[name] = _series_text(series[name])
            continue
        # Of a folder that was filled several times, each time is a line.
        text = t.artifact_text(item)
        name = kept.shown(key)
        artifacts[name] = f"{artifacts[name]}, {text}" if name in artifacts else text
    yield from _mapping("Artifacts", artifacts, style, width, more)


def _series_of(key: str) -> str:
    """What the images of one key, or sounds, are together: `images/samples/step-*.png`."""
    return _STEP.sub(r"\1*\3", key) if _STEP.fullmatch(key) else ""


def _series(artifacts: Iterable[Artifact]) -> dict[str, list[Artifact]]:
    found: dict[str, list[Artifact]] = {}
    for item in artifacts:
        if name := _series_of(item.path):
            found.setdefault(name, []).append(item)
    return {name: items for name, items in found.items() if len(items) >= _SHORTEST_SERIES}


def _series_text(items: Sequence[Artifact]) -> str:
    steps = [int(match[2]) for item in items if (match := _STEP.fullmatch(item.path))]
    total = t.size(sum(item.size_bytes for item in items))
    return f"{len(items):,} files  {total}  steps {min(steps)} to {max(steps)}"


def _metrics(run: Run, style: Style, width: int, page: Page) -> Iterator[str]:
    if not run.metrics:
        return
    keys = page.metric_keys(run)
    rows: list[tuple[str, ...]] = [("", "last", "min", "max", "count")] if keys else []
    for key in keys:
        item = run.metrics[key]
        numbers = [t.number(value) for value in (item.last, item.min, item.max)]
        rows.append((t.safe(key), *numbers, str(item.count)))
    sizes = [max((t.width_of(row[column]) for row in rows), default=0) for column in range(5)]
    # Where it is narrow the key is cut, then count, max and min go; the last value stays.
    shown = 5
    while shown > 2 and 8 + sum(sizes[1:shown]) + 2 * (shown - 1) > width - len(_INDENT):
        shown -= 1
    room = width - len(_INDENT) - sum(sizes[1:shown]) - 2 * (shown - 1)
    sizes[0] = max(8, min(sizes[0], room))
    curve = min(_CURVE, room - sizes[0] - 2)
    lines = []
    for key, row in zip(["", *keys] if keys else [], rows, strict=True):
        cells = [t.pad(t.cut(row[0], sizes[0]), sizes[0])]
        cells += [cell.rjust(size) for cell, size in zip(row[1:shown], sizes[1:], strict=False)]
        if curve >= _SHORTEST_CURVE and key in page.curves:
            cells.append(sparkline(page.curves[key], curve, ascii_only=page.ascii_only))
        lines.append("  ".join(cells).rstrip())
    left = run.metrics.keys() - set(keys)
    machine = sum(map(is_system, left))
    if left:
        several = [f"{len(left) - machine} more"] if len(left) > machine else []
        several += [f"{machine} of the machine"] if machine else []
        lines.append(f"and {', '.join(several)}: gittrack show {run.short_id} --metrics")
    yield from _section("Metrics", lines, style, width)


def _source(run: Run, source: Source, page: Page) -> list[str]:
    most = None if page.parts else _MOST_FILES
    lines = []
    if source.commit or run.commit:
        where = f" on {t.safe(run.branch)}" if run.branch else ""
        lines.append(f"commit  {(source.commit or run.commit or '')[:12]}{where}")
    links = [f"also    {commit[:12]} ({t.safe(how)})" for commit, how in run.links.items()]
    lines += links[:most]
    if most is not None and len(links) > most:
        lines.append(f"and {t.plural(len(links) - most, 'more commit')}")
    if run.remote:
        lines.append(f"remote  {t.safe(run.remote)}")
    if not lines:
        return []
    lines.append(f"state   {source_state(run, source, base_is_here=page.base_is_here)}")
    if source.tree:
        lines.append(f"tree    {source.tree}")
    changes = _changed_files(source)
    lines += changes[:most]
    if most is not None and len(changes) > most:
        lines.append(f"and {t.plural(len(changes) - most, 'more file')}")
    return lines


def source_state(run: Run, source: Source, *, base_is_here: bool = True) -> str:
    """In a few words: whether it can be rebuilt, and how it stands to its commit."""
    if source.withheld:
        words = [f"withheld: {t.plural(len(source.withheld), 'file')}"]
    elif source.tree is None:
        words = ["not recorded"]
    else:
        words = ["inexact: submodules had changes" if source.submodules_dirty else "exact"]
    if not base_is_here:
        words = ["base commit not here", *words[words[0] == "exact" :]]
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
