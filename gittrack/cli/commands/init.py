"""`gittrack init`: make the store."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.exchanging import hook_lines
from gittrack.cli.output import Output
from gittrack.cli.output.text import safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK

HELP = "Make the store in this repository; safe to repeat, and not required."
EXAMPLE = "gittrack init"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `init`."""
    parser.add_argument("--no-hooks", action="store_true", help="install no git hooks")
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Make the store and say what was written."""
    with open_repo(out) as repo:
        done = repo.init(hooks=not args.no_hooks, dry_run=args.dry_run)
    out.lines(safe(line) for line in done.lines)
    out.lines(hook_lines(done.hooks, dry_run=args.dry_run, shares=done.share is not None))
    return EXIT_OK
