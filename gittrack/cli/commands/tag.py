"""`gittrack tag`: set and remove tags of a run."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.editing import report
from gittrack.cli.output import Output
from gittrack.cli.session import open_repo
from gittrack.errors import UsageError

HELP = "Set and remove tags of a run."
EXAMPLE = "gittrack tag @ team=vision --delete draft"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `tag`."""
    arguments.add_run(parser)
    parser.add_argument("tags", nargs="*", metavar="KEY=TEXT", help="tags to set")
    parser.add_argument(
        "--delete", action="append", default=[], metavar="KEY", help="remove a tag; repeatable"
    )
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Change the tags."""
    tags = arguments.key_values(args.tags, f"gittrack tag {args.run} team=vision")
    if not tags and not args.delete:
        raise UsageError(
            "there is no tag to set or to delete",
            why="a tag is KEY=TEXT",
            next=f"gittrack tag {args.run} team=vision",
        )
    with open_repo(out) as repo:
        found = repo.get_run(args.run)
        edits = repo.set_tags([found], tags, args.delete, dry_run=args.dry_run)
        return report(edits, [found], out, dry_run=args.dry_run)
