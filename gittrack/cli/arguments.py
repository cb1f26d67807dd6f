"""Arguments that several commands share, and what the shell may complete for each."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from gittrack.errors import UsageError

RUN_HELP = "an id, the start of one, a name, @, @{-1}, @{best:KEY}, EXPERIMENT/NAME or a commit"

#: What an argument's values are; `cli.completion` knows how to list each.
RUNS, EXPERIMENTS, DATASETS, FIELDS, COLUMNS, METRICS, FILES = (
    "runs", "experiments", "datasets", "fields", "columns", "metrics", "files",
)  # fmt: skip
COMPLETES = "completes"


def completed(action: argparse.Action, kind: str) -> argparse.Action:
    """The same argument, marked with what the shell completes for it."""
    setattr(action, COMPLETES, kind)
    return action


def add_run(
    parser: argparse.ArgumentParser, name: str = "run", *, nargs: str | None = None,
    metavar: str = "RUN", help: str = RUN_HELP, default: str | None = None,
) -> None:  # fmt: skip
    """One argument that names a run, or several."""
    if default is None:
        action = parser.add_argument(name, metavar=metavar, nargs=nargs, help=help)
    else:
        action = parser.add_argument(name, metavar=metavar, nargs=nargs, help=help, default=default)
    completed(action, RUNS)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """`-n`, `--dry-run`: every command that changes something has it."""
    parser.add_argument("-n", "--dry-run", action="store_true", help="only say what would change")


def key_values(texts: Sequence[str], example: str) -> dict[str, str]:
    """`key=value` arguments as a mapping.

    Raises:
        UsageError: one of them has no `=` or no key.
    """
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(
                f"'{text}' is no KEY=VALUE", why="a tag is a key, '=' and a text", next=example
            )
        found[key] = value
    return found


def count(text: str) -> int:
    """A number of things, from 0 up."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of runs")
    return int(text)


def split_columns(texts: Sequence[str]) -> list[str]:
    """Columns of `--columns a,b --columns c`; commas inside parentheses or quotes stay."""
    columns: list[str] = []
    for text in texts:
        for part in re.findall(r"(?:\"[^\"]*\"|`[^`]*`|\([^()]*\)|[^,])+", text):
            if part.strip():
                columns.append(part.strip())
    return columns
