"""`gittrack blame`: the commit where the level of a metric shifts."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.session import open_to_read
from gittrack.errors import EXIT_OK

HELP = (
    "Name the first commit where the level of a metric shifts, against the noise of its runs: "
    "what it was before and after, and which params and files differ."
)
EXAMPLE = "gittrack blame accuracy"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `blame`."""
    add = parser.add_argument
    arguments.completed(
        add("metric", metavar="METRIC", help="its key, or min(KEY), max(KEY)"), arguments.METRICS
    )
    add("revisions", nargs="*", metavar="REVISION", help="commits and ranges (default: HEAD)")
    arguments.completed(
        add("--experiment", metavar="NAME", help="only runs of this one count"),
        arguments.EXPERIMENTS,
    )
    arguments.completed(
        add("--where", default="", metavar="FILTER", help="only runs that pass count"),
        arguments.FIELDS,
    )
    add("--all", action="store_true", help="every shift, not only the first")
    add("--format", choices=("json",), help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the first shift, or all of them, or that there is none."""
    from gittrack.cli.output import blame as page

    with open_to_read(out) as repo:
        found = repo.blame(
            args.metric, args.revisions or ("HEAD",), experiment=args.experiment,
            where=args.where, every=args.all,
        )  # fmt: skip
        if args.format == "json":
            from gittrack.cli.output.records import render_json

            out.data(render_json(page.blame_record(found)))
            return EXIT_OK
        out.lines(page.render_blame(found, out.style, out.width))
        for note in page.notes(found, asked=bool(args.experiment)):
            out.note(note)
    return EXIT_OK
