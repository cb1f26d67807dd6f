"""`gittrack rename`: call a run otherwise."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.editing import report
from gittrack.cli.output import Output
from gittrack.cli.session import open_repo

HELP = "Call a run otherwise; its id stays."
EXAMPLE = "gittrack rename @ baseline"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `rename`."""
    arguments.add_run(parser)
    parser.add_argument("name", metavar="NAME", help="the new name")
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Rename the run."""
    with open_repo(out) as repo:
        found = repo.get_run(args.run)
        edits = repo.rename_run(found, args.name, dry_run=args.dry_run)
        return report(edits, [found], out, dry_run=args.dry_run)
