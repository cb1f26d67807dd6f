"""Print a list of plain records that are not runs: experiments, settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gittrack.cli.output import Output


def print_records(
    records: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str, out: Output
) -> None:
    """Print records of the same keys; each format imports what it needs, and no more."""
    if form in ("json", "jsonl"):
        from gittrack.cli.output.records import render_json, render_jsonl

        out.data(render_json(records) if form == "json" else render_jsonl(records))
        return
    from gittrack.cli.output.columns import cell_text, machine_text
    from gittrack.cli.output.runs import print_table
    from gittrack.cli.output.tables import render_markdown, render_separated

    if form in ("csv", "tsv"):
        rows = [[machine_text(record[name]) for name in columns] for record in records]
        out.data(render_separated(columns, rows, form))
        return
    rows = [[cell_text(record[name]) for name in columns] for record in records]
    if form == "markdown":
        out.lines(render_markdown(columns, rows))
    else:
        print_table(columns, rows, out)
