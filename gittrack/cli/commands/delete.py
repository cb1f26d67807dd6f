"""`gittrack delete`: hide runs."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.editing import report
from gittrack.cli.output import Output
from gittrack.cli.session import open_repo

HELP = "Hide runs from every list; nothing is lost, and `restore` brings them back."
EXAMPLE = "gittrack delete brave-otter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `delete`."""
    arguments.add_run(parser, "runs", nargs="+")
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, in one commit for all of them."""
    with open_repo(out) as repo:
        found = [repo.get_run(name) for name in args.runs]
        edits = repo.delete_runs(found, dry_run=args.dry_run)
        return report(edits, found, out, dry_run=args.dry_run)
