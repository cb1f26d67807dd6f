"""`gittrack compare`: several runs side by side."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.cli.session import open_repo
from gittrack.core.headline import is_system
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, UsageError

HELP = "Show several runs side by side: only what differs, each metric against the baseline."
EXAMPLE = "gittrack compare @{-2} @{-1} @ --transpose"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `compare`."""
    arguments.add_run(
        parser, "runs", nargs="+", help="runs; a commit stands for all runs recorded there"
    )
    parser.add_argument("--format", choices=LIST_FORMATS, default="table", help="default: table")
    arguments.completed(
        parser.add_argument(
            "--baseline", metavar="RUN", help="the run to compare with (default: the first)"
        ),
        arguments.RUNS,
    )
    parser.add_argument(
        "-T", "--transpose", action="store_true", help="a column for each run, a row for each key"
    )
    parser.add_argument("--all", action="store_true", help="also what does not differ")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the comparison."""
    from gittrack.cli.output.compare import comparison_records, comparison_rows
    from gittrack.core.compare import Line, compare_runs

    with open_repo(out) as repo:
        names = [args.baseline, *args.runs] if args.baseline else args.runs
        found: dict[str, Run] = {}
        for name in names:
            found.update((item.id, item) for item in repo.get_runs(name))
        runs = list(found.values())
    if len(runs) < 2:
        raise UsageError(
            "there is only one run to compare",
            why=f"every name stands for {runs[0].short_id} {runs[0].name}",
            next="gittrack compare @{-1} @",
        )
    lines: list[Line] = compare_runs(runs, equal=args.all)
    hidden = 0
    if not args.all and args.format in ("table", "markdown"):
        shown = [line for line in lines if line.kind != "metric" or not is_system(line.key)]
        hidden, lines = len(lines) - len(shown), shown
    if args.format in ("json", "jsonl"):
        from gittrack.cli.output.records import render_json, render_jsonl

        records = comparison_records(runs, lines)
        out.data(render_json(records) if args.format == "json" else render_jsonl(records))
        return EXIT_OK
    machine = args.format in ("csv", "tsv")
    header, rows = comparison_rows(runs, lines, transpose=args.transpose, machine=machine)
    if machine:
        from gittrack.cli.output.tables import render_separated

        out.data(render_separated(header, rows, args.format))
    elif args.format == "markdown":
        from gittrack.cli.output.tables import render_markdown

        out.lines(render_markdown(header, rows))
    else:
        from gittrack.cli.output.runs import print_table

        print_table(header, rows, out)
        if lines:
            out.lines(["", "* the baseline"])
        else:
            out.note("nothing differs but id, name and times; --all shows what is equal")
    if hidden:
        out.note(f"{hidden} of the machine's metrics differ too: --all shows them")
    return EXIT_OK
