"""`gittrack start`: begin a run that a script records step by step."""

from __future__ import annotations

import argparse

from gittrack.capture import data
from gittrack.cli import recording
from gittrack.cli.output import Output
from gittrack.errors import EXIT_OK
from gittrack.repo.detached import find_recording

HELP = "Begin a run that a script records step by step, and print its id."
EXAMPLE = "gittrack start --name first        # export GITTRACK_RUN_ID=$(gittrack start)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `start`."""
    recording.add_new_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Begin the run; nothing but its id goes to standard output."""
    for path in args.input:
        data.check_input(path)
    repo = find_recording()
    try:
        active = recording.begin(repo, args, None, is_open=True, captures=False)
        for path in args.input:
            active.log_input(path)
        active.leave_open()
    finally:
        repo.close()
    out.lines([active.id])
    return EXIT_OK
