"""`gittrack bundle`: carry runs in a file."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK, UsageError

HELP = "Write runs into a file, or take in those of one, where no network joins two machines."
EXAMPLE = "gittrack bundle create runs.bundle"
_VERBS = ("create", "apply")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `bundle`."""
    parser.add_argument("verb", choices=_VERBS, help="what to do with the file")
    arguments.completed(
        parser.add_argument("file", metavar="FILE", help="the bundle"), arguments.FILES
    )
    parser.add_argument(
        "--since", metavar="WHAT",
        help="with create: leave out what the other side has: a commit of the store, an earlier "
        "bundle, or a time such as 2.days.ago",
    )  # fmt: skip
    parser.add_argument(
        "--no-sources", action="store_true",
        help="with create: leave out the commits that runs stand on",
    )  # fmt: skip


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, and say how many runs there are in it, or came out of it."""
    if args.verb == "apply" and (args.since or args.no_sources):
        raise UsageError(
            "--since and --no-sources go with create",
            why="a bundle is taken in whole, and twice is the same as once",
            next=f"gittrack bundle apply {args.file}",
        )
    name = safe(args.file)
    with open_repo(out) as repo:
        if args.verb == "apply":
            done = repo.apply_bundle(args.file)
            out.lines([f"{plural(done.runs, 'run')} came from {name}"])
            return EXIT_OK
        sources = False if args.no_sources else None
        done = repo.create_bundle(args.file, since=args.since, sources=sources)
    if done.is_empty:
        out.note("nothing was written: there is nothing that the other side does not have")
    else:
        out.lines([f"wrote {plural(done.runs, 'run')} to {name}"])
    return EXIT_OK
