"""`gittrack finish`: end a run that a script records step by step."""

from __future__ import annotations

import argparse

from gittrack.cli import recording
from gittrack.cli.output import Output
from gittrack.core.model import END_STATUSES, FAILED, FINISHED
from gittrack.errors import EXIT_OK
from gittrack.repo.detached import find_recording
from gittrack.tracking.active import ActiveRun

HELP = "End the run that GITTRACK_RUN_ID names."
EXAMPLE = "gittrack finish --exit 0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `finish`."""
    parser.add_argument("--status", choices=sorted(END_STATUSES), help="how it ended")
    parser.add_argument(
        "--exit", type=int, metavar="CODE", help="the exit code; another than 0 is a failed run"
    )
    recording.add_joined(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """End it, and commit it."""
    run_id = recording.joined_id(args)
    status = args.status or (FAILED if args.exit else FINISHED)
    repo = find_recording()
    try:
        active = ActiveRun(repo.finish_run(run_id), repo.recorder(), repo.config)
        active.end(status, args.exit)
    finally:
        repo.close()
    return EXIT_OK
