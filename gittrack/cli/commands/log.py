"""`gittrack log`: list runs."""

from __future__ import annotations

import argparse

from gittrack.cli.output import Output
from gittrack.cli.output.formats import HUMAN, LOG_FORMATS
from gittrack.cli.output.runs import print_runs
from gittrack.errors import EXIT_OK, UsageError
from gittrack.repo import Repo

HELP = "List runs, the newest first."
EXAMPLE = "gittrack log --where 'metrics.loss < 0.3 and params.model = \"rf\"' --sort -metrics.acc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `log`."""
    parser.add_argument("--oneline", action="store_true", help="a line a run")
    parser.add_argument("--format", choices=LOG_FORMATS, help="a form other than git log's")
    parser.add_argument("-n", type=_count, metavar="COUNT", help="at most so many runs")
    parser.add_argument(
        "--experiment", action="append", metavar="NAME", help="only of this experiment; repeatable"
    )
    parser.add_argument("--where", default="", metavar="FILTER", help="only runs that pass")
    parser.add_argument(
        "--sort", action="append", default=[], metavar="FIELD",
        help="by this field, -FIELD for the greatest first; repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--columns", action="append", default=[], metavar="A,B",
        help="these columns: name, params.lr, metrics.loss, tags.team; of a table by default",
    )  # fmt: skip


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the runs that were asked for."""
    form = _format(args)
    with Repo.find() as repo:
        runs = repo.search_runs(
            args.where, args.sort, max_results=args.n, experiment_names=args.experiment
        )
        if not runs:
            _explain_nothing(args, repo, out)
    columns = [name.strip() for text in args.columns for name in text.split(",") if name.strip()]
    print_runs(runs, form, columns, out)
    return EXIT_OK


def _format(args: argparse.Namespace) -> str:
    if args.oneline and args.format not in (None, "oneline"):
        raise UsageError(
            f"--oneline and --format {args.format} exclude each other",
            next="gittrack log --oneline",
        )
    form = "oneline" if args.oneline else args.format or ("table" if args.columns else HUMAN)
    if args.columns and form in (HUMAN, "oneline"):
        raise UsageError(
            f"--columns has no place in the format {form}",
            why="only tables and formats for programs have columns",
            next="gittrack log --format table --columns name,status",
        )
    return str(form)


def _explain_nothing(args: argparse.Namespace, repo: Repo, out: Output) -> None:
    if args.n == 0:
        return
    if (args.where or args.experiment) and repo.search_runs(max_results=1):
        out.note("no run passes; gittrack log lists all there are")
    else:
        out.note("no run has been recorded here yet; gittrack demo shows what it looks like")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of runs")
    return int(text)
