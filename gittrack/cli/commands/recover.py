"""`gittrack recover`: take over the runs of dead processes."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.core.model import short_id
from gittrack.errors import EXIT_OK

HELP = "Take over the runs of dead processes, or those of a journal folder from elsewhere."
EXAMPLE = "gittrack recover ../job-17/journal"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `recover`."""
    parser.add_argument("dir", metavar="DIR", nargs="?", help="a folder GITTRACK_JOURNAL named")
    parser.add_argument(
        "--force", action="store_true", help="also runs of other machines that went quiet"
    )
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Recover, and say what was taken and what was left alone."""
    with open_repo(out) as repo:
        report = repo.recover(args.dir, force=args.force, dry_run=args.dry_run)
    verb = "would recover" if args.dry_run else "recovered"
    lines = [
        f"{verb} {safe(short_id(item.run_id))} as {item.status}, {plural(item.points, 'point')}"
        for item in report.recovered
    ]
    lines += [
        f"left alone {safe(short_id(item.run_id))} of {safe(item.writer)}: {safe(item.why)}"
        for item in report.waiting
    ]
    if report.rejoined:
        lines.append(f"{verb} {plural(report.rejoined, 'run')} that the store had lost")
    out.lines(lines or ["nothing to recover"])
    return EXIT_OK
