"""`gittrack gc`: free what no run needs."""

from __future__ import annotations

import argparse
import sys

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe, size
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_FIXABLE, EXIT_OK, UsageError
from gittrack.repo import Repo
from gittrack.repo.upkeep import Collected

HELP = (
    "Delete large artifacts that no run needs: none that is here, hidden or running ones included. "
    "What is younger than an hour stays."
)
EXAMPLE = "gittrack gc --dry-run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `gc`."""
    parser.add_argument(
        "--remote", nargs="?", const="", metavar="NAME",
        help="also on that remote for artifacts, of all git remotes' runs: what nobody has needed "
        "for two weeks; default: as configured",
    )  # fmt: skip
    parser.add_argument(
        "--now", action="store_true", help="with --remote: do not wait for two weeks"
    )
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Delete them, and say how much that was."""
    if args.now and args.remote is None:
        raise UsageError("--now goes with --remote", next="gittrack gc --remote --now")
    with open_repo(out) as repo:
        done = repo.collect_garbage(dry_run=args.dry_run)
        _tell(done, args, out)
        return EXIT_OK if args.remote is None else _sweep(repo, args, out)


def _sweep(repo: Repo, args: argparse.Namespace, out: Output) -> int:
    asks = sys.stdin.isatty()
    # What only others know would count as needed by nobody.
    for name in repo.shared_remotes():
        repo.pull(name, asks=asks)
    wait_s = 0.0 if args.now else None
    done = repo.sweep_remote(args.remote or None, wait_s=wait_s, dry_run=args.dry_run, asks=asks)
    verb = "would delete" if args.dry_run else "deleted"
    out.lines([f"{verb} {plural(done.objects, 'object')} on the remote, {size(done.size_bytes)}"])
    if done.waiting:
        more = plural(done.waiting, "more object")
        wait = "are deleted when that has been so for two weeks, or with --now"
        out.lines([f"{more} that no run needs, {size(done.waiting_bytes)}, {wait}"])
    for md5, why in list(done.failed.items())[:20]:
        out.note(f"gittrack: {md5}: {safe(why)}")
    return EXIT_FIXABLE if done.failed else EXIT_OK


def _tell(done: Collected, args: argparse.Namespace, out: Output) -> None:
    verb = "would delete" if args.dry_run else "deleted"
    lines = [f"{verb} {plural(done.objects, 'object')} that no run needs, {size(done.size_bytes)}"]
    if done.leftovers:
        lines.append(f"{verb} {plural(done.leftovers, 'file')} of writers that died")
    out.lines(lines)
