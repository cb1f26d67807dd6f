"""`gittrack env`: the environment of a run, or how two of them differ."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.diff import change_records, render_changes
from gittrack.cli.output.text import cut, safe, value_text
from gittrack.cli.session import open_repo
from gittrack.core.diff import changes_between
from gittrack.errors import EXIT_OK, UsageError
from gittrack.repo import Repo

HELP = "Show the environment that a run had, or how it differs from another run's."
EXAMPLE = "gittrack env @ --diff @{-1}"
_FORMATS = ("human", "json", "requirements")
_PACKAGE = "packages."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `env`."""
    arguments.add_run(parser, nargs="?", default="@")
    arguments.completed(
        parser.add_argument("--diff", metavar="RUN", help="show only what differs from this run"),
        arguments.RUNS,
    )
    parser.add_argument(
        "--format", choices=_FORMATS, default="human",
        help="requirements: the packages as pip reads them",
    )  # fmt: skip


def run(args: argparse.Namespace, out: Output) -> int:
    """Print it."""
    with open_repo(out) as repo:
        mine = _environment(repo, args.run, out)
        if args.diff is None:
            return _print(mine, args.format, out)
        if args.format == "requirements":
            raise UsageError(
                "--diff and --format requirements exclude each other",
                why="a difference is no list of packages",
                next=f"gittrack env {args.run} --diff {args.diff}",
            )
        other = _environment(repo, args.diff, out)
    changes, _ = changes_between(other, mine)
    if args.format == "json":
        out.data(json.dumps(change_records(changes), indent=2, ensure_ascii=False) + "\n")
    elif changes:
        out.lines(render_changes(changes, out.style, out.width))
    else:
        out.note("the environments are the same")
    return EXIT_OK


def _environment(repo: Repo, name: str, out: Output) -> Mapping[str, Any]:
    run = repo.get_run(name)
    found = repo.get_environment(run)
    if not found:
        out.note(f"run '{safe(run.name)}' recorded no environment")
    return found


def _print(found: Mapping[str, Any], form: str, out: Output) -> int:
    if form == "json":
        out.data(json.dumps(dict(found), indent=2, ensure_ascii=False) + "\n")
    elif form == "requirements":
        out.lines(
            _requirement(key.removeprefix(_PACKAGE), str(value))
            for key, value in sorted(found.items())
            if key.startswith(_PACKAGE)
        )
    else:
        width = max((len(safe(key)) for key in found), default=0)
        lines = [
            f"{safe(key).ljust(width)}  {safe(value_text(value))}"
            for key, value in sorted(found.items())
        ]
        wide = out.table_width
        out.lines(lines if wide is None else [cut(line, wide) for line in lines])
    return EXIT_OK


def _requirement(name: str, value: str) -> str:
    """`1.2` -> `name==1.2`; `1.2 git+https://... @ commit` -> `name @ git+https://...@commit`."""
    version, _, origin = value.partition(" ")
    origin, _, commit = origin.partition(" @ ")
    if "://" in origin:
        url = origin.partition(" ")[0]
        return safe(f"{name} @ {url}@{commit}" if commit else f"{name} @ {url}")
    if origin:
        where = origin.removeprefix("-e ")
        return safe(f"# {name} {version} was installed from {where} {commit}".rstrip())
    return safe(f"{name}=={version}")
