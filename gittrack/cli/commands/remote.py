"""`gittrack remote`: choose the remotes that get and give runs, and try them out."""

from __future__ import annotations

import argparse
import sys

from gittrack.cli import arguments
from gittrack.cli.exchanging import hook_lines
from gittrack.cli.output import Output
from gittrack.cli.output.text import safe
from gittrack.cli.session import open_repo
from gittrack.errors import EXIT_FIXABLE, EXIT_OK, UsageError
from gittrack.repo import Repo
from gittrack.repo.checking import Checked

HELP = (
    "List the remotes that get and give runs, add one, take one away, or try one out; and the "
    "remotes for the bytes of large artifacts."
)
EXAMPLE = "gittrack remote share origin"
_VERBS = ("list", "share", "unshare", "check", "artifacts")
_USAGE = {
    "list": "",
    "add": " NAME URL",
    "set": " NAME OPTION VALUE",
    "remove": " NAME",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `remote`."""
    parser.add_argument(
        "verb", nargs="?", choices=_VERBS, default="list",
        help="default: list; check pushes an empty commit there, looks for it and deletes it; "
        "artifacts [add NAME URL | set NAME OPTION VALUE | remove NAME]: the DVC remotes for large "
        "artifacts",
    )  # fmt: skip
    parser.add_argument("remote", nargs="?", metavar="REMOTE", help="the remote's name")
    parser.add_argument("rest", nargs="*", metavar="ARG", help="with artifacts")
    parser.add_argument(
        "--fallback", action="store_true", help="with check: use a branch where nothing else works"
    )
    parser.add_argument(
        "--deadline", type=float, metavar="S", help="with check: give up after so many seconds"
    )
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    if args.verb == "artifacts":
        return _artifacts(args, out)
    if args.rest:
        raise UsageError(f"{args.verb} takes one remote", next=f"gittrack remote {args.verb} NAME")
    if args.verb in ("share", "unshare") and not args.remote:
        raise UsageError(
            f"which remote to {args.verb}?",
            why="git remote lists them",
            next=f"gittrack remote {args.verb} origin",
        )
    if args.verb != "check" and (args.fallback or args.deadline is not None):
        raise UsageError(
            "--fallback and --deadline go with check", next="gittrack remote check --fallback"
        )
    with open_repo(out) as repo:
        if args.verb == "check":
            return _check(repo, args, out)
        if args.verb == "share":
            share = repo.share_remote(args.remote, hooks=True, dry_run=args.dry_run)
            verb = "would get and give" if args.dry_run else "gets and gives"
            was = f"{verb} runs from now on" if share.is_new else "did so already"
            out.lines([f"{safe(share.name)} {was}"])
            out.lines(hook_lines(share.hooks, dry_run=args.dry_run))
        elif args.verb == "unshare":
            was_shared = repo.unshare_remote(args.remote, dry_run=args.dry_run)
            verb = "would get and give" if args.dry_run else "gets and gives"
            said = f"{verb} no more runs" if was_shared else "was not shared"
            out.lines([f"{safe(args.remote)} {said}"])
        else:
            out.lines(safe(name) for name in repo.shared_remotes())
    return EXIT_OK


def _artifacts(args: argparse.Namespace, out: Output) -> int:
    verb, rest = args.remote or "list", list(args.rest)
    if verb not in _USAGE or len(rest) != len(_USAGE[verb].split()):
        known = ", ".join(f"artifacts {verb}{_USAGE[verb]}" for verb in _USAGE)
        raise UsageError(
            f"remote artifacts {' '.join([verb, *rest])[:200]}?",
            why=f"there is {known}",
            next="gittrack remote artifacts add NAME URL",
        )
    if args.dry_run and verb != "list":
        raise UsageError("--dry-run has no place with artifacts", next="gittrack remote artifacts")
    with open_repo(out) as repo:
        if verb == "list":
            used, remotes = repo.artifact_remotes()
            width = max(map(len, remotes), default=0)
            for name, url in remotes.items():
                mark = "*" if name == used else " "
                out.lines([f"{mark} {safe(name):{width}}  {safe(url)}"])
            return EXIT_OK
        if verb == "remove":
            was_known = repo.remove_artifact_remote(rest[0])
            said = "is no more" if was_known else "is not known in this clone"
            out.lines([f"{safe(rest[0])} {said}"])
            return EXIT_OK if was_known else EXIT_FIXABLE
        name, option, value = rest if verb == "set" else (rest[0], "url", rest[1])
        done = repo.set_artifact_remote(name, option, _read(value))
        if option == "url":
            out.lines([f"{safe(name)} gets large artifacts of this clone"])
            if "://" not in value or "@" not in value:
                out.note(f"for everybody, put into .gittrack.yaml: {safe(done.for_all)}")
        else:
            out.lines([f"{safe(name)} has another {safe(option)} in this clone"])
    return EXIT_OK


def _read(value: str) -> str:
    """A secret does not belong on a command line, which every user of the machine sees."""
    return sys.stdin.readline().rstrip("\n") if value == "-" else value


def _check(repo: Repo, args: argparse.Namespace, out: Output) -> int:
    asks = args.deadline is None and sys.stdin.isatty()
    done = repo.check_remote(args.remote, deadline_s=args.deadline, asks=asks)
    out.lines(_report(done))
    if done.works or done.fallback is None:
        return EXIT_OK if done.works else EXIT_FIXABLE
    if not args.fallback or args.dry_run:
        out.note(
            "next: gittrack remote check --fallback keeps runs on a branch there, in this clone; "
            f"for everybody, put into .gittrack.yaml: share: {{ref: {done.fallback}}}"
        )
        return EXIT_FIXABLE
    branch = repo.use_branch()
    done = repo.check_remote(args.remote, deadline_s=args.deadline, asks=asks)
    out.lines(["", f"this clone keeps runs on {branch} of its remotes from now on", *_report(done)])
    return EXIT_OK if done.works else EXIT_FIXABLE


def _report(done: Checked) -> list[str]:
    name = safe(done.remote)
    steps = [("takes", done.takes), ("shows", done.shows), ("gives back", done.gives)]
    lines = [f"{name} {'' if is_so else 'does not '}{_verb(verb, is_so)} {done.ref}"
             for verb, is_so in steps[: 1 + sum(is_so for _, is_so in steps)]]  # fmt: skip
    if done.why:
        lines.append(f"    {safe(done.why)}")
    if done.leftover:
        lines.append(f"the probe could not be deleted: git push {name} :{done.leftover}")
    return lines


def _verb(verb: str, is_so: bool) -> str:
    return verb if is_so else {"takes": "take", "shows": "show", "gives back": "give back"}[verb]
