"""`gittrack status`: how things stand."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.session import open_to_read
from gittrack.errors import EXIT_OK

HELP = "Show what runs, what was lost and what needs a look."
EXAMPLE = "gittrack status --format json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `status`."""
    parser.add_argument("--format", choices=("json",), help="a form other than the usual one")
    parser.add_argument(
        "--porcelain", nargs="?", const="v1", choices=("v1",), metavar="v1",
        help="the form for scripts; it never changes",
    )  # fmt: skip


def run(args: argparse.Namespace, out: Output) -> int:
    """Print how things stand."""
    from gittrack.cli.output.status import render_status, status_record, status_rows

    with open_to_read(out) as repo:
        status = repo.status()
    if args.porcelain:
        from gittrack.cli.output.porcelain import render_lines

        out.data(render_lines(status_rows(status)))
    elif args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(status_record(status)))
    else:
        out.lines(render_status(status, out.style, out.width))
    return EXIT_OK
