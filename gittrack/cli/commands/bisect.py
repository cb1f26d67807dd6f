"""`gittrack bisect`: the first commit at which a condition holds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_to_read
from gittrack.errors import EXIT_OK, EXIT_UNDECIDED, UsageError
from gittrack.repo import Repo

HELP = (
    "Find the first commit at which a condition holds, from the runs that are recorded; with "
    "--run, record those that are missing, each commit in a folder of its own. Exit code 125 "
    "skips a commit, as in git bisect. Exit code 5: the runs cannot tell."
)
EXAMPLE = "gittrack bisect v1.0..HEAD --where 'metrics.accuracy < 0.95' --run python train.py"
#: What stands behind these is not ours to read.
PASSES_ON = ("--run", "--")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `bisect`."""
    add = parser.add_argument
    add(
        "revisions", nargs="+", metavar="GOOD..BAD",
        help="where it does not hold, and where it does; also BAD ^GOOD1 ^GOOD2",
    )  # fmt: skip
    arguments.completed(
        add("--where", metavar="FILTER", required=True, help="the condition; it holds at BAD"),
        arguments.FIELDS,
    )
    arguments.completed(
        add("--experiment", metavar="NAME", help="only runs of this one count"),
        arguments.EXPERIMENTS,
    )
    add("--max-runs", type=arguments.count, metavar="COUNT", help="run at most so many")
    arguments.add_dry_run(parser)
    add("--format", choices=("json",), help="a form other than the usual one")
    add("--run", metavar="CMD ...", help="run this where no run tells; last, to the line's end")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the first bad commit, or what is known of it; 5 if it is not known."""
    from gittrack.cli.output import bisect as page
    from gittrack.tracking.trial import Interrupted, Trial, interruptible

    command = _command(args.passed)
    trial = None
    if command and not args.dry_run:
        trial = Trial(command, args.experiment)
    with open_to_read(out) as repo:
        try:
            with interruptible():
                found = repo.bisect(
                    args.revisions, args.where, experiment=args.experiment, execute=trial,
                    max_runs=args.max_runs, progress=lambda text: out.note(safe(text)),
                )  # fmt: skip
        except Interrupted as ended:
            from gittrack.capture.process import die_of

            repo.close()
            die_of(ended.number)
            raise
        if args.format == "json":
            from gittrack.cli.output.records import render_json

            out.data(render_json(page.bisection_record(found)))
        else:
            out.lines(page.render_bisection(found, _ways(repo, args.where), out.style, out.width))
            if found.first_bad is None and found.next is not None:
                _say_how_to_go_on(args, command, found.steps, out)
    return EXIT_OK if found.first_bad is not None else EXIT_UNDECIDED


def _command(passed: Sequence[str] | None) -> list[str]:
    if passed is None:
        return []
    command = list(passed[1:] if passed[:1] == ["--"] else passed)
    if not command:
        raise UsageError(
            "there is no program to run",
            why="it stands behind --run, and everything to the end of the line belongs to it",
            next="gittrack bisect GOOD..BAD --where FILTER --run python train.py",
        )
    return command


def _ways(repo: Repo, where: str) -> dict[str, str]:
    from gittrack.core import query
    from gittrack.core.direction import direction

    config = repo.config
    fields = query.iter_fields(query.parse(where, now_ms=0))
    keys = {field.key for field in fields if field.kind == "metric"}
    known = {key: direction(key, config.metrics_maximize, config.metrics_minimize) for key in keys}
    return {key: way for key, way in known.items() if way is not None}


def _say_how_to_go_on(
    args: argparse.Namespace, command: Sequence[str], steps: int, out: Output
) -> None:
    from shlex import join

    words = ["gittrack", "bisect", *args.revisions, "--where", args.where]
    words += ["--experiment", args.experiment] if args.experiment else []
    text = join([*words, "--run", *(command or ["CMD"])])
    out.lines(["", f"next: {safe(text)}", f"      about {plural(steps, 'run')}"])
