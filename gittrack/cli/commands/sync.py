"""`gittrack sync`: exchange runs with a remote."""

from __future__ import annotations

import argparse

from gittrack.cli import exchanging
from gittrack.cli.output import Output
from gittrack.repo import Repo

HELP = "Bring the runs of a remote, join them, and send those that are here."
EXAMPLE = "gittrack sync origin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `sync`."""
    exchanging.add_arguments(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, and say how many runs came or went."""
    return exchanging.exchange(args, out, Repo.pull, Repo.push)
