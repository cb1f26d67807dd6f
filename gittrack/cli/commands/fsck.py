"""`gittrack fsck`: check the store."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_FIXABLE, EXIT_OK

HELP = (
    "Check every object, file and law of the store, and name what is wrong with which run; 1 if "
    "anything is damaged or broken."
)
EXAMPLE = "gittrack fsck --history"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `fsck`."""
    parser.add_argument(
        "--history", action="store_true", help="also what earlier commits of the store hold"
    )
    parser.add_argument(
        "--sources", action="store_true",
        help="also rebuild what ran, wherever the commit that it stands on is here",
    )  # fmt: skip
    parser.add_argument("--format", choices=("json",), help="a form other than the usual one")
    parser.add_argument(
        "--porcelain", nargs="?", const="v1", choices=("v1",), metavar="v1",
        help="the form for scripts; it never changes",
    )  # fmt: skip


def run(args: argparse.Namespace, out: Output) -> int:
    """Print what was found, the worst first, and how much was looked at."""
    from gittrack.cli.output.fsck import render_report, report_record, report_rows

    with open_repo(out) as repo:
        report = repo.fsck(history=args.history, sources=args.sources, progress=out.progress)
    out.progress("")
    if args.porcelain:
        from gittrack.cli.output.porcelain import render_lines

        out.data(render_lines(report_rows(report)))
    elif args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(report_record(report)))
    else:
        out.lines(render_report(report, out.style, out.width))
    return EXIT_OK if report.is_sound else EXIT_FIXABLE
