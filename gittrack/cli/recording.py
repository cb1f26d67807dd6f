"""What recording commands share: options of a new run, and the run that a script goes on with."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from gittrack.cli import arguments
from gittrack.core import codec
from gittrack.errors import GittrackError, UsageError
from gittrack.repo import Repo
from gittrack.repo.detached import find_recording
from gittrack.repo.values import NewRun
from gittrack.tracking.active import ActiveRun, tag_notes

VARIABLE = "GITTRACK_RUN_ID"


def add_new_run(parser: argparse.ArgumentParser) -> None:
    """The options of a run that begins."""
    parser.add_argument("--name", metavar="NAME", default="", help="what the run is called")
    arguments.completed(
        parser.add_argument("--experiment", metavar="NAME", help="the experiment it belongs to"),
        arguments.EXPERIMENTS,
    )
    parser.add_argument(
        "--tag", metavar="KEY=TEXT", action="append", default=[], help="set a tag; repeatable"
    )
    parser.add_argument(
        "-P", "--param", metavar="KEY=VALUE", action="append", default=[],
        help="record a param; repeatable",
    )  # fmt: skip
    arguments.completed(
        parser.add_argument(
            "--input", metavar="PATH", action="append", default=[],
            help="record which data goes in: a file, a folder or a URI; repeatable",
        ),
        arguments.FILES,
    )  # fmt: skip
    parser.add_argument("--description", metavar="TEXT", help="free text")


def add_joined(parser: argparse.ArgumentParser) -> None:
    """The option that names the run that a step belongs to."""
    parser.add_argument("--run", metavar="RUN", help=f"its id, if {VARIABLE} does not hold it")


def begin(
    repo: Repo,
    args: argparse.Namespace,
    argv: Sequence[str] | None,
    *,
    is_open: bool,
    captures: bool,
) -> ActiveRun:
    """Begin the run that the options ask for; inside another run it is that one's child."""
    params = parse_params(args.param)
    notes: dict[str, Any] = dict(
        tag_notes(
            arguments.key_values(args.tag, "gittrack run --tag team=vision -- CMD"), repo.config
        )
    )
    if args.description is not None:
        notes["description"] = args.description
    outer = os.environ.get(VARIABLE)
    parent = repo.find_live(outer) if outer else None
    new = NewRun(
        args.name,
        args.experiment or repo.config.experiment,
        None if parent is None else parent.run_id,
        notes,
        None if argv is None else list(argv),
        is_open,
        captures,
    )
    run = ActiveRun(repo.begin_run(new), repo.recorder(), repo.config)
    if params:
        run.log_params(params)
    return run


def parse_params(texts: Sequence[str]) -> dict[str, Any]:
    """`key=value` texts as params: numbers, true, false and null become what they are in YAML."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(
                f"'{text}' is no KEY=VALUE",
                why="a param is a key, '=' and a value",
                next="gittrack param lr=0.1",
            )
        found[key] = _scalar(value)
    return found


def _scalar(text: str) -> Any:
    words = {"true": True, "false": False, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        # Not `1_000` and not ` 1`: what YAML reads as a number alone.
        if "_" not in text and text == text.strip():
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def joined_id(args: argparse.Namespace) -> str:
    """The run that a step belongs to.

    Raises:
        UsageError: nothing names it.
    """
    run_id = args.run or os.environ.get(VARIABLE)
    if not run_id:
        raise UsageError(
            f"which run? {VARIABLE} is not set",
            why="a script's steps find their run by that variable, or by --run",
            next=f"export {VARIABLE}=$(gittrack start)",
        )
    return str(run_id)


@contextmanager
def joined(args: argparse.Namespace) -> Iterator[ActiveRun]:
    """The run that a step belongs to, to write to; the step ends with the block."""
    run_id = joined_id(args)
    repo = find_recording()
    try:
        run = ActiveRun(repo.join_step(run_id), repo.recorder(), repo.config)
        try:
            yield run
        finally:
            run.end()
    finally:
        repo.close()


def point(text: str) -> tuple[str, float]:
    """`key=value` as a point of a metric.

    Raises:
        UsageError: it is no number.
    """
    key, equals, value = text.rpartition("=")
    try:
        if equals and key:
            return key, codec.to_number("metric", key, float(value))
    except (ValueError, GittrackError):
        pass
    raise UsageError(
        f"'{text}' is no KEY=NUMBER",
        why="a point of a metric is a key, '=' and a number",
        next="gittrack metric loss=0.5 --step 3",
    )
