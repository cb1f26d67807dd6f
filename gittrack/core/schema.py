"""Of what type the values of known keys are, file by file. Pure.

Readers pass over a value of another type, so nothing but a check ever tells of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from gittrack.core import codec, names
from gittrack.core.listing import is_md5
from gittrack.core.model import END_STATUSES
from gittrack.errors import CorruptStoreError

#: A test, and what a value is that does not pass it.
Type = tuple[Callable[[Any], bool], str]


def is_text(value: Any) -> bool:
    """Whether it is text."""
    return isinstance(value, str)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and names.is_object_id(value)


def is_digest(value: Any) -> bool:
    """Whether it is the digest of an environment or an overlay."""
    return isinstance(value, str) and names.is_digest(value)


def _is_run(value: Any) -> bool:
    return isinstance(value, str) and names.is_run_id(value)


def is_param(value: Any) -> bool:
    """Whether it may be the value of a param: nested mappings come with dotted keys."""
    if isinstance(value, list):
        return all(map(is_param, value))
    return not isinstance(value, dict)


def _is_time(value: Any) -> bool:
    try:
        codec.parse_time(value)
    except CorruptStoreError:
        return False
    return True


_TEXT: Type = (is_text, "no text")
_TEXTS: Type = (lambda v: isinstance(v, list) and all(map(is_text, v)), "no list of texts")
_NUMBER: Type = (_is_number, "no integer")
_YES_NO: Type = (lambda value: isinstance(value, bool), "neither true nor false")
_ID: Type = (_is_id, "no object id")
_TIME: Type = (_is_time, "no time")
_STATUS: Type = (lambda value: value in END_STATUSES, f"none of {', '.join(END_STATUSES)}")

FACTS: dict[str, Type] = {
    **dict.fromkeys(("argv", "redacted"), _TEXTS),
    **dict.fromkeys(
        ("author", "author_source", "branch", "entry", "experiment", "host", "job", "launcher",
         "python", "remote", "state"), _TEXT,
    ),
    **dict.fromkeys(("base", "commit", "tree"), _ID),
    **dict.fromkeys(("local_rank", "rank", "world_size"), _NUMBER),
    "dirty": _YES_NO,
    "env": (is_digest, "no digest"),
    "parent": (_is_run, "no run's id"),
    "start": _TIME,
}  # fmt: skip
NOTES: dict[str, Type] = {
    **dict.fromkeys(("name", "description"), _TEXT),
    "deleted": _YES_NO,
    "end": _TIME,
    "exit": _NUMBER,
    "status": _STATUS,
}
END: dict[str, Type] = {key: NOTES[key] for key in ("end", "exit", "status")}
SOURCE: dict[str, Type] = dict.fromkeys(("base", "commit", "tree", "rebuilds"), _ID)
DATASET: dict[str, Type] = {
    **dict.fromkeys(("context", "dvc", "kind", "source"), _TEXT),
    **dict.fromkeys(("columns", "files", "rows", "size"), _NUMBER),
    "opaque": _TEXTS,
    "sampled": _YES_NO,
    "schema": (
        lambda value: (
            isinstance(value, list)
            and all(isinstance(c, list) and len(c) == 2 and all(map(is_text, c)) for c in value)
        ),
        "no list of columns, each a name and a type",
    ),
    "shape": (lambda v: isinstance(v, list) and all(map(_is_number, v)), "no list of integers"),
}
ARTIFACT: dict[str, Type] = {
    "blob": _ID,
    "files": _NUMBER,
    "md5": (is_md5, "no md5"),
    "mode": (lambda value: value in ("644", "755"), "neither 644 nor 755"),
    "size": _NUMBER,
}


STORE: dict[str, Type] = dict.fromkeys(("epoch", "format", "min_reader", "min_writer"), _NUMBER)


def mistyped(values: Mapping[str, Any], types: Mapping[str, Type]) -> Iterator[str]:
    """What is wrong with the values of known keys, a sentence each."""
    for key, (is_so, otherwise) in types.items():
        if key in values and not is_so(values[key]):
            yield f"{key} holds {shown(values[key])}, which is {otherwise}"


def shown(value: object) -> str:
    """A value in a sentence, however long it is."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
