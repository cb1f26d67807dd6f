"""`gittrack history`: who changed what of a run, and when."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK

HELP = "Show who changed what of a run, and when, newest first."
EXAMPLE = "gittrack history @"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `history`."""
    arguments.add_run(parser, nargs="?", default="@")
    parser.add_argument("--format", choices=("json",), help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the commits of the store that changed the run."""
    from gittrack.cli.output import history

    with open_repo(out) as repo:
        found = repo.get_run(args.run)
        entries = repo.get_history(found)
    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(history.history_records(entries)))
        return EXIT_OK
    out.lines(history.render_history(entries, out.style, out.width))
    if not entries:
        out.note(f"run '{found.name}' is not in the store yet: it is {found.status}")
    return EXIT_OK
