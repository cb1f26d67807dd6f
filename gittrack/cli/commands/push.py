"""`gittrack push`: exchange runs with a remote."""

from __future__ import annotations

import argparse

from gittrack.cli import exchanging
from gittrack.cli.output import Output
from gittrack.repo import Repo

HELP = "Send the runs that are here to a remote; what others pushed first is joined."
EXAMPLE = "gittrack push origin"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `push`."""
    exchanging.add_arguments(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, and say how many runs came or went."""
    return exchanging.exchange(args, out, Repo.push)
