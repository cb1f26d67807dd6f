"""What pull, push and sync share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator

from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo
from gittrack.repo.sharing import Share
from gittrack.repo.sync import Moved, Synced
from gittrack.store.hooks import Hook

_MOVED = {
    Moved.DELETED: "the runs of {name} had been deleted there",
    Moved.REWOUND: "{name} had been set back, and lacked runs that it once had",
    Moved.REPLACED: "{name} had been forced to another history; both are joined here",
    Moved.REWRITTEN: "the history of {name} had been rewritten, and is taken over",
}
_KEPT = (Moved.DELETED, Moved.REWOUND)


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
        tell_share(share, out)
        asks = args.deadline is None and sys.stdin.isatty()
        done = [step(repo, share.name, deadline_s=args.deadline, asks=asks) for step in steps]
    received, sent = sum(item.received for item in done), sum(item.sent for item in done)
    pushes = Repo.push in steps
    for item in done:
        for line in _warnings(item, pushes=pushes):
            out.note(f"gittrack: {line}")
    said = []
    if done[-1].is_empty and not pushes:
        said.append(f"{safe(share.name)} has no runs")
    elif received or Repo.pull in steps:
        said.append(f"{plural(received, 'run')} came from {safe(share.name)}")
    if pushes:
        said.append(f"{plural(sent, 'run')} went to {safe(share.name)}")
    out.lines(said)
    return EXIT_OK


def tell_share(share: Share, out: Output) -> None:
    """Say that a remote gets and gives runs from now on, if that is new."""
    if not share.is_new:
        return
    name = safe(share.name)
    out.note(
        f"gittrack: {name} gets and gives runs from now on; to stop: gittrack remote unshare {name}"
    )
    for line in hook_lines(share.hooks):
        out.note(f"gittrack: {line}")


def hook_lines(hooks: Iterable[Hook], *, dry_run: bool = False) -> Iterator[str]:
    """What was done so that plain `git push` sends runs, or what stands in the way."""
    for hook in hooks:
        near = os.path.relpath(hook.path)
        path = safe(hook.path if near.startswith(os.pardir) else near)
        why = f"; {safe(hook.why)}" if hook.why else ""
        if hook.state == "written":
            verb = "would write" if dry_run else "wrote"
            yield f"{verb} {path}: git push sends runs along{why}"
        elif hook.state != "installed":
            yield f"git push does not send runs along{why}; next: gittrack hooks install"


def _warnings(done: Synced, *, pushes: bool) -> Iterator[str]:
    name = safe(done.remote)
    if done.moved in _MOVED:
        said = _MOVED[done.moved].format(name=name)
        rest = ""
        if done.moved in _KEPT:
            rest = (
                "; they were sent again" if pushes else "; yours stay; next: gittrack push {name}"
            )
        yield said + rest.format(name=name)
    if done.unsent_sources is not None:
        yield (
            f"the commits that runs stand on did not get to {name}: {safe(done.unsent_sources)}; "
            "others cannot check these runs out"
        )
