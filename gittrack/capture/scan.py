"""Look through a file that gittrack wrote for secrets that should not be in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.capture import redact
from gittrack.core import codec
from gittrack.errors import GittrackError

_NOTES = "notes.yaml"


class Hit(NamedTuple):
    """Where in a file something looks like a secret: a line or a key, and what it is."""

    place: str
    what: str


def scan_file(name: str, data: bytes, allow: Sequence[str] = ()) -> Iterator[Hit]:
    """What is left of secrets in one file of the store.

    Args:
        name: the path below the run's folder, or from the top of the store for shared files.
        data: its bytes.
        allow: expressions of what is none.
    """
    top, _, rest = name.partition("/")
    if top in ("artifacts", "source") and rest:
        path = rest.split("/", 2)[-1] if top == "source" else rest
        reason = redact.file_reason(path, data, allow=allow)
        if reason is not None:
            yield Hit("", reason)
        return
    if top == "metrics" or name == "metrics.yaml":
        return
    if top == "logs":
        redactor = redact.LineRedactor(allow)
        for number, row in enumerate(data.split(b"\n"), 1):
            yield from (Hit(f"line {number}", what) for what in redactor.redact([row])[1])
        return
    if name.endswith(".yaml"):
        try:
            mapping = codec.decode_mapping(data)
        except GittrackError as error:
            yield Hit("", f"it could not be looked through: {error.message}")
            return
        yield from _scan_mapping(top, mapping, allow)


def _scan_mapping(top: str, mapping: Mapping[str, Any], allow: Sequence[str]) -> Iterator[Hit]:
    for key, value in mapping.items():
        if top == _NOTES and isinstance(value, dict):
            value = value.get("v")
        if key == "argv" and isinstance(value, list):
            _, found = redact.redact_argv([str(word) for word in value], allow)
            yield from (Hit(key, what) for what in found)
            continue
        # Digests and commits are random; their keys are ours.
        if top == "env" or key in ("redacted", "overlay", "conflicts"):
            _, found = redact.redact_text(str(value), allow, random=False)
            yield from (Hit(key, what) for what in found)
            continue
        _, what = redact.redact_param(key, value, allow)
        if what is not None and value != redact.MARK:
            yield Hit(key, what)
