"""Canonical YAML: one mapping, keys sorted, one entry a line. Same value, same bytes.

What we write is a small part of YAML that reads the same in versions 1.1 and 1.2. What we read
is first tried against that part, line by line (2 us a line); anything else goes through
ruamel.yaml, which is complete and a thousand times slower.
"""

from __future__ import annotations

import json.decoder
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from gittrack.errors import CorruptStoreError, UnsafeStoreError

#: The C parser of a JSON string: text, where it begins -> value, where it ends.
scanstring: Callable[[str, int, bool], tuple[str, int]] = vars(json.decoder)["scanstring"]

#: A file of the store that is larger, deeper or longer is not one of ours.
MAX_BYTES = 64_000_000
MAX_DEPTH = 20

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
#: Read as something other than text by some version of YAML, in any case.
WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"))
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?(?:e[+-][0-9]+)?")
_SPECIAL = {
    "null": None,
    "true": True,
    "false": False,
    ".nan": math.nan,
    ".inf": math.inf,
    "-.inf": -math.inf,
}
# JSON escapes C0, quote and backslash. Also escaped here: DEL, C1, the line separators, marks
# that turn or hide text, the BOM, non-characters, and halves of surrogate pairs.
_ESCAPED = re.compile(
    "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff9-\uffff"
    "\ud800-\udfff]"
)


def encode(mapping: Mapping[str, Any]) -> bytes:
    """A mapping as canonical YAML; values are scalars, lists and mappings of them.

    Raises:
        TypeError: a value is of another type.
    """
    lines = [f"{_key(key)}: {_value(mapping[key])}\n" for key in sorted(mapping)]
    return "".join(lines).encode("utf-8")


def format_float(x: float) -> str:
    """A float that YAML 1.1 and 1.2 read as that float: `1.0e-05`, `.nan`, `-.inf`."""
    if x != x:
        return ".nan"
    if x in (math.inf, -math.inf):
        return ".inf" if x > 0 else "-.inf"
    text = repr(x)
    mantissa, e, exponent = text.partition("e")
    # YAML 1.1 wants a dot in the mantissa and a sign in the exponent; repr gives the latter.
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else text


def to_float(text: str) -> float:
    """The float that `format_float` gave this text for.

    Raises:
        ValueError: it is no such text.
    """
    special = _SPECIAL.get(text)
    return special if isinstance(special, float) else float(text)


def is_yaml_word(key: str) -> bool:
    """Whether some version of YAML reads a plain key as something other than text."""
    return len(key) < 6 and key.lower() in WORDS


def decode_flow(text: str) -> Any:
    """A value as it stands behind its key in a canonical line.

    Raises:
        ValueError: it is not in canonical form.
    """
    try:
        value, end = _flow(text, 0, 0)
    except (_NotOurs, IndexError):
        raise ValueError(text) from None
    if end != len(text):
        raise ValueError(text)
    return value


def encode_flow(value: Any) -> str:
    """A value on one line, as it stands behind its key."""
    return _value(value)


# The same few hundred keys are in the files of all runs.
@lru_cache(1000)
def _key(key: str) -> str:
    if _PLAIN_KEY.fullmatch(key) and key.lower() not in WORDS and key.isascii():
        return key
    return _text(key)


def _text(text: str) -> str:
    quoted = encode_basestring(text)
    if quoted.isascii() and "\x7f" not in quoted:
        return quoted
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _value(value: Any) -> str:
    if value.__class__ is str:
        return _text(value)
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return format_float(float(value))
    if isinstance(value, (list, tuple)):
        return f"[{', '.join([_value(item) for item in value])}]"
    if isinstance(value, Mapping):
        items = [f"{_key(key)}: {_value(value[key])}" for key in sorted(value)]
        return f"{{{', '.join(items)}}}"
    raise TypeError(f"{type(value).__name__} has no place in a file of the store")


# -- decode ----------------------------------------------------------------------------------


#: A plain key with text that has no escapes, or with a scalar.
_SIMPLE_LINE = re.compile(r'([A-Za-z_][A-Za-z0-9_./-]*): (?:"([^"\\]*)"|([^"\[{][^"\[{]*))')


class _NotOurs(Exception):
    """The text is not in canonical form; it may be YAML all the same."""


def decode(data: bytes, *, where: str = "") -> dict[str, Any]:
    """The mapping in a YAML document; an empty document is an empty mapping.

    Raises:
        CorruptStoreError: it is no YAML mapping with text keys; `where` names the file.
        UnsafeStoreError: it uses tags, anchors or aliases, or is too large or too deep.
    """
    text = _to_text(data, where)
    try:
        return _decode_canonical(text)
    except (_NotOurs, IndexError, ValueError):
        return _decode_any(text, where)


def decode_plain(data: bytes, *, where: str = "") -> Any:
    """What a YAML document holds that is no file of the store, of any of YAML's own types.

    Raises:
        CorruptStoreError: it is no YAML; `where` names the file.
        UnsafeStoreError: it uses tags, anchors or aliases, or is too large or too deep.
    """
    return _load_any(_to_text(data, where), where)


def _to_text(data: bytes, where: str) -> str:
    if len(data) > MAX_BYTES:
        raise _unsafe(where, f"it has {len(data):,} bytes; the limit is {MAX_BYTES:,}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _corrupt(where, f"it is not UTF-8 at byte {error.start}") from None


def _decode_canonical(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if not text:
        return found
    lines = text.split("\n")
    if lines.pop():
        raise _NotOurs
    for line in lines:
        simple = _SIMPLE_LINE.fullmatch(line)
        if simple is not None:
            key, plain, scalar = simple.groups()
            if is_yaml_word(key) or key in found:
                raise _NotOurs
            found[key] = plain if scalar is None else _scalar(scalar)
            continue
        if line[0] == '"':
            key, at = scanstring(line, 1, True)
        else:
            at = line.index(":")
            key = line[:at]
            if not _PLAIN_KEY.fullmatch(key) or is_yaml_word(key):
                raise _NotOurs
        if line[at : at + 2] != ": " or key in found:
            raise _NotOurs
        at += 2
        first = line[at]
        if first == '"':
            value, end = scanstring(line, at + 1, True)
        elif first == "[" or first == "{":
            value, end = _flow(line, at, 0)
        else:
            value, end = _scalar(line[at:]), len(line)
        if end != len(line):
            raise _NotOurs
        found[key] = value
    return found


def _scalar(text: str) -> Any:
    match = _NUMBER.fullmatch(text)
    if match is not None:
        if match[1] is not None:
            return float(text)
        if "e" not in text:
            return int(text)
    elif text in _SPECIAL:
        return _SPECIAL[text]
    raise _NotOurs


_FLOW_SCALAR = re.compile(r"[^,\]}\s]+")


def _flow(line: str, at: int, depth: int) -> tuple[Any, int]:
    """The flow value that begins at `at`, and where it ends."""
    if depth > MAX_DEPTH:
        raise _NotOurs
    first = line[at]
    if first == '"':
        return scanstring(line, at + 1, True)
    if first == "[":
        return _flow_list(line, at + 1, depth)
    if first == "{":
        return _flow_mapping(line, at + 1, depth)
    match = _FLOW_SCALAR.match(line, at)
    if match is None:
        raise _NotOurs
    return _scalar(match[0]), match.end()


def _flow_list(line: str, at: int, depth: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    if line[at] == "]":
        return items, at + 1
    while True:
        item, at = _flow(line, at, depth + 1)
        items.append(item)
        if line[at] == "]":
            return items, at + 1
        if line[at : at + 2] != ", ":
            raise _NotOurs
        at += 2


def _flow_mapping(line: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    items: dict[str, Any] = {}
    if line[at] == "}":
        return items, at + 1
    while True:
        if line[at] == '"':
            key, at = scanstring(line, at + 1, True)
        else:
            match = _PLAIN_KEY.match(line, at)
            if match is None or match[0].lower() in WORDS:
                raise _NotOurs
            key, at = match[0], match.end()
        if line[at : at + 2] != ": " or key in items:
            raise _NotOurs
        items[key], at = _flow(line, at + 2, depth + 1)
        if line[at] == "}":
            return items, at + 1
        if line[at : at + 2] != ", ":
            raise _NotOurs
        at += 2


def _decode_any(text: str, where: str) -> dict[str, Any]:
    value = _load_any(text, where)
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _corrupt(where, "it is not a mapping with text keys")
    odd = _odd_type(value)
    if odd is not None:
        raise _corrupt(where, f"it holds a value of the type {odd}")
    return value


def _load_any(text: str, where: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.events import (
        AliasEvent,
        CollectionStartEvent,
        MappingEndEvent,
        NodeEvent,
        SequenceEndEvent,
    )

    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = False
    depth = 0
    try:
        # Events first: an alias could expand to more than any memory.
        for event in yaml.parse(text):
            if isinstance(event, AliasEvent) or getattr(event, "anchor", None) is not None:
                raise _unsafe(where, "it uses an anchor or an alias")
            if isinstance(event, NodeEvent) and _tag(event) is not None:
                raise _unsafe(where, f"it uses the tag {_tag(event)}")
            if isinstance(event, CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    raise _unsafe(where, f"it is nested deeper than {MAX_DEPTH} levels")
            elif isinstance(event, (MappingEndEvent, SequenceEndEvent)):
                depth -= 1
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise _corrupt(where, str(error).strip().splitlines()[0]) from None


def _odd_type(value: Any) -> str | None:
    """The name of a type that YAML knows and no store holds, such as a date, if there is one."""
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
        if not all(isinstance(key, str) for key in value):
            return "mapping with keys that are no text"
    elif isinstance(value, list):
        inner = value
    else:
        plain = value is None or isinstance(value, (bool, int, float, str))
        return None if plain else type(value).__name__
    return next((odd for item in inner if (odd := _odd_type(item)) is not None), None)


def _tag(event: Any) -> str | None:
    tag = getattr(event, "ctag", None) or getattr(event, "tag", None)
    return None if tag is None else str(tag)


def _corrupt(where: str, why: str) -> CorruptStoreError:
    return CorruptStoreError(_said(where), why=why, next=_NEXT)


def _unsafe(where: str, why: str) -> UnsafeStoreError:
    return UnsafeStoreError(_said(where), why=why, next=_NEXT)


def _said(where: str) -> str:
    return f"{where or 'a file of the store'} does not follow the format"


_NEXT = "git log refs/gittrack/store/main shows who wrote it"
