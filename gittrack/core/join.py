"""Join two stores into one, without a merge base.

The class of a file follows from its name alone, so an old version joins files that it does not
know. For two values of one file:

    write-once   the same bytes; else the greater blob id wins, and the other goes to the
                 entity's conflicts/
    grow-only    the union of the keys; of two values of one key the greater canonical text wins,
                 and the other goes to the entity's conflicts.set.yaml
    stamped      per key the greater (t, by, canonical value) wins
    events       the union of the lines, sorted
    union        files named by their content: those of both sides
    derived      metrics.yaml is kept if it covers exactly the joined segments, else dropped
    store        store.yaml: per key the greater integer
    follows      artifacts/...: the file of the side whose entry in artifacts.yaml won

A stamped or grow-only file that cannot be read loses to one that can, and goes to conflicts/; of
two such files the greater blob id wins. So one damaged run never stops the others from being
joined. Tombstones win over everything below their entity. Each rule is commutative, associative
and idempotent; so is the join.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from gittrack.core import codec, kept
from gittrack.core.model import Stamp
from gittrack.errors import CorruptStoreError

_STORE = "store.yaml"
_CONFLICTS = "conflicts/"
_CONFLICT_SET = "conflicts.set.yaml"
_ARTIFACTS_FILE = "artifacts.yaml"
_ARTIFACTS = "artifacts/"
_METRICS_FILE = "metrics.yaml"
_METRICS = "metrics/"
#: Folders of an entity whose files are named by what is in them.
_UNION_FOLDERS = (_METRICS, "logs/", _CONFLICTS)
#: Folders of the store whose files are named by what is in them, or are empty.
_UNION_TOPS = ("env", "source", "tombstones")
#: How many parts of a path name an entity, by the folder that it begins with.
_ENTITY_PARTS = {"experiments": 2, "models": 2, "logged": 3}
_TOP_OF_KIND = {
    "run": "runs",
    "experiment": "experiments",
    "model": "models",
    "logged": "logged",
    "source": "source",
}


class FileClass(Enum):
    """How two versions of a file become one."""

    WRITE_ONCE = "write-once"
    GROW_ONLY = "grow-only"
    STAMPED = "stamped"
    EVENTS = "events"
    UNION = "union"
    DERIVED = "derived"
    STORE = "store"
    FOLLOWS = "follows"


#: The classes of an entity's files whose two versions are read to join them.
_READ = (FileClass.STAMPED, FileClass.GROW_ONLY)


def file_class(path: str) -> FileClass:
    """The class of a file, by its name relative to its entity (or to the root)."""
    name = path.rpartition("/")[2]
    if path.startswith(_UNION_FOLDERS) or path.partition("/")[0] in _UNION_TOPS:
        return FileClass.UNION
    if path.startswith(_ARTIFACTS):
        return FileClass.FOLLOWS
    if path == _STORE:
        return FileClass.STORE
    if path == _METRICS_FILE:
        return FileClass.DERIVED
    if name in ("notes.yaml", _ARTIFACTS_FILE) or name.endswith(".map.yaml"):
        return FileClass.STAMPED
    if name == "params.yaml" or name.endswith(".set.yaml"):
        return FileClass.GROW_ONLY
    if name.endswith(".events"):
        return FileClass.EVENTS
    return FileClass.WRITE_ONCE


def entity_of(path: str) -> str:
    """The folder of the entity that a path of the store belongs to; "" for none."""
    parts = path.split("/")
    if parts[0] == "runs":
        depth = 4 if parts[1:2] == ["x"] else 5
    else:
        depth = _ENTITY_PARTS.get(parts[0], 0)
    return "/".join(parts[:depth]) if len(parts) > depth else ""


def owner_of(path: str) -> tuple[str, str] | None:
    """What a tombstone takes a path away with, as (top folder, id); None for what always stays."""
    entity = entity_of(path)
    if entity:
        return entity.partition("/")[0], entity.rpartition("/")[2]
    parts = path.split("/")
    # An overlay is shared by runs, so it is no entity; but it may be purged.
    return (parts[0], parts[2]) if parts[0] == "source" and len(parts) > 3 else None


def join(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> dict[str, bytes]:
    """Two stores, as path -> bytes, joined into one."""
    purged = _purged(a) | _purged(b)
    left, right = _by_entity(a), _by_entity(b)
    joined: dict[str, bytes] = {}
    for entity in left.keys() | right.keys():
        files = join_entity(left.get(entity, {}), right.get(entity, {}))
        prefix = f"{entity}/" if entity else ""
        joined.update({prefix + name: data for name, data in files.items()})
    return {path: data for path, data in joined.items() if owner_of(path) not in purged}


def join_entity(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of one entity, by names relative to its folder, joined."""
    joined: dict[str, bytes] = {}
    lost: dict[str, list[str]] = {}
    for name in a.keys() | b.keys():
        kind = file_class(name)
        x, y = a.get(name), b.get(name)
        if kind in (FileClass.DERIVED, FileClass.FOLLOWS):
            continue
        if x is None or y is None or x == y:
            joined[name] = _either(x, y)
        elif kind is FileClass.UNION:
            # union: named by content, so two that differ are damaged; keep one for all.
            joined[name] = max(x, y)
        elif kind in _READ and not (_is_sound(name, x) and _is_sound(name, y)):
            low, high = sorted((x, y), key=lambda data: (_is_sound(name, data), _blob_id(data)))
            joined[name] = high
            joined[_conflict_name(name, low)] = low
        elif kind is FileClass.STAMPED:
            joined[name] = _join_stamped(x, y)
        elif name == _CONFLICT_SET:
            joined[name] = _join_conflict_sets(x, y)
        elif kind is FileClass.GROW_ONLY:
            joined[name], losers = _join_grow_only(x, y)
            lost.update({f"{name}:{key}": value for key, value in losers.items()})
        elif kind is FileClass.EVENTS:
            joined[name] = _join_events(x, y)
        elif kind is FileClass.STORE:
            joined[name] = _join_store(x, y)
        else:
            # write-once: the greater blob id wins, and the other goes to conflicts/.
            low, high = sorted((x, y), key=_blob_id)
            joined[name] = high
            joined[_conflict_name(name, low)] = low
    _keep_lost(joined, lost)
    _join_derived(a, b, joined)
    _join_following(a, b, joined)
    _make_room(joined)
    return joined


def _either(x: bytes | None, y: bytes | None) -> bytes:
    found = x if x is not None else y
    assert found is not None
    return found


def _is_sound(name: str, data: bytes) -> bool:
    """Whether a stamped or grow-only file follows the format."""
    try:
        if file_class(name) is FileClass.STAMPED:
            codec.decode_stamps(data)
        elif name == _CONFLICT_SET:
            decode_conflict_set(data)
        else:
            codec.decode_mapping(data)
    except CorruptStoreError:
        return False
    return True


# -- the classes -----------------------------------------------------------------------------


def _join_stamped(x: bytes, y: bytes) -> bytes:
    """stamped: per key the greater (t, by, canonical value) wins."""
    joined = codec.decode_stamps(x)
    for key, stamp in codec.decode_stamps(y).items():
        old = joined.get(key)
        if old is None or codec.stamp_order(stamp) > codec.stamp_order(old):
            joined[key] = stamp
    return codec.encode_stamps(joined)


def _join_grow_only(x: bytes, y: bytes) -> tuple[bytes, dict[str, list[str]]]:
    """grow-only: the union; of two values the greater canonical text wins. And the losers."""
    joined = codec.decode_mapping(x)
    lost: dict[str, list[str]] = {}
    for key, value in codec.decode_mapping(y).items():
        if key not in joined:
            joined[key] = value
            continue
        low, high = sorted((joined[key], value), key=_canonical)
        joined[key] = high
        if _canonical(low) != _canonical(high):
            lost[key] = [_canonical(low)]
    return codec.encode_mapping(joined), lost


def _join_events(x: bytes, y: bytes) -> bytes:
    """events: the union of the lines, sorted."""
    lines = {*x.splitlines(), *y.splitlines()} - {b""}
    return b"".join(line + b"\n" for line in sorted(lines))


def _join_store(x: bytes, y: bytes) -> bytes:
    """store: per key the greater integer."""
    joined = codec.decode_mapping(x)
    for key, value in codec.decode_mapping(y).items():
        joined[key] = max(joined.get(key, value), value)
    return codec.encode_mapping(joined)


def _join_conflict_sets(x: bytes, y: bytes) -> bytes:
    """grow-only: of conflicts.set.yaml, per key the canonical texts of both sides."""
    joined = decode_conflict_set(x)
    for key, texts in decode_conflict_set(y).items():
        joined[key] = sorted({*joined.get(key, ()), *texts})
    return codec.encode_mapping(joined)


def decode_conflict_set(data: bytes) -> dict[str, list[str]]:
    """The values that lost in grow-only files: file:key -> canonical texts.

    Raises:
        CorruptStoreError: it does not follow the format.
    """
    found = codec.decode_mapping(data, where=_CONFLICT_SET)
    for key, texts in found.items():
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise CorruptStoreError(f"{_CONFLICT_SET} holds no list of texts for {key!r}")
    return found


def _keep_lost(joined: dict[str, bytes], lost: Mapping[str, list[str]]) -> None:
    """Add the values that lost to conflicts.set.yaml: file:key -> canonical texts, sorted."""
    if not lost:
        return
    known = joined.get(_CONFLICT_SET, b"")
    if not _is_sound(_CONFLICT_SET, known):
        joined[_conflict_name(_CONFLICT_SET, known)] = known
        known = b""
    joined[_CONFLICT_SET] = _join_conflict_sets(known, codec.encode_mapping(lost))


def _join_derived(a: Mapping[str, bytes], b: Mapping[str, bytes], joined: dict[str, bytes]) -> None:
    """derived: metrics.yaml is kept if it covers exactly the joined segments, else dropped."""
    segments = sorted(name[len(_METRICS) :] for name in joined if name.startswith(_METRICS))
    found = [
        side[_METRICS_FILE]
        for side in (a, b)
        if _METRICS_FILE in side and _covered(side[_METRICS_FILE]) == segments
    ]
    if found:
        joined[_METRICS_FILE] = max(found)


def _covered(data: bytes) -> list[str] | None:
    """The segments that a metrics.yaml covers; None if it cannot be read."""
    try:
        return codec.decode_summaries(data)[0]
    except CorruptStoreError:
        return None


def _join_following(
    a: Mapping[str, bytes], b: Mapping[str, bytes], joined: dict[str, bytes]
) -> None:
    """follows: an artifact's file comes from the side whose entry won."""
    if not _is_sound(_ARTIFACTS_FILE, joined.get(_ARTIFACTS_FILE, b"")):
        _keep_unlisted(a, b, joined)
        return
    entries = codec.decode_stamps(joined.get(_ARTIFACTS_FILE, b""))
    if not entries:
        return
    sides = [
        (side, codec.decode_stamps(side[_ARTIFACTS_FILE]))
        for side in (a, b)
        if _ARTIFACTS_FILE in side and _is_sound(_ARTIFACTS_FILE, side[_ARTIFACTS_FILE])
    ]
    present = {key: stamp.v for key, stamp in entries.items() if stamp.v is not None}
    parents = kept.parents_of(present)
    for key, entry in present.items():
        is_pointer = kept.is_pointer(entry)
        for side, known in sides:
            data = None
            if _same(known.get(key), entries[key]):
                data = _artifact(side, key, is_pointer=is_pointer)
            if data is not None:
                name = _ARTIFACTS + kept.file_name(
                    key, is_parent=key in parents, is_pointer=is_pointer
                )
                joined[name] = max(data, joined.get(name, b""))


def _keep_unlisted(
    a: Mapping[str, bytes], b: Mapping[str, bytes], joined: dict[str, bytes]
) -> None:
    """Of an artifacts.yaml that cannot be read, the files of the sides that hold it."""
    for side in (a, b):
        if side.get(_ARTIFACTS_FILE) == joined[_ARTIFACTS_FILE]:
            for name in side:
                if name.startswith(_ARTIFACTS):
                    joined[name] = max(side[name], joined.get(name, b""))


def _artifact(side: Mapping[str, bytes], key: str, *, is_pointer: bool) -> bytes | None:
    """The file of an artifact; a side that knew no `a/b` holds `a` without the suffix."""
    for is_parent in (False, True):
        name = kept.file_name(key, is_parent=is_parent, is_pointer=is_pointer)
        data = side.get(_ARTIFACTS + name)
        if data is not None:
            return data
    return None


def _make_room(joined: dict[str, bytes]) -> None:
    """A file that meets a folder of its name goes to conflicts/; a tree cannot hold both.

    Artifacts move aside by themselves, unless their list is damaged; and of files that are named by
    their content none is a folder's.
    """
    for name in kept.parents_of(joined) & joined.keys():
        data = joined.pop(name)
        if file_class(name) not in (FileClass.UNION, FileClass.FOLLOWS):
            joined[_conflict_name(name, data)] = data


# -- helpers ---------------------------------------------------------------------------------


def _purged(paths: Iterable[str]) -> set[tuple[str, str]]:
    """The entities that tombstones name, as (top folder, id); tombstones/<kind>/<2>/<id>."""
    found = set()
    for path in paths:
        entity = is_tombstone(path)
        if entity is not None:
            found.add(entity)
    return found


def is_tombstone(path: str) -> tuple[str, str] | None:
    """The entity that a tombstone names, as (top folder, id); None if the path is none."""
    parts = path.split("/")
    if parts[0] == "tombstones" and len(parts) == 4 and parts[1] in _TOP_OF_KIND:
        return _TOP_OF_KIND[parts[1]], parts[3]
    return None


def _by_entity(files: Mapping[str, bytes]) -> dict[str, dict[str, bytes]]:
    found: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        entity = entity_of(path)
        found.setdefault(entity, {})[path[len(entity) + 1 :] if entity else path] = data
    return found


def _same(a: Stamp | None, b: Stamp) -> bool:
    return a is not None and codec.stamp_order(a) == codec.stamp_order(b)


def _canonical(value: Any) -> str:
    return codec.encode_mapping({"v": value}).decode()[3:-1]


def _blob_id(data: bytes) -> str:
    return codec.blob_id(data, "sha1")


def _conflict_name(name: str, data: bytes) -> str:
    return f"{_CONFLICTS}{name.replace('/', '%2F')}.{_blob_id(data)[:16]}"
