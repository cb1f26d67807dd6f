"""Datasets that went into a run, and their lines in `inputs.set.yaml`. Pure.

The law of their keys: the entry of a dataset has the key `<name>//<12 hex>`, the first hex digits
of the sha256 of the canonical text of its value. So the key says all: what two writers say of one
dataset alike is one entry, and what they say otherwise, of another context or of other data of the
same name, is two. A grow-only join of such files is a union that can lose nothing and has no
conflicts. An older entry has the name alone as its key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gittrack.core import codec
from gittrack.core.model import Dataset

#: A wider table has the types of its first columns recorded; `columns` counts them all.
MOST_COLUMNS = 500

_KEY = re.compile(r"(.+)//([0-9a-f]{12})", re.DOTALL)
#: Fields of a Dataset by their keys in the file, where these are of one plain type.
_NUMBERS = {"size": "size_bytes", "files": "files", "rows": "rows", "columns": "columns"}
_TEXTS = {"context": "context", "source": "source", "kind": "kind", "dvc": "dvc"}


def encode_dataset(dataset: Dataset) -> tuple[str, dict[str, Any]]:
    """The key and the value of a dataset's entry."""
    facts = facts_of(dataset)
    return key_of(dataset.name, facts), facts


def key_of(name: str, facts: Mapping[str, Any]) -> str:
    """The key of an entry, which follows from its name and its value."""
    from hashlib import sha256  # not for those who only import us

    text = codec.encode_mapping({"v": dict(facts)})
    return f"{name}//{sha256(text).hexdigest()[:12]}"


def facts_of(dataset: Dataset) -> dict[str, Any]:
    """What is known of a dataset besides its name, as the file has it."""
    facts: dict[str, Any] = {"digest": dataset.digest}
    for key, field in _NUMBERS.items():
        value = getattr(dataset, field)
        if value is not None:
            facts[key] = value
    for key, field in _TEXTS.items():
        if getattr(dataset, field):
            facts[key] = getattr(dataset, field)
    if dataset.shape is not None:
        facts["shape"] = list(dataset.shape)
    if dataset.sampled:
        facts["sampled"] = True
    if dataset.opaque:
        facts["opaque"] = list(dataset.opaque)
    if dataset.schema:
        facts["schema"] = [list(column) for column in dataset.schema]
    return facts


def name_of(key: str) -> str:
    """The name of the dataset whose entry has that key."""
    match = _KEY.fullmatch(key)
    return key if match is None else match[1]


def is_misnamed(key: str, facts: Mapping[str, Any]) -> bool:
    """Whether a key is of the form that follows from its value, and is another one."""
    return _KEY.fullmatch(key) is not None and key != key_of(name_of(key), facts)


def decode_datasets(found: Mapping[str, Any], *, with_schema: bool = True) -> tuple[Dataset, ...]:
    """The datasets of a file, by name, context and digest.

    The file may have come from anywhere: a value comes out as of its type, or not at all, and an
    entry without a digest is none.
    """
    datasets = [
        _decode(key, facts, with_schema)
        for key, facts in found.items()
        if isinstance(facts, dict) and isinstance(facts.get("digest"), str) and facts["digest"]
    ]
    return tuple(sorted(datasets, key=lambda item: (item.name, item.context, item.digest)))


def _decode(key: str, facts: Mapping[str, Any], with_schema: bool) -> Dataset:
    fields: dict[str, Any] = {
        field: facts[name] for name, field in _NUMBERS.items() if _is_count(facts.get(name))
    }
    fields.update(
        (field, facts[name]) for name, field in _TEXTS.items() if isinstance(facts.get(name), str)
    )
    shape, opaque = facts.get("shape"), facts.get("opaque")
    if isinstance(shape, list) and all(map(_is_count, shape)):
        fields["shape"] = tuple(shape)
    if isinstance(opaque, list) and all(isinstance(item, str) for item in opaque):
        fields["opaque"] = tuple(opaque)
    if with_schema:
        fields["schema"] = _decode_schema(facts.get("schema"))
    sampled = facts.get("sampled") is True
    return Dataset(name_of(key), facts["digest"], sampled=sampled, **fields)


def _decode_schema(found: Any) -> tuple[tuple[str, str], ...]:
    columns = []
    for column in found if isinstance(found, list) else ():
        match column:
            case [str(name), str(kind)]:
                columns.append((name, kind))
    return tuple(columns)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


# -- several of them ---------------------------------------------------------------------------


def by_label(*sides: Sequence[Dataset]) -> list[dict[str, Dataset]]:
    """The datasets of each side by what tells them apart, alike on all sides.

    That is the name, with the context in parentheses where there is one. Where a side has several
    of that name and context, those of one digest go by it.
    """
    plain = [[_plain_label(item) for item in side] for side in sides]
    often = {label for labels in plain for label, count in Counter(labels).items() if count > 1}
    found = []
    for side, labels in zip(sides, plain, strict=True):
        named: dict[str, Dataset] = {}
        for item, label in zip(side, labels, strict=True):
            named[f"{label} {short_digest(item.digest)}" if label in often else label] = item
        found.append(named)
    return found


def _plain_label(item: Dataset) -> str:
    return f"{item.name} ({item.context})" if item.context else item.name


def short_digest(digest: str) -> str:
    """The digest with 12 of its digits: `table:0123456789ab`."""
    kind, colon, digits = digest.rpartition(":")
    return f"{kind}{colon}{digits[:12]}"


def is_same_data(a: Dataset, b: Dataset) -> bool:
    """Whether two runs saw the same data, wherever it lay."""
    return _what(a) == _what(b)


def _what(item: Dataset) -> tuple[object, ...]:
    return item.digest, item.size_bytes, item.files, item.rows, item.columns, item.shape


def digests_of(datasets: Iterable[Dataset]) -> dict[str, str]:
    """The digests of each name; several of one name are parted by a comma and a blank."""
    found: dict[str, list[str]] = {}
    for item in datasets:
        digests = found.setdefault(item.name, [])
        if item.digest not in digests:
            digests.append(item.digest)
    return {name: ", ".join(digests) for name, digests in found.items()}
