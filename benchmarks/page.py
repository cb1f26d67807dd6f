"""Where the figures of a benchmark go: to the terminal, a file, and its place in a page."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare where figures may go."""
    parser.add_argument("--json", metavar="FILE", help="write the figures there")
    parser.add_argument("--write", metavar="FILE", help="replace the table in this page")


def deliver(args: argparse.Namespace, name: str, found: Any, text: str) -> None:
    """Print a table, and write it between `<!-- NAME:begin -->` and `<!-- NAME:end -->`."""
    print(text)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    if args.write:
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        page = Path(args.write)
        head, rest = page.read_text(encoding="utf-8").split(begin)
        tail = rest.split(end)[1]
        page.write_text(f"{head}{begin}\n{text}{end}{tail}", encoding="utf-8")
