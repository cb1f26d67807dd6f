"""`gittrack log`: list runs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.formats import HUMAN, LOG_FORMATS, PORCELAIN
from gittrack.cli.output.runs import print_runs
from gittrack.cli.output.text import safe
from gittrack.cli.session import open_to_read
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, UsageError
from gittrack.repo import Repo

if TYPE_CHECKING:
    from gittrack.repo.select import Selection

HELP = "List runs, the newest first; with revisions, the runs of those commits in git's order."
EXAMPLE = "gittrack log --where 'metrics.loss < 0.3 and params.model = \"rf\"' --sort -metrics.acc"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `log`."""
    add = parser.add_argument
    add(
        "revisions", nargs="*", metavar="REVISION", help="commits and ranges: main..feature, v1.0.."
    )
    add("--oneline", action="store_true", help="a line a run")
    add(
        "--format", metavar="FORMAT",
        help=f"{', '.join(LOG_FORMATS)}, or a template such as 'tformat:%%h %%s %%m(val/acc)'",
    )  # fmt: skip
    add(
        "--porcelain", nargs="?", const="v1", choices=("v1",), metavar="v1",
        help="the form for scripts; it never changes",
    )  # fmt: skip
    add("-z", action="store_true", help="end lines of --porcelain and templates with NUL")
    add("-n", type=arguments.count, metavar="COUNT", help="at most so many runs; also -COUNT")
    arguments.completed(
        add("--experiment", action="append", metavar="NAME", help="only of this one; repeatable"),
        arguments.EXPERIMENTS,
    )
    arguments.completed(
        add("--where", default="", metavar="FILTER", help="only runs that pass"), arguments.FIELDS
    )
    arguments.completed(
        add(
            "--sort", action="append", default=[], metavar="FIELD",
            help="by this field, -FIELD for the greatest first; repeatable",
        ),
        arguments.FIELDS,
    )  # fmt: skip
    arguments.completed(
        add(
            "--columns", action="append", default=[], metavar="A,B",
            help="these columns: name, params.lr, params.*, metrics.loss, 'max(metrics.acc)'",
        ),
        arguments.COLUMNS,
    )  # fmt: skip
    add("--since", "--after", default="", metavar="TIME", help="only started then or later")
    add("--until", "--before", default="", metavar="TIME", help="only started then or before")
    add("--author", action="append", default=[], metavar="PATTERN", help="only by such a person")
    add(
        "--grep", action="append", default=[], metavar="PATTERN",
        help="only with such a name or description",
    )  # fmt: skip
    add("-i", "--regexp-ignore-case", action="store_true", help="patterns ignore case")
    add("--status", action="append", default=[], metavar="STATUS", help="only of this status")
    add("--tag", action="append", default=[], metavar="KEY[=TEXT]", help="only with this tag")
    arguments.completed(
        add(
            "--parent",
            default="",
            metavar="RUN",
            help="only this run and those below it, as a tree",
        ),
        arguments.RUNS,
    )
    arguments.completed(
        add("--follow", default="", metavar="FILE", help="only where FILE changed, across renames"),
        arguments.FILES,
    )
    add("--all", action="store_true", help="deleted runs too")
    add("--reverse", action="store_true", help="the oldest of them first")
    add("--only-changed", action="store_true", help="only params that differ from the run before")
    add("--stat", action="store_true", help="which files changed since the run before")
    add("-p", "--patch", action="store_true", help="what changed in them")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the runs that were asked for."""
    columns = arguments.split_columns(args.columns)
    form = _format(args, columns)
    with open_to_read(out) as repo:
        wanted = _selection(args)
        runs = repo.select_runs(wanted)
        _say_unknown(wanted, repo, out)
        if not runs:
            _explain_nothing(args, repo, out)
        if form == HUMAN and (args.stat or args.patch or args.only_changed):
            _print_with_changes(args, runs, repo, out)
        elif form == HUMAN and args.parent:
            from gittrack.cli.output.log import render_tree

            out.lines(render_tree(runs, out.style, out.width))
        else:
            end = "\0" if args.z else "\n"
            print_runs(runs, form, columns, out, only_changed=args.only_changed, end=end)
    return EXIT_OK


def _selection(args: argparse.Namespace) -> Selection:
    from gittrack.repo.select import Selection

    statuses = [part for text in args.status for part in text.split(",") if part]
    return Selection(
        where=args.where,
        order_by=args.sort,
        limit=args.n,
        experiments=args.experiment,
        since=args.since,
        until=args.until,
        author=args.author,
        grep=args.grep,
        ignore_case=args.regexp_ignore_case,
        statuses=statuses,
        tags=args.tag,
        parent=args.parent,
        revisions=args.revisions,
        follow=args.follow,
        deleted=args.all,
        reverse=args.reverse,
    )


def _format(args: argparse.Namespace, columns: Sequence[str]) -> str:
    from gittrack.cli.output.template import is_template

    asked = [
        f"--{name}" for name, on in (("oneline", args.oneline), ("porcelain", args.porcelain)) if on
    ]
    asked += [f"--format {args.format}"] if args.format else []
    if len(asked) > 1:
        raise UsageError(
            f"{asked[0]} and {asked[1]} exclude each other", next=f"gittrack log {asked[0]}"
        )
    form = args.format or ("table" if columns else HUMAN)
    form = "oneline" if args.oneline else PORCELAIN if args.porcelain else form
    template = is_template(form)
    if form not in (HUMAN, PORCELAIN, *LOG_FORMATS) and not template:
        raise UsageError(
            f"there is no format '{form}'",
            why=f"there are {', '.join(LOG_FORMATS)}, and templates with %",
            next="gittrack log --format 'tformat:%h %s %m(loss)'",
        )
    if args.z and not template and form != PORCELAIN:
        raise UsageError(
            "-z goes with --porcelain or a template",
            why="every other format has line ends of its own",
            next="gittrack log --porcelain -z",
        )
    for option, on in (("--stat", args.stat), ("-p", args.patch)):
        if on and form != HUMAN:
            raise UsageError(
                f"{option} has no place in the format {form}",
                why="what changed is text for people",
                next=f"gittrack log {option}",
            )
    if columns and (template or form in (HUMAN, "oneline")):
        raise UsageError(
            f"--columns has no place in the format {form}",
            why="only tables and formats for programs have columns",
            next="gittrack log --format table --columns name,status",
        )
    return str(form)


def _print_with_changes(
    args: argparse.Namespace, runs: Sequence[Run], repo: Repo, out: Output
) -> None:
    from gittrack.cli.output.log import render_run
    from gittrack.cli.patches import patch_of

    with repo.sources() as sources:
        for number, item in enumerate(runs):
            before = repo.get_previous(item)
            since = before if args.only_changed else None
            lines = render_run(item, out.style, out.width, since)
            out.lines([*([""] if number else []), *lines])
            if args.stat or args.patch:
                out.lines([""])
                options = (["--stat"] if args.stat else []) + (["-p"] if args.patch else [])
                out.raw(patch_of(repo, sources, before, item, options, out))


def _say_unknown(wanted: Selection, repo: Repo, out: Output) -> None:
    if wanted.where or wanted.order_by:
        from gittrack.repo.select import unknown_keys

        for text in unknown_keys(wanted, repo.view):
            out.note(f"note: {safe(text)}")


def _explain_nothing(args: argparse.Namespace, repo: Repo, out: Output) -> None:
    if args.n == 0:
        return
    if not args.all:
        for name in args.experiment or ():
            if repo.get_experiment(name).deleted:
                out.note(f"experiment '{safe(name)}' is deleted; --all lists its runs")
                return
    if repo.search_runs(max_results=1):
        out.note("no run passes; gittrack log lists all there are")
    elif repo.search_runs(max_results=1, include_deleted=True):
        out.note("every run is deleted; gittrack log --all lists them")
    else:
        out.note("no run has been recorded here yet; gittrack demo shows what it looks like")
