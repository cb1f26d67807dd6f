"""`gittrack record`: record what commits hold."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.core.model import short_id
from gittrack.errors import EXIT_OK
from gittrack.repo.codehistory import CommitsReport

HELP = (
    "Record what commits hold as runs: params and metrics, read from the files that commits.params "
    "and commits.metrics name. Of a range, those that change one of them; a commit named alone in "
    "any case. What is recorded already stays as it is."
)
EXAMPLE = "gittrack record main..HEAD"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `record`."""
    parser.add_argument(
        "revisions", metavar="REVISION", nargs="*", help="commits or ranges (default: HEAD)"
    )
    parser.add_argument("--all", action="store_true", help="the whole history of every branch")
    parser.add_argument(
        "--unchanged", action="store_true", help="also commits that left all of these files as is"
    )
    arguments.add_dry_run(parser)
    parser.add_argument("--format", choices=("json",), help="a form other than the usual one")


def run(args: argparse.Namespace, out: Output) -> int:
    """Record them, and say what became runs."""
    with open_repo(out) as repo:
        report = repo.record_commits(
            args.revisions or ["HEAD"],
            all_branches=args.all,
            unchanged=args.unchanged,
            dry_run=args.dry_run,
        )
    if args.format == "json":
        from gittrack.cli.output.records import render_json

        out.data(render_json(_as_record(report)))
    else:
        out.lines(_render(report, dry_run=args.dry_run))
    return EXIT_OK


def _render(report: CommitsReport, *, dry_run: bool) -> Iterator[str]:
    would = "would record" if dry_run else "recorded"
    for item in report.recorded:
        values = ", ".join(f"{safe(key)} {value:.4g}" for key, value in item.values.items())
        yield f"{would} {short_id(item.run_id)} {safe(item.name)}" + (
            f": {values}" if values else ""
        )
    would = "would link" if dry_run else "linked"
    for run_id, commit, how in report.links:
        yield f"{would} {safe(short_id(run_id))} to {commit[:12]} ({safe(how)})"
    if report.known:
        yield f"{plural(len(report.known), 'commit')} had been recorded before"
    if not (report.recorded or report.links or report.known):
        yield "nothing to record: " + (
            f"no params or metrics can be read in {plural(report.empty, 'commit')}"
            if report.empty
            else "no commit changes a file with params or metrics"
        )


def _as_record(report: CommitsReport) -> dict[str, object]:
    return {
        "recorded": [item._asdict() for item in report.recorded],
        "links": [{"run": run, "commit": c, "how": how} for run, c, how in report.links],
        "known": list(report.known),
        "empty": report.empty,
    }
