"""`gittrack diff`: what differs between two runs, or a run and the worktree."""

from __future__ import annotations

import argparse
from typing import Any

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.formats import DIFF_FORMATS
from gittrack.cli.session import open_repo
from gittrack.core.direction import direction
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, RunNotFoundError, UsageError
from gittrack.repo import Repo

HELP = "Show what differs between two runs, a run and its parent, or a run and the worktree."
EXAMPLE = "gittrack diff @{-1} @      # what changed since the run before"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `diff`."""
    arguments.add_run(
        parser, "a", nargs="?", default="@", help="the run to compare with (default: @, the latest)"
    )
    arguments.add_run(
        parser, "b", nargs="?", help="the run that is compared; without it the worktree"
    )
    parser.add_argument("--format", choices=DIFF_FORMATS, help="a form other than the usual one")
    parser.add_argument("--parent", action="store_true", help="compare RUN with its parent run")
    parser.add_argument(
        "-p", "--patch", action="store_true", help="only the code, as git diff shows it"
    )
    parser.add_argument("--stat", action="store_true", help="only the files, as git diff --stat")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only-changed", action="store_true", help="what differs (default)")
    which.add_argument("--all", action="store_true", help="also what does not differ")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the differences of the second run, or of the worktree, from the first."""
    if args.b is not None and args.parent:
        raise UsageError(
            "--parent compares one run with its parent",
            next=f"gittrack diff --parent {args.b}",
        )
    with open_repo(out) as repo:
        a, b = _sides(args, repo)
        if args.patch or args.stat:
            return _print_patch(args, repo, a, b, out)
        if b is None:
            return _print_worktree(args, repo, a, out)
        _print_diff(args, repo, a, b, out)
    return EXIT_OK


def _sides(args: argparse.Namespace, repo: Repo) -> tuple[Run, Run | None]:
    a = repo.get_run(args.a)
    if args.parent:
        if a.parent is None:
            raise RunNotFoundError(
                f"run '{a.name}' has no parent",
                why="it was not started inside another run",
                next=f"gittrack diff {a.short_id} RUN",
            )
        return repo.get_run(a.parent), a
    return a, repo.get_run(args.b) if args.b is not None else None


def _print_patch(args: argparse.Namespace, repo: Repo, a: Run, b: Run | None, out: Output) -> int:
    from gittrack.cli.patches import show_diff

    if args.format or args.all:
        raise UsageError(
            f"{'--format' if args.format else '--all'} has no place with -p and --stat",
            why="these show the code as git diff does",
            next="gittrack diff RUN RUN -p",
        )
    options = [*(["-p"] if args.patch else []), *(["--stat"] if args.stat else [])]
    with repo.sources() as sources:
        return show_diff(repo, sources.pair(a, b), options, out)


def _print_worktree(args: argparse.Namespace, repo: Repo, a: Run, out: Output) -> int:
    from gittrack.cli.output import diff

    if args.all or args.format in ("table", "markdown"):
        raise UsageError(
            "the worktree has code only: there are no params or metrics to list",
            next="gittrack diff RUN --stat",
        )
    found = repo.diff_worktree(a)
    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(diff.worktree_record(found, a)))
    else:
        out.lines(diff.render_worktree_diff(found, a, out.style, out.width))
    return EXIT_OK


def _print_diff(args: argparse.Namespace, repo: Repo, a: Run, b: Run, out: Output) -> None:
    from gittrack.cli.output import diff

    found = repo.diff(a, b, equal=args.all)
    everything = found
    if args.format != "json" and not args.all:
        found = found.without_system()
    config = repo.config
    known: dict[str, Any] = {
        item.key: direction(item.key, config.metrics_maximize, config.metrics_minimize)
        for item in found.metrics
    }
    ways = {key: way for key, way in known.items() if way is not None}
    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(diff.diff_record(found, a, b, ways)))
    elif args.format == "markdown":
        out.lines(diff.render_diff_markdown(found, a, b, ways))
    elif args.format == "table":
        out.lines(diff.render_diff_table(found, out.table_width, ways))
    else:
        out.lines(diff.render_diff(found, a, b, out.style, out.width, ways))
    hidden = len(everything.metrics) - len(found.metrics)
    if hidden:
        out.note(f"{hidden} of the machine's metrics differ too: --all shows them")
