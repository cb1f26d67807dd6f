"""`gittrack param`: record params of a run that a script records step by step."""

from __future__ import annotations

import argparse

from gittrack.cli import recording
from gittrack.cli.output import Output
from gittrack.errors import EXIT_OK

HELP = "Record params of the run that GITTRACK_RUN_ID names."
EXAMPLE = "gittrack param lr=0.1 model=forest"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `param`."""
    parser.add_argument("params", nargs="+", metavar="KEY=VALUE", help="params, written once")
    recording.add_joined(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Record them, all or none."""
    params = recording.parse_params(args.params)
    with recording.joined(args) as active:
        active.log_params(params)
    return EXIT_OK
