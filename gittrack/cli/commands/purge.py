"""`gittrack purge`: take runs out of the store for good."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK, UsageError

HELP = "Take runs out of the store for good, here and in every clone that pulls."
EXAMPLE = "gittrack purge brave-otter"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `purge`."""
    arguments.add_run(parser, "runs", nargs="*")
    parser.add_argument(
        "--rewrite-history", action="store_true",
        help="begin the history of the store anew, so that git drops what was purged",
    )  # fmt: skip
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it, and say what is left to do."""
    if not args.runs and not args.rewrite_history:
        raise UsageError("which runs?", why="purge has none to take", next="gittrack purge RUN")
    would = "would purge" if args.dry_run else "purged"
    with open_repo(out) as repo:
        found = [repo.get_run(name) for name in args.runs]
        if found:
            done = repo.purge_runs(found, dry_run=args.dry_run)
            out.lines(f"{would} {safe(run.short_id)} {safe(run.name)}" for run in found)
            if done.overlays:
                files = plural(len(done.overlays), "set")
                out.lines([f"{would} {files} of changed files that only they had run"])
            for tag in done.tags:
                out.note(f"the tag {safe(tag)} holds what was exported: git tag -d {safe(tag)}")
        if not args.rewrite_history:
            out.note(
                "every clone drops them when it pulls; old commits still hold them, here and\n"
                "where they were pushed, until: gittrack purge --rewrite-history"
            )
        elif args.dry_run:
            out.lines(["would replace the history of the store by one commit"])
        else:
            epoch = repo.rewrite_history()
            out.lines([f"the history of the store begins anew: epoch {epoch}, one commit"])
            _tell_the_rest(repo.shared_remotes(), out)
    return EXIT_OK


def _tell_the_rest(remotes: list[str], out: Output) -> None:
    """What only people can do: reach every copy."""
    out.note("to drop the old objects:")
    for name in remotes:
        out.note(f"    gittrack push {safe(name)}")
    out.note("    git reflog expire --expire=now refs/gittrack/store/main && git gc --prune=now")
    out.note(
        "the same after a pull in every other clone. A host keeps them until it collects garbage,\n"
        "and whoever fetched them may: treat a secret that was pushed as known."
    )
