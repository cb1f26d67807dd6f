"""`gittrack show`: one run, or one of its files."""

from __future__ import annotations

import argparse

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.formats import HUMAN, LOG_FORMATS, PORCELAIN
from gittrack.cli.output.text import safe
from gittrack.cli.session import open_to_read
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, RunNotFoundError, UsageError
from gittrack.repo import Repo

HELP = "Show one run, or one of its files; with options, only those parts of it."
EXAMPLE = "gittrack show @            # @ is the latest run; RUN:params.yaml prints a file"

#: Options that choose parts of the page; all together they are the page.
PARTS = {
    "params": "its params, all of them",
    "metrics": "its metrics, all of them",
    "tags": "its tags",
    "data": "the data that went in, with its schema",
    "source": "what ran: commit, state, changed files",
    "files": "its artifacts and the files of its record",
    "env": "the environment it ran in",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `show`."""
    arguments.add_run(parser, nargs="?", metavar="RUN[:PATH]", default="@")
    parser.add_argument("--format", choices=LOG_FORMATS, help="a form other than the usual one")
    parser.add_argument(
        "--porcelain", nargs="?", const="v1", choices=("v1",), metavar="v1",
        help="the form for scripts; it never changes",
    )  # fmt: skip
    for name, text in PARTS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    parser.add_argument(
        "--open", metavar="PATH",
        help="show a copy of an artifact with the system's program for it, or GITTRACK_VIEWER; "
        "without a terminal only print where the copy is",
    )  # fmt: skip
    parser.add_argument("--stdout", action="store_true", help="what it printed, as it was recorded")
    parser.add_argument(
        "--follow", action="store_true", help="with --stdout: go on as long as the run does"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the run or the file."""
    parts = [name for name in PARTS if getattr(args, name)]
    form = PORCELAIN if args.porcelain else args.format or HUMAN
    _check(args, form, parts)
    with open_to_read(out) as repo:
        found, path = _split(repo, args.run)
        if path is not None:
            if form != HUMAN or parts or args.stdout or args.open:
                raise UsageError(
                    "RUN:PATH takes no options",
                    why="a file is printed as it is",
                    next=f"gittrack show {args.run}",
                )
            if path:
                out.raw(repo.read_run_file(found, path))
            else:
                out.lines(safe(name) for name in repo.list_files(found))
        elif args.open:
            from gittrack.cli.opening import open_artifact

            return open_artifact(repo, found, args.open, out)
        elif args.stdout:
            if args.follow:
                _follow(repo, found, out)
            else:
                _print_output(repo, found, out)
        elif form == HUMAN:
            _print_page(repo, found, parts, out)
        elif form in ("json", "jsonl"):
            from gittrack.cli.output.records import render_json, to_full_record

            record = to_full_record(found, repo.get_source(found), repo.get_inputs(found))
            out.data(render_json(record, 2 if form == "json" else None))
        else:
            from gittrack.cli.output.runs import print_runs

            print_runs([found], form, [], out)
    return EXIT_OK


def _check(args: argparse.Namespace, form: str, parts: list[str]) -> None:
    chosen = [f"--{name}" for name in parts] + (["--stdout"] if args.stdout else [])
    if args.open and (chosen or form != HUMAN):
        raise UsageError(
            f"--open and {chosen[0] if chosen else 'a format'} exclude each other",
            why="a file is shown, and nothing of the run's page",
            next=f"gittrack show {args.run} --open {args.open}",
        )
    if args.follow and not args.stdout:
        raise UsageError(
            "--follow goes with --stdout",
            why="only output grows while one looks at it",
            next=f"gittrack show {args.run} --stdout --follow",
        )
    if args.porcelain and args.format:
        raise UsageError("--porcelain and --format exclude each other", next="gittrack show RUN")
    if chosen and form != HUMAN:
        raise UsageError(
            f"{chosen[0]} has no place in the format {form}",
            why="formats for programs hold everything",
            next=f"gittrack show {args.run} {chosen[0]}",
        )
    if args.stdout and len(chosen) > 1:
        raise UsageError(
            f"--stdout and {chosen[0]} exclude each other",
            why="output is printed as it was recorded, with nothing around it",
            next=f"gittrack show {args.run} --stdout",
        )


def _print_page(repo: Repo, run: Run, parts: list[str], out: Output) -> None:
    from gittrack.cli.output.show import Page, render_show

    source = repo.get_source(run)
    page = Page(
        parts=frozenset(parts),
        ascii_only=not out.is_unicode,
        base_is_here=source.base is None or repo.has_commit(source.base),
    )
    if not parts or "metrics" in parts:
        page = page._replace(curves=repo.get_metric_curves(run, page.metric_keys(run)))
    if "env" in parts or not parts:
        page = page._replace(environment=repo.get_environment(run))
    if "data" in parts or not parts:
        page = page._replace(data=repo.get_inputs(run))
    if "files" in parts:
        page = page._replace(files=tuple(repo.list_files(run)))
    if "data" in parts and not page.data:
        out.note(f"run '{safe(run.name)}' recorded no data")
    if "env" in parts and not page.environment:
        out.note(f"run '{safe(run.name)}' recorded no environment")
    out.lines(render_show(run, source, out.style, out.width, page))


def _print_output(repo: Repo, run: Run, out: Output) -> None:
    printed = repo.get_output(run)
    if printed:
        out.raw(_for_reader(printed, out))
    else:
        out.note(f"run '{safe(run.name)}' recorded no output")


def _follow(repo: Repo, run: Run, out: Output) -> None:
    out.never_page()
    last = None
    for writer, piece in repo.follow_output(run):
        if last is not None and last != writer:
            out.raw(f"==> {writer} <==\n".encode())
        last = writer
        out.raw(_for_reader(piece, out))


def _for_reader(data: bytes, out: Output) -> bytes:
    """The same bytes into a pipe; on a terminal nothing in them may steer it."""
    if not out.is_terminal:
        return data
    lines = data.decode("utf-8", "replace").split("\n")
    return "\n".join(safe(line) for line in lines).encode("utf-8", "replace")


def _split(repo: Repo, text: str) -> tuple[Run, str | None]:
    """The run of RUN:PATH and the path, if there is one; a run's name may hold colons too."""
    start = 0
    if text.startswith("@{") or "/@{" in text:
        start = text.find("}")  # the colon of @{best:metrics.acc} is no path's
    end = text.find(":", max(0, start))
    if end < 0:
        return repo.get_run(text), None
    return _split_at(repo, text, end)


def _split_at(repo: Repo, text: str, end: int) -> tuple[Run, str | None]:
    try:
        return repo.get_run(text[:end]), text[end + 1 :]
    except RunNotFoundError as error:
        more = text.find(":", end + 1)
        try:
            return (repo.get_run(text), None) if more < 0 else _split_at(repo, text, more)
        except RunNotFoundError:
            raise error from None
