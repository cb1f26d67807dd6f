"""`.gittrack.yaml`: its bytes as names and texts, each with its line. Values are not judged here.

The file is hostile input: it may have come with a stranger's repository.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from gittrack.errors import ConfigError

if TYPE_CHECKING:
    from ruamel.yaml.events import Event

#: The file is read whole by every command.
MAX_BYTES = 65_536


class Entry(NamedTuple):
    """One setting as written in the file; None stands for no value (YAML's null)."""

    name: str
    raw: str | list[str] | None
    line: int


def read_settings(path: str) -> list[Entry]:
    """What the file sets, in its order; nothing if there is no file.

    A grouped setting is called by its full name, `source.capture`, however the file nests it.

    Raises:
        ConfigError: the file cannot be read, is larger than `MAX_BYTES`, or is not settings.
    """
    try:
        with open(path, "rb", buffering=0, opener=_open_at_once) as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _bad_file(path, f"it cannot be read: {error.strerror or error}") from error
    return parse_settings(data, path)


def parse_settings(data: bytes | None, path: str) -> list[Entry]:
    """What the bytes of such a file set, in their order.

    Args:
        path: what the file is called in errors.
    Raises:
        ConfigError: there are more than `MAX_BYTES`, or they are not settings.
    """
    if data is None or len(data) > MAX_BYTES:
        raise _bad_file(path, "it is no plain file of at most 64 KiB")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _bad_file(f"{path}:{line}", "the text is not UTF-8") from None
    entries = _read_plain(text)
    return _read_yaml(text, path) if entries is None else entries


def _open_at_once(path: str, flags: int) -> int:
    # A FIFO of that name, or a link to a device, must not stop a command.
    return os.open(path, flags | os.O_NONBLOCK)


def _bad_file(where: str, why: str) -> ConfigError:
    return ConfigError(
        f"{where} cannot be used",
        why=why,
        next="write it as .gittrack.example.yaml is written",
    )


_VALUE = r'(?:\[\]|"[^"\\]*"|[A-Za-z0-9_/][A-Za-z0-9_./-]*)'
_PLAIN_TEXT = re.compile(r"[\x20-\x7e\n]*")
_PLAIN_LINE = re.compile(rf"( *)(?:([a-z_.]+):|(-)(?= ))(?: +({_VALUE}))?(?: +#.*| *)")
_BLANK_LINE = re.compile(r" *(?:#.*)?")
#: The words for null; written without quotes, these are no text.
_NULLS = ("", "~", "null", "Null", "NULL")


def _read_plain(text: str) -> list[Entry] | None:
    """The settings, if the file is written as the example is; None asks for a real YAML parser.

    Importing ruamel.yaml takes 24 ms, more than starting Python; this takes microseconds. It
    must never read anything otherwise than YAML would: what it does not know, it leaves.
    """
    if not _PLAIN_TEXT.fullmatch(text):
        return None
    entries: list[Entry] = []
    group = ""
    group_indent = key_indent = item_indent = 0
    items: list[str] | None = None
    for number, line in enumerate(text.split("\n"), 1):
        if _BLANK_LINE.fullmatch(line):
            continue
        match = _PLAIN_LINE.fullmatch(line)
        if match is None or match[4] in _NULLS:
            return None
        indent, key, dash, word = len(match[1]), match[2], match[3], match[4]
        if dash:
            if word is None or word == "[]" or not entries:
                return None
            if items is None:
                if entries[-1].raw is not None or indent < key_indent:
                    return None
                items, item_indent = [], indent
                entries[-1] = entries[-1]._replace(raw=items)
            if indent != item_indent:
                return None
            items.append(word.strip('"'))
            continue
        items = None
        if not indent:
            group = ""
        elif not group:
            # The first line below a key without a value makes that key a group.
            if not entries or entries[-1].raw is not None:
                return None
            group, group_indent = entries.pop().name + ".", indent
        elif indent != group_indent:
            return None
        key_indent = indent
        raw = None if word is None else [] if word == "[]" else word.strip('"')
        entries.append(Entry(group + key, raw, number))
    return entries


def _read_yaml(text: str, path: str) -> list[Entry]:
    """The settings of any YAML file, by events: nothing is built that the text asks for."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError
    from ruamel.yaml.events import DocumentStartEvent, MappingStartEvent, StreamEndEvent

    entries: list[Entry] = []
    try:
        events = YAML(typ="safe", pure=True).parse(text)
        next(events)
        if isinstance(next(events), DocumentStartEvent):
            root = next(events)
            if isinstance(root, MappingStartEvent):
                _check_node(root, path)
                entries = list(_iter_entries(events, "", path))
            elif _read_scalar(root, path) is not None:
                raise _bad_file(_at(root, path), "it must be settings, as in `experiment: mine`")
            next(events)
            after = next(events)
            if not isinstance(after, StreamEndEvent):
                raise _bad_file(_at(after, path), "a second YAML document starts here")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else path
        raise _bad_file(where, f"it is not YAML: {error.problem or error.context}") from None
    except (YAMLError, ValueError, OverflowError) as error:
        # An escape such as "\UFFFFFFFF" passes ruamel.yaml's checks and fails in chr().
        raise _bad_file(path, f"it is not YAML: {str(error).splitlines()[0]}") from None
    return entries


def _iter_entries(events: Iterator[Event], prefix: str, path: str) -> Iterator[Entry]:
    """The settings of one mapping, whose start has been read."""
    from ruamel.yaml.events import (
        MappingEndEvent,
        MappingStartEvent,
        SequenceEndEvent,
        SequenceStartEvent,
    )

    for event in events:
        if isinstance(event, MappingEndEvent):
            return
        name = prefix + (_read_scalar(event, path) or "")
        line = event.start_mark.line + 1
        value = next(events)
        if isinstance(value, MappingStartEvent):
            _check_node(value, path)
            if prefix:
                raise _bad_file(_at(value, path), "settings are grouped one level deep")
            yield from _iter_entries(events, name + ".", path)
        elif isinstance(value, SequenceStartEvent):
            _check_node(value, path)
            items = []
            for item in events:
                if isinstance(item, SequenceEndEvent):
                    break
                items.append(_read_scalar(item, path) or "")
            yield Entry(name, items, line)
        else:
            yield Entry(name, _read_scalar(value, path), line)


def _read_scalar(event: Event, path: str) -> str | None:
    from ruamel.yaml.events import ScalarEvent

    _check_node(event, path)
    if not isinstance(event, ScalarEvent):
        raise _bad_file(_at(event, path), "text, a number, true or false belongs here")
    # Without quotes the kind of the setting decides what a text means, so that `experiment: no`
    # names an experiment; only null has a meaning of its own.
    return None if not event.style and event.value in _NULLS else str(event.value)


def _check_node(event: Event, path: str) -> None:
    if getattr(event, "anchor", None) is not None or getattr(event, "tag", None) is not None:
        raise _bad_file(_at(event, path), "YAML tags, anchors and aliases are not allowed")


def _at(event: Event, path: str) -> str:
    return f"{path}:{event.start_mark.line + 1}"
