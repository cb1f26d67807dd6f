"""`gittrack completion`: the completion script of a shell."""

from __future__ import annotations

import argparse

from gittrack.cli.completion import SCRIPTS, SHELLS
from gittrack.cli.output import Output
from gittrack.errors import EXIT_OK

HELP = "Print the completion script of a shell: commands, options, runs, metrics, params."
EXAMPLE = 'gittrack completion bash    # eval "$(gittrack completion bash)" switches it on'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `completion`."""
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the script; it asks gittrack itself, so it never needs to be installed anew."""
    out.data(SCRIPTS[args.shell])
    return EXIT_OK
