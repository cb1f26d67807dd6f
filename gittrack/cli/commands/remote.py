"""`gittrack remote`: choose the remotes that get and give runs."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.output.text import safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK, UsageError

HELP = "List the remotes that get and give runs, add one, or take one away."
EXAMPLE = "gittrack remote share origin"
_VERBS = ("list", "share", "unshare")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `remote`."""
    parser.add_argument("verb", nargs="?", choices=_VERBS, default="list", help="default: list")
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="the remote's name")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    if args.verb != "list" and not args.remote:
        raise UsageError(
            f"which remote to {args.verb}?",
            why="git remote lists them",
            next=f"gittrack remote {args.verb} origin",
        )
    with open_repo(out) as repo:
        if args.verb == "share":
            share = repo.share_remote(args.remote)
            was = "gets and gives runs from now on" if share.is_new else "did so already"
            out.lines([f"{safe(share.name)} {was}"])
        elif args.verb == "unshare":
            was_shared = repo.unshare_remote(args.remote)
            said = "gets and gives no more runs" if was_shared else "was not shared"
            out.lines([f"{safe(args.remote)} {said}"])
        else:
            out.lines(safe(name) for name in repo.shared_remotes())
    return EXIT_OK
