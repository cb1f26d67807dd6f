"""`gittrack artifacts`: list, copy, check and measure the files that runs keep."""

from __future__ import annotations

import argparse
import os
import sys

from gittrack.cli import arguments
from gittrack.cli.carrying import Progress
from gittrack.cli.output import Output
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.cli.output.lists import print_records
from gittrack.cli.output.text import plural, safe, size
from gittrack.cli.session import open_to_read
from gittrack.core.model import Run
from gittrack.errors import EXIT_FIXABLE, EXIT_OK, UsageError
from gittrack.repo import Repo

HELP = "List the files that a run keeps, copy them, check the bytes of large ones, or measure them."
EXAMPLE = "gittrack artifacts ls @"
_VERBS = ("ls", "get", "verify", "du")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `artifacts`."""
    parser.add_argument(
        "verb", choices=_VERBS,
        help="ls RUN [PATH]: list; get RUN [PATH...]: copy, into the current folder by default; "
        "verify [RUN...]: hash what is here; du [RUN...]: what it takes, of all runs by default",
    )  # fmt: skip
    arguments.add_run(
        parser, "names", nargs="*", metavar="RUN|PATH", help="a run, then paths; or several runs"
    )
    parser.add_argument("--into", metavar="DIR", help="with get: the folder that gets the copies")
    parser.add_argument(
        "--force", action="store_true", help="with get: replace files that are there already"
    )
    parser.add_argument(
        "--repair", action="store_true",
        help="with verify: replace damaged bytes by a good copy, where another one is at hand",
    )  # fmt: skip
    parser.add_argument("--format", choices=LIST_FORMATS, help="default: table")


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it."""
    _check(args)
    with open_to_read(out) as repo:
        if args.verb == "ls":
            return _list(repo, args, out)
        if args.verb == "get":
            return _get(repo, args, out)
        if args.verb == "verify":
            return _verify(repo, args, out)
        return _measure(repo, args, out)


def _check(args: argparse.Namespace) -> None:
    if args.verb in ("ls", "get") and not args.names:
        raise UsageError(f"{args.verb} of which run?", next=f"gittrack artifacts {args.verb} @")
    if args.verb == "ls" and len(args.names) > 2:
        raise UsageError("ls takes one run and one path", next="gittrack artifacts ls @ plots")
    for option, verb in (("into", "get"), ("force", "get"), ("repair", "verify")):
        if getattr(args, option) and args.verb != verb:
            raise UsageError(f"--{option} goes with {verb}", next=f"gittrack artifacts {verb}")
    if args.format and args.verb == "get":
        raise UsageError("--format has no place with get", why="it prints the paths of the copies")


def _list(repo: Repo, args: argparse.Namespace, out: Output) -> int:
    found = repo.get_run(args.names[0])
    path = args.names[1] if len(args.names) > 1 else ""
    artifacts = repo.artifacts_of(found)
    records: list[dict[str, object]] = []
    for file in repo.list_artifacts(found.id, path):
        where = "git"
        if file.md5 is not None:
            where = "not here" if artifacts.find_object(file.md5) is None else "here"
        records.append(
            {"path": file.path, "size_bytes": file.size_bytes, "where": where, "md5": file.md5}
        )
    for layer in artifacts.unlisted(path):
        records.append(
            {
                "path": f"{layer.path or '.'}/",
                "size_bytes": layer.size_bytes,
                "where": f"not here: {plural(layer.files or 0, 'file')}",
                "md5": layer.md5,
            }
        )
    form = args.format or "table"
    if form == "table":
        records = [
            {"path": record["path"], "size": _size(record["size_bytes"]), "where": record["where"]}
            for record in records
        ]
        print_records(records, ("path", "size", "where"), form, out)
        if not records:
            out.note(f"run {safe(found.name)} keeps no files{' there' if path else ''}")
    else:
        print_records(records, ("path", "size_bytes", "where", "md5"), form, out)
    return EXIT_OK


def _get(repo: Repo, args: argparse.Namespace, out: Output) -> int:
    found = repo.get_run(args.names[0])
    into = args.into or os.curdir
    places = repo.lay_out_artifacts(
        found, args.names[1:], into, force=args.force, asks=sys.stdin.isatty(),
        progress=Progress(out, "fetched"),
    )  # fmt: skip
    out.progress("")
    out.lines(safe(os.path.normpath(place)) for place in places)
    return EXIT_OK


def _verify(repo: Repo, args: argparse.Namespace, out: Output) -> int:
    def progress(objects: int, total: int) -> None:
        out.progress(f"{objects:,} objects, {size(total)}")

    check = repo.repair_artifacts if args.repair else repo.verify_artifacts
    done = check(_runs(repo, args), progress=progress)
    out.progress("")
    records = [
        {"run": t.run_name, "id": t.run_id, "path": t.path, "what": t.what, "md5": t.md5,
         "place": t.place}
        for t in done.troubles
    ]  # fmt: skip
    form = args.format or "table"
    if form != "table":
        print_records(records, ("run", "id", "path", "what", "md5", "place"), form, out)
    else:
        print_records(records, ("run", "path", "what", "md5"), form, out)
        said = f"checked {plural(done.objects, 'object')}, {size(done.size_bytes)}"
        bad = len(done.troubles)
        said += f": {plural(bad, 'fault')}" if bad else ": nothing is wrong"
        if done.repaired:
            said += f", {done.repaired} repaired"
        out.lines([said])
        if any(t.what == "damaged" for t in done.troubles) and not args.repair:
            out.note("next: gittrack artifacts verify --repair")
    return EXIT_FIXABLE if done.troubles else EXIT_OK


def _measure(repo: Repo, args: argparse.Namespace, out: Output) -> int:
    found = repo.artifact_usage(_runs(repo, args))
    form = args.format or "table"
    columns = ("run", "files", "git_bytes", "object_bytes", "here_bytes")
    records: list[dict[str, object]] = [
        {"run": u.run_name, "id": u.run_id, "files": u.files, "git_bytes": u.git_bytes,
         "object_bytes": u.object_bytes, "here_bytes": u.here_bytes}
        for u in found
    ]  # fmt: skip
    if form != "table":
        print_records(records, (columns[0], "id", *columns[1:]), form, out)
        return EXIT_OK
    shown = [
        {"run": r["run"], "files": r["files"], "in git": _size(r["git_bytes"]),
         "objects": _size(r["object_bytes"]), "here": _size(r["here_bytes"])}
        for r in records
    ]  # fmt: skip
    print_records(shown, ("run", "files", "in git", "objects", "here"), form, out)
    items = list(repo.objects)
    total = size(sum(item.size_bytes for item in items))
    out.lines([f"the object store holds {plural(len(items), 'object')}, {total}"])
    return EXIT_OK


def _runs(repo: Repo, args: argparse.Namespace) -> list[Run] | None:
    if not args.names:
        return None
    return [found for name in args.names for found in repo.get_runs(name)]


def _size(value: object) -> str:
    return size(value) if isinstance(value, int) else ""
