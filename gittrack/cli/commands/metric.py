"""`gittrack metric`: record points of a run that a script records, or a stream of them."""

from __future__ import annotations

import argparse
import os
import sys

from gittrack.cli import recording
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.errors import EXIT_FIXABLE, EXIT_OK, UsageError
from gittrack.tracking.active import ActiveRun
from gittrack.tracking.stream import Parser, Row

HELP = (
    "Record points of the run that GITTRACK_RUN_ID names. With `-` they are read from standard "
    "input as they come: `key value [step]` lines, or JSON lines."
)
EXAMPLE = "gittrack metric loss=0.5 acc=0.9 --step 3"
_READ_BYTES = 1 << 20
#: So many lines that could not be read are named; of the others there is a count.
_NAMED = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `metric`."""
    parser.add_argument("points", nargs="+", metavar="KEY=NUMBER", help="points, or - for a stream")
    parser.add_argument(
        "--step", type=int, metavar="N", help="your own count; without it each key's next"
    )
    recording.add_joined(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Record the points."""
    if args.points == ["-"]:
        if args.step is not None:
            raise UsageError(
                "--step has no place with a stream",
                why="every line may have its own: `loss 0.5 3`",
                next="gittrack metric -",
            )
        with recording.joined(args) as active:
            return _stream(active, sys.stdin.fileno(), out)
    points = dict(recording.point(text) for text in args.points)
    with recording.joined(args) as active:
        active.log_metrics(points, step=args.step)
    return EXIT_OK


def _stream(active: ActiveRun, fd: int, out: Output) -> int:
    """Record what comes, whole lines at a time; bad lines are told and passed over."""
    parser = Parser()
    rest = b""
    before = 0
    count = 0
    while data := os.read(fd, _READ_BYTES):
        *lines, rest = (rest + data).split(b"\n")
        count += _take(active, parser, lines, before, count, out)
        before += len(lines)
    if rest.strip():
        count += _take(active, parser, [rest], before, count, out)
    if count > _NAMED:
        out.note(f"{plural(count, 'line')} could not be read in all")
    return EXIT_FIXABLE if count else EXIT_OK


def _take(
    active: ActiveRun, parser: Parser, lines: list[bytes], before: int, count: int, out: Output
) -> int:
    rows: list[Row] = []
    bad = parser.parse(lines, rows)
    if rows:
        active.log_points(rows)
    for number in bad[: max(0, _NAMED - count)]:
        text = safe(lines[number][:60].decode("utf-8", "replace"))
        out.note(f"line {before + number + 1} is neither `key value [step]` nor JSON: {text}")
    return len(bad)
