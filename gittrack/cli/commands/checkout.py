"""`gittrack checkout`: lay out exactly what ran."""

from __future__ import annotations

import argparse
import os
import sys

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK

HELP = "Lay out exactly what ran in a new folder; your own files stay untouched."
EXAMPLE = "gittrack checkout @ --into ../what-ran"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `checkout`."""
    arguments.add_run(parser)
    parser.add_argument("--into", metavar="DIR", required=True, help="a new or empty folder")
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Lay out the source of a run, and say what it was verified against."""
    with open_repo(out) as repo:
        found = repo.get_run(args.run)
        into = os.path.abspath(args.into)
        done = repo.checkout(found, into, dry_run=args.dry_run, asks=sys.stdin.isatty())
    verb = "would lay out" if args.dry_run else "laid out"
    lines = [f"{verb} {plural(done.files, 'file')} of {safe(found.name)} in {safe(done.into)}"]
    if done.withheld:
        lines.append(
            f"withheld from the record, and not laid out: {plural(len(done.withheld), 'file')}"
        )
        lines += [f"    {safe(path)}" for path in done.withheld]
    else:
        lines.append(f"tree {done.tree}, as it was recorded")
    out.lines(lines)
    return EXIT_OK
