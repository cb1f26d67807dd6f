"""`gittrack experiments`: list experiments."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.cli.output.lists import print_records
from gittrack.cli.output.records import time_or_none
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo

HELP = "List experiments, the one with the latest run first."
EXAMPLE = "gittrack experiments --format json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `experiments`."""
    parser.add_argument("--format", choices=LIST_FORMATS, default="table", help="default: table")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the experiments."""
    with Repo.find() as repo:
        records = [
            {
                "name": item.experiment.name,
                "runs": item.runs,
                "last": time_or_none(item.last_ms),
                "id": item.experiment.id,
                "tags": dict(item.experiment.tags),
                "deleted": item.experiment.deleted,
            }
            for item in repo.experiments()
        ]
    print_records(records, ("name", "runs", "last", "id"), args.format, out)
    return EXIT_OK
