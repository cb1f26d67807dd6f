"""`gittrack run`: record any program as a run."""

from __future__ import annotations

import argparse
import os
import sys

from gittrack.cli import recording
from gittrack.cli.output import Output
from gittrack.cli.output.text import safe
from gittrack.core.model import short_id
from gittrack.errors import UsageError
from gittrack.repo.detached import find_recording

HELP = (
    "Run a program and record it: its output, its exit code, and the results it leaves in "
    "params.yaml, metrics.json and history.csv. Steps and scripts inside join the run."
)
EXAMPLE = "gittrack run --name first -P lr=0.1 -- python -c 'print(1)'"
#: What stands behind it is not ours to read.
PASSES_ON = ("--",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `run`."""
    parser.add_argument("command", nargs="*", metavar="-- COMMAND", help="the program to run")
    recording.add_new_run(parser)
    parser.add_argument(
        "--artifact", metavar="GLOB", action="append", default=[],
        help="keep the files that match in the end; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--system-metrics", action=argparse.BooleanOptionalAction, default=None,
        help="sample processor, memory, disk, network and GPUs, or do not (system.metrics)",
    )  # fmt: skip


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the program; its exit code is ours."""
    from gittrack.capture.data import check_input
    from gittrack.capture.process import die_of
    from gittrack.tracking import program

    if args.command or not args.passed:
        words = " ".join(args.command) or "COMMAND"
        raise UsageError(
            "the program to run stands behind `--`",
            why="so that its options are never taken for ours",
            next=f"gittrack run -- {words}",
        )
    for path in args.input:
        check_input(path)
    repo = find_recording()
    with program.signals_blocked():
        try:
            active = recording.begin(repo, args, args.passed, is_open=False, captures=True)
            wanted = args.system_metrics
            if repo.config.system_metrics if wanted is None else wanted:
                from gittrack.tracking import sampling

                sampling.watch(active, repo.config.system_interval_s, own=False)
            environ = {**os.environ, recording.VARIABLE: active.id}
            if wanted is not None:
                # For the workers on other hosts, too.
                environ["GITTRACK_SYSTEM_METRICS"] = "true" if wanted else "false"
            # Wherever the program goes, its own gittrack finds the run.
            if environ.get("GITTRACK_JOURNAL"):
                environ["GITTRACK_JOURNAL"] = repo.journal_dir
            else:
                environ.setdefault("GITTRACK_REPO", repo.root)
            ended = program.run_program(
                repo, active, args.passed, environ, inputs=args.input, artifacts=args.artifact
            )
        finally:
            repo.close()
    if sys.stderr.isatty():
        out.note(f"gittrack: run {short_id(active.id)} {safe(active.name)} {ended.status}")
    if ended.signal and ended.status == "killed" and ended.signal != 9:
        die_of(ended.signal)
    return ended.exit_code
