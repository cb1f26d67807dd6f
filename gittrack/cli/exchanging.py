"""What pull, push and sync share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo
from gittrack.repo.sync import Synced


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the remote and the deadline."""
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="default: that of the branch")
    parser.add_argument(
        "--deadline", type=float, metavar="S", help="give up after so many seconds; ask nothing"
    )


def exchange(args: argparse.Namespace, out: Output, *steps: Callable[..., Synced]) -> int:
    """Do the steps with the remote, and say what went where."""
    with open_repo(out) as repo:
        share = repo.share_remote(args.remote)
        if share.is_new:
            out.note(
                f"gittrack: {safe(share.name)} gets and gives runs from now on; "
                f"to stop: gittrack remote unshare {safe(share.name)}"
            )
        asks = args.deadline is None and sys.stdin.isatty()
        received = sent = 0
        for step in steps:
            done = step(repo, share.name, deadline_s=args.deadline, asks=asks)
            received, sent = received + done.received, sent + done.sent
    said = []
    if received or Repo.pull in steps:
        said.append(f"{plural(received, 'run')} came from {safe(share.name)}")
    if Repo.push in steps:
        said.append(f"{plural(sent, 'run')} went to {safe(share.name)}")
    out.lines(said)
    return EXIT_OK
