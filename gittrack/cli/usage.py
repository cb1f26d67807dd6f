"""What a command takes, as plain values: its help, its page in the reference and its man page
are all made of these, alike under every version of Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

from gittrack.cli.output import text as t

_INDENT = "  "
_NAMES_WIDTH = 26


class Entry(NamedTuple):
    """An argument or an option: how it is written, and what it does."""

    names: tuple[str, ...]
    text: str


class Usage(NamedTuple):
    """All that a parser takes."""

    program: str
    description: str
    arguments: tuple[Entry, ...]
    options: tuple[Entry, ...]
    epilog: str

    @property
    def line(self) -> str:
        """How the command is called, on one line."""
        parts = [self.program, *(["[OPTIONS]"] if self.options else [])]
        return " ".join([*parts, *(entry.names[0] for entry in self.arguments)])


def usage_of(parser: argparse.ArgumentParser) -> Usage:
    """What a parser takes, in the order in which it was declared."""
    arguments, options = [], []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS:
            continue
        text = (action.help or "").replace("%%", "%")
        if action.option_strings:
            value = _value(action)
            names = tuple(f"{name}{value}" for name in action.option_strings)
            options.append(Entry(names, text))
        else:
            arguments.append(Entry((_positional(action),), text))
    # The general ones last: what is a command's own comes first.
    general = [entry for entry in options if entry.names[-1] in ("--help", "--color WHEN")]
    own = [entry for entry in options if entry not in general]
    return Usage(
        parser.prog,
        parser.description or "",
        tuple(arguments),
        (*own, *reversed(general)),
        parser.epilog or "",
    )


def _value(action: argparse.Action) -> str:
    if action.nargs == 0:
        return ""
    name = action.metavar if isinstance(action.metavar, str) else None
    if name is None and action.choices is not None:
        name = "|".join(map(str, action.choices))
    name = name or action.dest.upper()
    return f"[={name}]" if action.nargs == "?" else f" {name}"


def _positional(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if action.choices is not None and action.metavar is None:
        name = "|".join(map(str, action.choices))
    shapes = {"?": f"[{name}]", "*": f"[{name}...]", "+": f"{name}...", "...": f"{name}..."}
    return shapes.get(str(action.nargs), name)


def render_help(usage: Usage, width: int) -> Iterator[str]:
    """The help of a command for a terminal."""
    yield from _hanging("usage: ", usage.line, width)
    if usage.description:
        yield ""
        yield from t.wrap(usage.description, width)
    for title, entries in (("arguments:", usage.arguments), ("options:", usage.options)):
        if entries:
            yield ""
            yield title
            for entry in entries:
                yield from _entry(entry, width)
    if usage.epilog:
        yield ""
        yield from usage.epilog.splitlines()


def _entry(entry: Entry, width: int) -> Iterator[str]:
    names = _INDENT + ", ".join(entry.names)
    indent = min(_NAMES_WIDTH, width // 3)
    lines = t.wrap(entry.text, width - indent) or [""]
    if t.width_of(names) + 2 <= indent:
        yield (t.pad(names, indent) + lines[0]).rstrip()
        lines = lines[1:]
    else:
        yield from t.wrap(names, width)
    yield from (" " * indent + line for line in lines if line)


def _hanging(label: str, text: str, width: int) -> Iterator[str]:
    lines = t.wrap(text, width - len(label))
    yield label + lines[0]
    yield from (" " * len(label) + line for line in lines[1:])
