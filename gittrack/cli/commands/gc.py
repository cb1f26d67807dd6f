"""`gittrack gc`: free what no run needs."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, size
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK

HELP = (
    "Delete large artifacts that no run needs: none that is here, hidden or running ones included. "
    "What is younger than an hour stays."
)
EXAMPLE = "gittrack gc --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gc`."""
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Delete them, and say how much that was."""
    with open_repo(out) as repo:
        done = repo.collect_garbage(dry_run=args.dry_run)
    verb = "would delete" if args.dry_run else "deleted"
    lines = [f"{verb} {plural(done.objects, 'object')} that no run needs, {size(done.size_bytes)}"]
    if done.leftovers:
        lines.append(f"{verb} {plural(done.leftovers, 'file')} of writers that died")
    out.lines(lines)
    return EXIT_OK
