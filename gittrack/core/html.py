"""Runs, tables of runs and comparisons as HTML for notebooks. Pure.

Names, keys and values may come from anywhere: all text is made safe and escaped. Colours are of
middle brightness and backgrounds the page's own, so that light and dark themes both do.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from gittrack.core import kept
from gittrack.core.headline import headline
from gittrack.core.model import FAILED, FINISHED, KILLED, LOST, RUNNING, Artifact, Run, short_id
from gittrack.core.plain import duration, number, safe, value_text

if TYPE_CHECKING:
    from gittrack.core.compare import Line
    from gittrack.core.diff import Change, MetricChange, RunDiff

#: How much is shown of one run, of a table's rows, and of params and of metrics as its columns.
_MOST, _MOST_ROWS, _MOST_COLUMNS = 40, 100, 6
_MOST_CHARS = 120
_COLORS = {
    RUNNING: "#3b82c4", FINISHED: "#2e9e4f", FAILED: "#d64545", KILLED: "#c77700", LOST: "#c77700",
}  # fmt: skip
_GREY = "opacity:.65"
_STYLE = (
    "<style>.gittrack{overflow-x:auto}"
    ".gittrack table{border-collapse:collapse;margin:.3em 0;width:auto;color:inherit}"
    ".gittrack th,.gittrack td{text-align:left;padding:.15em .7em;white-space:nowrap;"
    "border-bottom:1px solid rgba(128,128,128,.3);vertical-align:top}"
    ".gittrack td.n,.gittrack th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".gittrack .w{white-space:normal;overflow-wrap:anywhere}"
    ".gittrack .c{display:flex;flex-wrap:wrap;gap:0 2.5em;align-items:flex-start}</style>"
)
#: A cell: what stands in it, escaped, and whether it is a number.
_Cell = tuple[str, bool]


# -- runs ------------------------------------------------------------------------------------


def render_run(run: Run) -> str:
    """One run: a line of facts, its params and its metrics."""
    facts = [_text(run.experiment), *_times(run)]
    if run.entry:
        facts.append(_text(run.entry))
    if run.commit:
        where = f" on {_text(run.branch)}" if run.branch else ""
        facts.append(f"<code>{_text(run.commit[:12])}</code>{where}{', dirty' * run.dirty}")
    tables = [
        _table("params", [], [(_text(k), _value(v)) for k, v in _few(run.params)], len(run.params)),
        _table(
            "metrics",
            ["last", "min", "max", "count"],
            [(_text(key), *_summary(run, key)) for key in _metric_keys(run)],
            len(run.metrics),
        ),
        _table("tags", [], [(_text(k), _value(v)) for k, v in _few(run.tags)], len(run.tags)),
    ]
    lines = [
        f"<div><b>{_text(run.name)}</b> <code>{_text(run.short_id)}</code> {_status(run)}</div>",
        f'<div style="{_GREY}">{" · ".join(facts)}</div>',
    ]
    if run.description:
        lines.append(f'<div class="w">{_text(run.description)}</div>')
    lines.append(f'<div class="c">{"".join(tables)}</div>')
    if run.artifacts:
        names = sorted({kept.shown(key) for key in run.artifacts})
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        shown = ", ".join(map(_text, names[:_MOST]))
        lines.append(f'<div class="w" style="{_GREY}">artifacts: {shown}{more}</div>')
    lines += [f'<div class="w">warning: {_text(text)}</div>' for text in run.warnings[:_MOST]]
    return _page(lines)


def render_runs(runs: Sequence[Run]) -> str:
    """A table with a row a run, and as columns the metrics and params that tell most."""
    if not runs:
        return _page([f'<div style="{_GREY}">no runs</div>'])
    shown = runs[:_MOST_ROWS]
    summaries = {key: item for run in shown for key, item in run.metrics.items()}
    metrics = headline(summaries, _MOST_COLUMNS)
    # What all runs have in common tells them least.
    params = sorted(
        {key for run in shown for key in run.params},
        key=lambda key: (not _varies([run.params.get(key) for run in shown]), key),
    )[:_MOST_COLUMNS]
    header: list[_Cell] = [(label, False) for label in ("run", "name", "experiment", "status")]
    header += [("started", False), ("took", True)]
    header += [(_text(key), True) for key in metrics] + [(_text(key), False) for key in params]
    rows = []
    for run in shown:
        started, *took = _times(run)
        cells: list[_Cell] = [
            (f"<code>{_text(run.short_id)}</code>", False),
            (_text(run.name), False),
            (_text(run.experiment), False),
            (_status(run), False),
            (started, False),
            (took[0] if took else "", True),
        ]
        cells += [(number(run.metrics[k].last) if k in run.metrics else "", True) for k in metrics]
        cells += [_value(run.params[k]) if k in run.params else ("", False) for k in params]
        rows.append(cells)
    more = f'<div style="{_GREY}">and {len(runs) - len(shown)} more runs</div>'
    return _page([_rows(header, rows), *([more] if len(runs) > len(shown) else [])])


# -- comparisons -----------------------------------------------------------------------------


def render_diff(diff: RunDiff) -> str:
    """What differs from run `a` to run `b`: a row a key."""
    a, b = (f"<code>{_text(short_id(run_id))}</code>" for run_id in (diff.a, diff.b))
    lines = [f"<div>{a} → {b}</div>"]
    sections: tuple[tuple[str, Iterable[Change]], ...] = (
        ("params", diff.params), ("tags", diff.tags), ("facts", diff.attributes),
        ("artifacts", diff.artifacts), ("environment", diff.environment), ("data", diff.data),
    )  # fmt: skip
    rows = [[*_head("metrics", item), *_metric_change(item)] for item in diff.metrics]
    for title, changes in sections:
        rows += [
            [*_head(title, item), _side(item, "added", item.a), _side(item, "removed", item.b),
             ("", True)]
            for item in changes
        ]  # fmt: skip
    if diff.source is not None:
        rows += [
            [("source", False), (_text(item.path), False), ("", False), (_text(item.kind), False),
             ("", True)]
            for item in diff.source.files
        ]  # fmt: skip
    if rows:
        header = [("", False), ("key", False), ("a", False), ("b", False), ("change", True)]
        lines += _cut_rows(header, rows)
    else:
        lines.append(f'<div style="{_GREY}">nothing differs but id, name and times</div>')
    return _page(lines)


def render_comparison(runs: Sequence[Run], lines: Sequence[Line], missing: object) -> str:
    """Several runs side by side: a column a run, the baseline first, and a row a key.

    Args:
        missing: what stands for the value that a run lacks.
    """
    header: list[_Cell] = [("", False), ("key", False)]
    header += [(f"{_text(r.name)}<br><code>{_text(r.short_id)}</code>", False) for r in runs]
    rows = [
        [
            (line.kind, False),
            (_text(line.key), False),
            *(("", False) if value is missing else _value(value) for value in line.values),
        ]
        for line in lines
    ]
    if not rows:
        return _page([f'<div style="{_GREY}">nothing differs but id, name and times</div>'])
    return _page(_cut_rows(header, rows))


def _cut_rows(header: Sequence[_Cell], rows: Sequence[Sequence[_Cell]]) -> list[str]:
    """A table of as many rows as a page takes, and how many more there are."""
    lines = [_rows(header, rows[:_MOST_ROWS])]
    if len(rows) > _MOST_ROWS:
        lines.append(f'<div style="{_GREY}">and {len(rows) - _MOST_ROWS} more</div>')
    return lines


def _head(title: str, item: Change | MetricChange) -> list[_Cell]:
    return [(title, False), (_text(kept.shown(item.key)), False)]


def _side(item: Change, lacking: str, value: Any) -> _Cell:
    return ("", False) if item.kind == lacking else _value(value)


def _metric_change(item: MetricChange) -> list[_Cell]:
    sides = [("" if side is None else number(side.last), False) for side in (item.a, item.b)]
    if item.absolute is None:
        return [*sides, ("", True)]
    share = "" if item.relative is None else f" ({item.relative * 100:+.3g} %)"
    return [*sides, (f"{item.absolute:+.3g}{share}", True)]


# -- pieces ----------------------------------------------------------------------------------


def _page(lines: Sequence[str]) -> str:
    return f'<div class="gittrack">{_STYLE}' + "\n".join(lines) + "</div>"


def _rows(header: Sequence[_Cell], rows: Sequence[Sequence[_Cell]]) -> str:
    def line(cells: Sequence[_Cell], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' * is_number}>{text}</{tag}>" for text, is_number in cells
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    head = f"<thead><tr>{line(header, 'th')}</tr></thead>" if header else ""
    return f"<table>{head}<tbody>\n{body}\n</tbody></table>"


def _table(title: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], count: int) -> str:
    if not rows:
        return ""
    more = f" ({len(rows)} of {count})" if count > len(rows) else ""
    header: list[_Cell] = [(f"{title}{more}", False), *((name, True) for name in columns)]
    if not columns:
        header.append(("", False))
    return _rows(header, [[(key, False), *cells] for key, *cells in rows])


def _few(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(values.items())[:_MOST]


def _varies(values: Sequence[Any]) -> bool:
    return any(value != values[0] for value in values)


def _metric_keys(run: Run) -> list[str]:
    return headline(run.metrics, _MOST)


def _summary(run: Run, key: str) -> list[_Cell]:
    item = run.metrics[key]
    numbers: list[_Cell] = [(number(value), True) for value in (item.last, item.min, item.max)]
    return [*numbers, (str(item.count), True)]


def _times(run: Run) -> list[str]:
    started = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.start_ms / 1000))
    return [started] if run.duration_ms is None else [started, duration(run.duration_ms)]


def _status(run: Run) -> str:
    code = f", exit {run.exit_code}" if run.exit_code else ""
    color = _COLORS.get(run.status, "inherit")
    return f'<span style="color:{color}">● {_text(run.status)}{code}</span>'


def _value(value: Any) -> _Cell:
    if isinstance(value, Artifact):
        return _text(f"{value.size_bytes:,} B {(value.blob or value.md5 or '')[:8]}"), False
    # Cut before it is made safe: a param may have a megabyte.
    cut = value[: _MOST_CHARS + 1] if isinstance(value, str) else value
    return _text(value_text(cut)), False


def _text(text: str) -> str:
    shown = safe(text[: _MOST_CHARS + 1])
    return escape(shown if len(shown) <= _MOST_CHARS else shown[:_MOST_CHARS] + "…")
