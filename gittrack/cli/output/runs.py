"""Print runs in any of the formats that a list of them has."""

from __future__ import annotations

from collections.abc import Sequence

from gittrack.cli.output import Output
from gittrack.cli.output.formats import HUMAN
from gittrack.core.model import Run


def print_runs(runs: Sequence[Run], form: str, columns: Sequence[str], out: Output) -> None:
    """Print runs; each format imports what it needs, and no more."""
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
    else:
        from gittrack.cli.output.columns import machine_rows, table_rows
        from gittrack.cli.output.tables import render_markdown, render_separated, render_table

        if form in ("csv", "tsv"):
            out.data(render_separated(*machine_rows(runs, columns), form))
        elif form == "markdown":
            out.lines(render_markdown(*table_rows(runs, columns)))
        else:
            out.lines(render_table(*table_rows(runs, columns), out.table_width))
