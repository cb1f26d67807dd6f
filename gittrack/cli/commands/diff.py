"""`gittrack diff`: what differs between two runs."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.output.formats import DIFF_FORMATS
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo

HELP = "Show what differs between two runs: params, metrics, tags, facts and source."
EXAMPLE = "gittrack diff @{-1} @      # what changed since the run before"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `diff`."""
    parser.add_argument("a", metavar="RUN", help="the run to compare with")
    parser.add_argument("b", metavar="RUN", help="the run that is compared")
    parser.add_argument("--format", choices=DIFF_FORMATS, help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the differences of the second run from the first."""
    with Repo.find() as repo:
        a, b = repo.get_run(args.a), repo.get_run(args.b)
        found = repo.diff(a, b)
    from gittrack.cli.output import diff

    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(diff.diff_record(found, a, b)))
    elif args.format == "markdown":
        out.lines(diff.render_diff_markdown(found, a, b))
    elif args.format == "table":
        out.lines(diff.render_diff_table(found, out.table_width))
    else:
        out.lines(diff.render_diff(found, a, b, out.style, out.width))
    return EXIT_OK
