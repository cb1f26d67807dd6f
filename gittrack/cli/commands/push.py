"""`gittrack push`: exchange runs with a remote."""

from __future__ import annotations

import argparse

from gittrack.cli.exchanging import add_arguments, exchange
from gittrack.cli.output import Output
from gittrack.repo import Repo

__all__ = ["EXAMPLE", "HELP", "add_arguments", "run"]

HELP = "Send the runs that are here to a remote; what others pushed first is joined."
EXAMPLE = "gittrack push origin"


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, and say how many runs came or went."""
    return exchange(args, out, Repo.push)
