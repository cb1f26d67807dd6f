"""`gittrack status`: how things stand."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo

HELP = "Show what runs, what was lost and what needs a look."
EXAMPLE = "gittrack status --format json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `status`."""
    parser.add_argument("--format", choices=("json",), help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print how things stand."""
    from gittrack.cli.output.status import render_status, status_record

    with Repo.find() as repo:
        status = repo.status()
    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(status_record(status)))
    else:
        out.lines(render_status(status, out.style, out.width))
    return EXIT_OK
