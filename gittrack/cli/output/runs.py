"""Print runs in any of the formats that a list of them has."""

from __future__ import annotations

from collections.abc import Sequence

from gittrack.cli.output import Output
from gittrack.cli.output.formats import HUMAN, LOG_FORMATS, PORCELAIN
from gittrack.cli.output.text import cut, plural
from gittrack.core.model import Run


def print_runs(
    runs: Sequence[Run],
    form: str,
    columns: Sequence[str],
    out: Output,
    *,
    only_changed: bool = False,
    end: str = "\n",
) -> None:
    """Print runs; each format imports what it needs, and no more.

    Args:
        only_changed: leave out columns of a table in which all runs agree.
        end: what ends a line of porcelain or of a template.
    """
    if form in (HUMAN, "oneline"):
        from gittrack.cli.output.log import render_log, render_oneline

        if form == HUMAN:
            out.lines(render_log(runs, out.style, out.width))
        else:
            out.lines(render_oneline(runs, out.style, out.table_width))
    elif form in ("json", "jsonl"):
        from gittrack.cli.output.columns import select
        from gittrack.cli.output.records import render_json, render_jsonl, to_record

        records = [to_record(run) for run in runs] if not columns else select(runs, columns)
        out.data(render_json(records) if form == "json" else render_jsonl(records))
    elif form == PORCELAIN:
        from gittrack.cli.output.porcelain import render_porcelain

        out.data(render_porcelain(runs, columns, end))
    elif form not in LOG_FORMATS:
        from gittrack.cli.output.template import render_template

        out.data(render_template(runs, form, out.style, end))
    else:
        from gittrack.cli.output.columns import machine_rows, table_rows
        from gittrack.cli.output.tables import render_markdown, render_separated

        if form in ("csv", "tsv"):
            out.data(render_separated(*machine_rows(runs, columns), form))
        elif form == "markdown":
            out.lines(render_markdown(*table_rows(runs, columns, only_changed=only_changed)))
        else:
            print_table(*table_rows(runs, columns, only_changed=only_changed), out)


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]], out: Output) -> None:
    """Print a table, and say which columns had no room."""
    from gittrack.cli.output.tables import hidden_columns, render_table

    out.lines(render_table(header, rows, out.table_width))
    hidden = hidden_columns(header, rows, out.table_width)
    if hidden:
        shown = ", ".join(hidden[:4]) + (", ..." if len(hidden) > 4 else "")
        out.note(f"no room for {plural(len(hidden), 'column')}: {cut(shown, 60)}")
