"""`gittrack show`: one run, or one of its files."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.output.formats import HUMAN, LOG_FORMATS
from gittrack.cli.output.text import safe
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, RunNotFoundError, UsageError
from gittrack.repo import Repo

HELP = "Show one run, or one of its files."
EXAMPLE = "gittrack show @            # @ is the latest run; RUN:params.yaml prints a file"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `show`."""
    parser.add_argument(
        "run", metavar="RUN[:PATH]", nargs="?", default="@",
        help="an id, the start of one, a name, EXPERIMENT/NAME, @ (default) or @{-1}",
    )  # fmt: skip
    parser.add_argument("--format", choices=LOG_FORMATS, help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the run or the file."""
    with Repo.find() as repo:
        found, path = _split(repo, args.run)
        if path is not None:
            if args.format:
                raise UsageError(
                    "--format has no place with RUN:PATH",
                    why="a file is printed as it is",
                    next=f"gittrack show {args.run}",
                )
            if path:
                out.raw(repo.read_run_file(found, path))
            else:
                out.lines(safe(name) for name in repo.list_files(found))
            return EXIT_OK
        form = args.format or HUMAN
        if form == HUMAN:
            from gittrack.cli.output.show import render_show

            out.lines(render_show(found, repo.get_source(found), out.style, out.width))
        elif form in ("json", "jsonl"):
            from gittrack.cli.output.records import render_json, to_full_record

            record = to_full_record(found, repo.get_source(found))
            out.data(render_json(record, 2 if form == "json" else None))
        else:
            from gittrack.cli.output.runs import print_runs

            print_runs([found], form, [], out)
    return EXIT_OK


def _split(repo: Repo, text: str, start: int = 0) -> tuple[Run, str | None]:
    """The run of RUN:PATH and the path, if there is one; a run's name may hold colons too."""
    end = text.find(":", start)
    if end < 0:
        return repo.get_run(text), None
    try:
        return repo.get_run(text[:end]), text[end + 1 :]
    except RunNotFoundError as error:
        try:
            return _split(repo, text, end + 1)
        except RunNotFoundError:
            raise error from None
