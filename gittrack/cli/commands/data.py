"""`gittrack data`: the datasets that runs used, and the versions of one."""

from __future__ import annotations

import argparse
from typing import Any

from gittrack.cli import arguments
from gittrack.cli.output import Output
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.cli.output.lists import print_records
from gittrack.cli.output.records import dataset_record, time_or_none
from gittrack.cli.session import open_to_read
from gittrack.core.dataset import short_digest
from gittrack.errors import EXIT_OK
from gittrack.repo import Repo
from gittrack.repo.datasets import DatasetVersion

HELP = "List the datasets that runs used; of one, its versions and the runs that used each."
EXAMPLE = "gittrack data                # then, of one: gittrack data train"

_TABLE = "table"
#: What is known of a version besides the runs that used it; null where it does not apply.
_KNOWN = (
    "digest", "kind", "rows", "columns", "shape", "size", "files", "sampled", "source", "dvc",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `data`."""
    arguments.completed(
        parser.add_argument("name", nargs="?", metavar="NAME", help="the dataset"),
        arguments.DATASETS,
    )
    parser.add_argument("--format", choices=LIST_FORMATS, default=_TABLE, help="default: table")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the datasets, or the versions of one."""
    with open_to_read(out) as repo:
        if args.name is None:
            _list(repo, args.format, out)
        else:
            _versions(repo.dataset_versions(args.name), args.format, out)
    return EXIT_OK


def _list(repo: Repo, form: str, out: Output) -> None:
    records: list[dict[str, Any]] = [
        {
            "name": item.name,
            "versions": item.versions,
            "runs": item.runs,
            "last": time_or_none(item.last_used_ms),
            "digest": item.digest,
        }
        for item in repo.datasets()
    ]
    if not records and form == _TABLE:
        out.note("no run has recorded data; next: gittrack.log_input(frame, name='train')")
        return
    if form == _TABLE:
        for record in records:
            record.update(last=_day(record["last"]), digest=short_digest(str(record["digest"])))
    print_records(records, ("name", "versions", "runs", "last", "digest"), form, out)


def _versions(versions: list[DatasetVersion], form: str, out: Output) -> None:
    records: list[dict[str, Any]] = [
        {
            **dict.fromkeys(_KNOWN),
            **dataset_record(item.dataset),
            "context": ", ".join(item.contexts),
            "last": time_or_none(item.last_used_ms),
            "runs": [run.short_id for run in item.runs],
        }
        for item in versions
    ]
    if form not in (_TABLE, "markdown"):
        print_records(records, (*_KNOWN, "context", "last", "runs"), form, out)
        return
    from gittrack.cli.output import text as t

    for record, item in zip(records, versions, strict=True):
        more = f" +{len(item.runs) - 1}" if len(item.runs) > 1 else ""
        record["runs"] = item.runs[0].short_id + more
        record["size"] = t.data_size(item.dataset)
        if form == _TABLE:
            record.update(last=_day(record["last"]), digest=short_digest(item.dataset.digest))
    columns = ["digest", "size", "last", "runs", "context"]
    columns += ["source"] if form != _TABLE else []
    print_records(records, [c for c in columns if any(r[c] for r in records)], form, out)
    if form != _TABLE:
        return
    last = versions[0].dataset
    if last.source and last.source != last.name:
        out.lines(["", *t.wrap(f"source of the last: {last.source}", out.width)])
    if last.schema:
        text = ", ".join(f"{name} {kind}".strip() for name, kind in last.schema)
        out.lines(["", *t.wrap(f"schema of the last: {text}", out.width)])


def _day(time: str) -> str:
    return time.partition("T")[0]
