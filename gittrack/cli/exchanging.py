"""What pull, push and sync share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence

from gittrack.cli import arguments
from gittrack.cli.carrying import Carrier
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
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
    """Declare the remote, the deadline, and what is to happen with large artifacts."""
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="default: that of the branch")
    parser.add_argument(
        "--deadline", type=float, metavar="S", help="give up after so many seconds; ask nothing"
    )
    which = parser.add_mutually_exclusive_group()
    is_pull = parser.prog.endswith("pull")
    if not parser.prog.endswith("push"):
        which.add_argument(
            "--artifacts", action="store_true", help="also bring the bytes of large artifacts"
        )
    if not is_pull:
        which.add_argument(
            "--no-artifacts", action="store_true", help="leave the bytes of large artifacts here"
        )
    which.add_argument(
        "--artifacts-only", action="store_true", help="move the bytes of large artifacts alone"
    )
    arguments.completed(
        parser.add_argument(
            "--run", action="append", metavar="RUN",
            help="artifacts of this run alone; may be given several times",
        ),
        arguments.RUNS,
    )  # fmt: skip
    parser.add_argument(
        "--repair", action="store_true",
        help="read all artifacts that are there already, and replace those that are damaged",
    )  # fmt: skip
    parser.add_argument("--jobs", type=_jobs, metavar="N", help="artifacts that move at a time")
    parser.add_argument(
        "--artifact-remote", metavar="NAME", help="the remote of artifacts; default: as configured"
    )


def _jobs(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:4]) <= 256:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 to 256")
    return int(text)


def exchange(args: argparse.Namespace, out: Output, *steps: Callable[..., Synced]) -> int:
    """Do the steps with the remote, and say what went where."""
    pushes, pulls = Repo.push in steps, Repo.pull in steps
    asks = args.deadline is None and sys.stdin.isatty()
    with open_repo(out) as repo:
        carrier = Carrier(repo, args, out, asks=asks)
        if not args.artifacts_only:
            share = repo.share_remote(args.remote)
            tell_share(share, out)
        # First the bytes, then the runs that name them.
        if pushes and not getattr(args, "no_artifacts", False):
            carrier.push()
        if not args.artifacts_only:
            done = [step(repo, share.name, deadline_s=args.deadline, asks=asks) for step in steps]
            _tell(done, share.name, out, pushes=pushes, pulls=pulls)
        wants = args.artifacts_only and not pushes
        if pulls and (wants or getattr(args, "artifacts", False)):
            carrier.pull()
    return carrier.code


def _tell(done: Sequence[Synced], remote: str, out: Output, *, pushes: bool, pulls: bool) -> None:
    received, sent = sum(item.received for item in done), sum(item.sent for item in done)
    for item in done:
        for line in _warnings(item, pushes=pushes):
            out.note(f"gittrack: {line}")
    said = []
    if done[-1].is_empty and not pushes:
        said.append(f"{safe(remote)} has no runs")
    elif received or pulls:
        said.append(f"{plural(received, 'run')} came from {safe(remote)}")
    if pushes:
        said.append(f"{plural(sent, 'run')} went to {safe(remote)}")
    out.lines(said)


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


def hook_lines(
    hooks: Iterable[Hook], *, dry_run: bool = False, shares: bool = True
) -> Iterator[str]:
    """What was done so that git calls gittrack, or what stands in the way; a line a purpose.

    Args:
        shares: whether there is a remote that gets runs.
    """
    push = "git push sends runs along" if shares else "git push sends runs along, once shared"
    verb = "would write" if dry_run else "wrote"
    groups: dict[tuple[bool, str, str], list[Hook]] = {}
    for hook in hooks:
        groups.setdefault((hook.name == "pre-push", hook.state, hook.why), []).append(hook)
    complaints = set()
    for (pushes, state, why), found in groups.items():
        because = f"; {safe(why)}" if why else ""
        if state == "written":
            more = f" and {len(found) - 1} more" if len(found) > 1 else ""
            then = push if pushes else "commits are recorded"
            yield f"{verb} {near(found[0].path)}{more}: {then}{because}"
        elif state != "installed" and why not in complaints:
            complaints.add(why)
            lacks = "git push does not send runs along" if pushes else "commits are seen later"
            yield f"{lacks}{because}; next: gittrack hooks install"


def near(path: str) -> str:
    """A path as seen from here, unless it lies outside."""
    relative = os.path.relpath(path)
    return safe(path if relative.startswith(os.pardir) else relative)


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
