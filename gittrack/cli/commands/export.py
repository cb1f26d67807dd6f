"""`gittrack export`: make a commit of a run for another tool."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK

HELP = (
    "Make a commit of a run that another tool reads, and print its id alone: for DVC one with the "
    "run's files at its root, from which dvc get, import, diff and exp show work."
)
EXAMPLE = "gittrack export @ --to dvc --tag exports/forest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `export`."""
    arguments.add_run(parser)
    parser.add_argument("--to", choices=("dvc",), required=True, help="the tool that is to read it")
    parser.add_argument(
        "--tag", metavar="NAME", help="put this git tag on the commit, so that it can be pushed"
    )
    parser.add_argument("--force", action="store_true", help="move the tag if it is elsewhere")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the commit, and beside it what is to be known of it."""
    with open_repo(out) as repo:
        done = repo.export_dvc(repo.get_run(args.run), args.tag, force=args.force)
    for note in done.notes:
        out.note(f"gittrack: {safe(note)}")
    out.data(f"{done.commit}\n")
    return EXIT_OK
