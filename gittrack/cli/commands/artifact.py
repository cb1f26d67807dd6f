"""`gittrack artifact`: keep files with a run that a script records step by step."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments, recording
from gittrack.cli.output import Output
from gittrack.errors import EXIT_OK

HELP = "Keep files and folders with the run that GITTRACK_RUN_ID names."
EXAMPLE = "gittrack artifact train.py --into code"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `artifact`."""
    arguments.completed(
        parser.add_argument("paths", nargs="+", metavar="PATH", help="files or folders"),
        arguments.FILES,
    )
    parser.add_argument("--into", metavar="DIR", help="the folder of the run's artifacts")
    recording.add_joined(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Keep them."""
    with recording.joined(args) as active:
        for path in args.paths:
            active.log_artifact(path, args.into)
    return EXIT_OK
