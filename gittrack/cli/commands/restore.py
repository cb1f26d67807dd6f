"""`gittrack restore`: bring deleted runs back."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.editing import report
from gittrack.cli.output import Output
from gittrack.cli.session import open_repo

HELP = "Bring deleted runs back."
EXAMPLE = "gittrack restore brave-otter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `restore`."""
    arguments.add_run(parser, "runs", nargs="+")
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, in one commit for all of them."""
    with open_repo(out) as repo:
        found = [repo.get_run(name) for name in args.runs]
        edits = repo.restore_runs(found, dry_run=args.dry_run)
        return report(edits, found, out, dry_run=args.dry_run)
