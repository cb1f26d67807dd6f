"""`gittrack experiments`: list and change experiments."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.cli.output.lists import print_records
from gittrack.cli.output.records import time_or_none
from gittrack.cli.session import open_repo
from gittrack.core.model import Experiment
from gittrack.errors import EXIT_OK, UsageError
from gittrack.repo import Repo
from gittrack.repo.edit import Edit

HELP = "List experiments, the one with the latest run first; or change them."
EXAMPLE = "gittrack experiments rename iris flowers"

#: How each verb is called.
VERBS = {
    "create": "create NAME [KEY=TEXT...]",
    "rename": "rename NAME NEW",
    "delete": "delete NAME...",
    "restore": "restore NAME...",
    "tag": "tag NAME [KEY=TEXT...] [--delete KEY]",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `experiments`."""
    parser.add_argument("verb", nargs="?", metavar="VERB", help="; ".join(VERBS.values()))
    arguments.completed(
        parser.add_argument("words", nargs="*", metavar="WORD", help="what the verb takes"),
        arguments.EXPERIMENTS,
    )
    parser.add_argument("--format", choices=LIST_FORMATS, default="table", help="default: table")
    parser.add_argument("--all", action="store_true", help="deleted ones too")
    parser.add_argument(
        "--delete", action="append", default=[], metavar="KEY", help="remove a tag, with `tag`"
    )
    arguments.add_dry_run(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the experiments, or change some."""
    with open_repo(out) as repo:
        if args.verb is None:
            return _list(args, repo, out)
        edits, names = _change(args, repo)
        from gittrack.cli.output.edits import render_edits

        out.lines(render_edits(edits, names, out.style, out.width, dry_run=args.dry_run))
    return EXIT_OK


def _list(args: argparse.Namespace, repo: Repo, out: Output) -> int:
    records = [
        {
            "name": item.experiment.name,
            "runs": item.runs,
            "last": time_or_none(item.last_ms),
            "id": item.experiment.id,
            "tags": dict(item.experiment.tags),
            "deleted": item.experiment.deleted,
        }
        for item in repo.experiments(include_deleted=args.all)
    ]
    columns = ("name", "runs", "last", "id", *(("deleted",) if args.all else ()))
    print_records(records, columns, args.format, out)
    return EXIT_OK


def _change(args: argparse.Namespace, repo: Repo) -> tuple[Sequence[Edit], dict[str, str]]:
    verb, words, dry_run = args.verb, list(args.words), args.dry_run
    if verb not in VERBS:
        from difflib import get_close_matches

        near = get_close_matches(verb, VERBS, n=1)
        raise UsageError(
            f"experiments has no verb '{verb}'",
            why=f"did you mean '{near[0]}'?" if near else f"there are {', '.join(VERBS)}",
            next="gittrack experiments --help",
        )
    if not words or (verb == "rename" and len(words) != 2):
        raise UsageError(
            f"experiments {verb} takes {VERBS[verb].partition(' ')[2]}",
            next=f"gittrack experiments {VERBS[verb]}",
        )
    name, *rest = words
    if verb == "create":
        tags = arguments.key_values(rest, f"gittrack experiments create {name} team=vision")
        made = repo.create_experiment(name, tags, dry_run=dry_run)
        edits = [Edit(made.id, "name", None, name)]
        edits += [Edit(made.id, f"tags.{key}", None, text) for key, text in tags.items()]
        return edits, {made.id: f"experiment {name}"}
    if verb in ("delete", "restore"):
        change = repo.delete_experiment if verb == "delete" else repo.restore_experiment
        found = [repo.get_experiment(word) for word in words]
        return [e for item in found for e in change(item, dry_run=dry_run)], _names(found)
    experiment = repo.get_experiment(name)
    if verb == "rename":
        return repo.rename_experiment(experiment, rest[0], dry_run=dry_run), _names([experiment])
    tags = arguments.key_values(rest, f"gittrack experiments tag {name} team=vision")
    changed = repo.set_experiment_tags(experiment, tags, args.delete, dry_run=dry_run)
    return changed, _names([experiment])


def _names(found: Sequence[Experiment]) -> dict[str, str]:
    return {item.id: f"experiment {item.name}" for item in found}
