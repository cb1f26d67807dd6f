"""`gittrack config`: settings and where they come from."""

from __future__ import annotations

import argparse
import os

from gittrack.cli.output import Output
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.cli.output.lists import print_records
from gittrack.cli.session import open_repo
from gittrack.config import describe
from gittrack.errors import EXIT_OK

HELP = "List every setting with its value and where that comes from."
EXAMPLE = "gittrack config --format json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `config`."""
    parser.add_argument("--format", choices=LIST_FORMATS, default="table", help="default: table")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the settings."""
    with open_repo(out) as repo:
        worktree = None if repo.is_bare else repo.root
        records = [item._asdict() for item in describe(worktree, repo.git_config, os.environ)]
    print_records(records, ("name", "value", "origin"), args.format, out)
    return EXIT_OK
