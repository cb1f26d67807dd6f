"""`gittrack scan`: look for secrets in what is not pushed yet."""

from __future__ import annotations

import argparse
import json

from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.cli.session import open_repo
from gittrack.core.model import short_id
from gittrack.errors import EXIT_FIXABLE, EXIT_OK

HELP = "Look for secrets in the runs that no remote has yet, before they are pushed."
EXAMPLE = "gittrack scan"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `scan`."""
    parser.add_argument("--format", choices=("human", "json"), default="human", help="how to print")


def run(args: argparse.Namespace, out: Output) -> int:
    """Name what looks like a secret, never the secret itself; 1 if there is something."""
    with open_repo(out) as repo:
        report = repo.scan()
    if args.format == "json":
        rows = [
            {"run": leak.run_id, "path": leak.path, "place": leak.place, "what": leak.what}
            for leak in report.leaks
        ]
        out.data(json.dumps(rows, indent=2) + "\n")
    else:
        for leak in report.leaks:
            where = f"{short_id(leak.run_id)}:{leak.path}" if leak.run_id else leak.path
            place = f" {leak.place}" if leak.place else ""
            out.lines([f"{safe(where)}{safe(place)}: {safe(leak.what)}"])
        if report.leaks:
            out.note(
                f"{plural(len(report.leaks), 'secret')} in what is not pushed yet; what is none, "
                "redact.allow lists"
            )
        else:
            out.lines([f"nothing found in {plural(report.files, 'file')} that no remote has"])
    return EXIT_FIXABLE if report.leaks else EXIT_OK
