"""Runs in a list: the form of `git log`, and one line each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.core.diff import ADDED, REMOVED, changes_between
from gittrack.core.headline import headline, is_system
from gittrack.core.model import FAILED, FINISHED, KILLED, LOST, Run

_INDENT = "    "
_MAX_PARAM_LINES = 3
_MAX_DESCRIPTION_LINES = 6
_MAX_HEADLINE = 6
_MAX_CHANGES = 12
#: Of a tree: levels that are drawn, and the least that is left for a run's own line.
_MAX_DEPTH = 8
_MIN_TREE_ROOM = 24


def render_log(runs: Sequence[Run], style: Style, width: int) -> Iterator[str]:
    """Lines in the form of `git log`."""
    for number, run in enumerate(runs):
        if number:
            yield ""
        yield from render_run(run, style, width)


def render_run(run: Run, style: Style, width: int, before: Run | None = None) -> Iterator[str]:
    """One run in a list: who, when, what came out, what went in.

    Args:
        before: show only the params that differ from those of this run.
    """
    yield from header(run, style, width)
    room = width - len(_INDENT)
    params = _params(run, room) if before is None else _changed_params(before, run, style, room)
    blocks = [_metrics(run, style, room) + params, _description(run, room)]
    for block in blocks:
        if block:
            yield ""
            yield from (f"{_INDENT}{line}" if line else "" for line in block)


def header(run: Run, style: Style, width: int) -> Iterator[str]:
    """The lines that name a run, its author and its date."""
    yield title(run, style, width)
    if run.author:
        yield t.cut(f"Author: {t.safe(run.author)}", width)
    when = f"Date:   {t.date(run.start_ms)}"
    if run.duration_ms is not None:
        took = f"{when} ({t.duration(run.duration_ms)})"
        when = took if len(took) <= width else when
    yield t.cut(when, width)


def title(run: Run, style: Style, width: int) -> str:
    """`run <short id> <name> (experiment, branch, dirty, status)`, coloured like git's."""
    facts: list[tuple[str, tuple[str, ...]]] = [(t.safe(run.experiment), ("cyan", "bold"))]
    if run.branch:
        facts.append((t.safe(run.branch), ("green", "bold")))
    if run.dirty:
        facts.append(("dirty", ("red", "bold")))
    if run.status != FINISHED:
        facts.append((run.status, _status_style(run.status)))
    if run.deleted:
        facts.append(("deleted", ("red",)))
    short, name = t.safe(run.short_id), t.safe(run.name)
    if run.branch and _title_width(short, name, facts) > width:
        del facts[1]
    room = width - len(f"run {short} ")
    if (over := _title_width(short, name, facts) - width) > 0:
        # What is wrong with a run matters more than the end of its name.
        name = t.cut(name, max(8, t.width_of(name) - over))
    if _title_width(short, name, facts) > width:
        # The id stays whole: it is what people copy.
        rest = t.cut(f"{name} ({', '.join(text for text, _ in facts)})", room)
        return f"{style(f'run {short}', 'yellow')} {rest}"
    inner = style(", ", "yellow").join(style(text, *look) for text, look in facts)
    return (
        f"{style(f'run {short}', 'yellow')} {style(name, 'bold')} "
        f"{style('(', 'yellow')}{inner}{style(')', 'yellow')}"
    )


def _title_width(short: str, name: str, facts: Sequence[tuple[str, tuple[str, ...]]]) -> int:
    inner = sum(t.width_of(text) for text, _ in facts) + 2 * (len(facts) - 1)
    return len(f"run {short}  ()") + t.width_of(name) + inner


def _status_style(status: str) -> tuple[str, ...]:
    return ("red", "bold") if status in (FAILED, KILLED, LOST) else ("cyan",)


def _metrics(run: Run, style: Style, room: int) -> list[str]:
    keys = headline(run.metrics, _MAX_HEADLINE)
    plain = [f"{t.safe(key)} {t.number(run.metrics[key].last)}" for key in keys]
    left = sum(not is_system(key) for key in run.metrics) - len(keys)
    if left > 0:
        plain.append(f"+{left} more")
    lines = t.flow(plain, room)
    return [style(line, "bold") for line in lines]


def _params(run: Run, room: int) -> list[str]:
    most = room * _MAX_PARAM_LINES // 4  # the shortest item is `a=1`, with a gap of two
    items = [
        t.cut(f"{t.safe(key)}={t.value_text(value)}", max(24, room // 2))
        for key, value in islice(run.params.items(), most)
    ]
    left = len(run.params) - len(items)
    while True:
        lines = t.flow([*items, f"+{left} more"] if left else items, room)
        if len(lines) <= _MAX_PARAM_LINES:
            return lines
        items.pop()
        left += 1


def _changed_params(before: Run, run: Run, style: Style, room: int) -> list[str]:
    lines = []
    for change in changes_between(before.params, run.params)[0]:
        key = t.safe(change.key)
        old, new = t.value_text(change.a), t.value_text(change.b)
        said = {ADDED: f"+{key}={new}", REMOVED: f"-{key}={old}"}
        lines.append(t.cut(said.get(change.kind, f"{key}={old} -> {new}"), room))
    if not lines:
        return [style("params as before", "dim")]
    left = len(lines) - _MAX_CHANGES
    return lines[:_MAX_CHANGES] + ([f"+{left} more"] if left > 0 else [])


def render_tree(runs: Sequence[Run], style: Style, width: int) -> Iterator[str]:
    """A run and those below it, each before its children, a line each."""
    depths: dict[str, int] = {}
    last: dict[str, str] = {}
    for run in runs:
        last[run.parent or ""] = run.id
    open_below: list[bool] = []
    for run in runs:
        depth = depths[run.id] = depths[run.parent or ""] + 1 if run.parent in depths else 0
        is_last = last.get(run.parent or "") == run.id
        del open_below[max(0, depth - 1) :]
        lead = "".join("│  " if is_open else "   " for is_open in open_below[:_MAX_DEPTH])
        if depth:
            lead += "└─ " if is_last else "├─ "
            open_below.append(not is_last)
        room = max(_MIN_TREE_ROOM, width - len(lead))
        yield lead + next(iter(render_oneline([run], style, room)))


def _description(run: Run, room: int) -> list[str]:
    if not run.description.strip():
        return []
    lines = t.wrap(run.description, room)
    if len(lines) > _MAX_DESCRIPTION_LINES:
        lines = [*lines[:_MAX_DESCRIPTION_LINES], t.ELLIPSIS]
    return lines


def render_oneline(runs: Sequence[Run], style: Style, width: int | None) -> Iterator[str]:
    """One line a run: short id, name, what is unusual, the telling metrics."""
    for run in runs:
        marks = [run.experiment] if run.experiment != "default" else []
        marks += ["dirty"] if run.dirty else []
        marks += [run.status] if run.status != FINISHED else []
        short = t.safe(run.short_id)
        parts = [t.safe(run.name)]
        if marks:
            parts.append(f"({t.safe(', '.join(marks))})")
        parts += [
            f"{t.safe(key)} {t.number(run.metrics[key].last)}" for key in headline(run.metrics)
        ]
        rest = " ".join(parts[: 1 + bool(marks)])
        numbers = "  ".join(parts[1 + bool(marks) :])
        line = f"{rest}  {numbers}" if numbers else rest
        if width is not None:
            line = t.cut(line, width - len(short) - 1)
        yield f"{style(short, 'yellow')} {line}"
