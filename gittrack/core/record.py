"""What is written about a run -> the Run that people see.

A record is gathered from the files of the store, from a live journal, or from both; joining
two records of one run is the same union as `core.join` makes of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from gittrack.core import codec, kept
from gittrack.core.dataset import decode_datasets
from gittrack.core.model import (
    END_STATUSES,
    LOST,
    RUNNING,
    Artifact,
    MetricSummary,
    ParamValue,
    Run,
    Source,
    Stamp,
)
from gittrack.core.names import is_digest, is_object_id, is_own_run_id, is_run_id
from gittrack.errors import CorruptStoreError, GittrackError

TAG_PREFIX = "tags."
WARNING_PREFIX = "warnings."
#: What was redacted after run.yaml was written; the note's text says how often.
REDACTED_PREFIX = "redacted."
#: Commits that the run was linked to after it was recorded; the note's text says why.
LINK_PREFIX = "links."

#: What reading a record that does not follow the format may raise: it is YAML, but perhaps not of
#: the types that a run is made of.
UNREADABLE = (
    GittrackError, TypeError, ValueError, AttributeError, LookupError, OverflowError,
)  # fmt: skip


class Record(NamedTuple):
    """The parts of a run, as its files hold them."""

    facts: Mapping[str, Any] = {}
    params: Mapping[str, ParamValue] = {}
    notes: Mapping[str, Stamp] = {}
    metrics: Mapping[str, MetricSummary] = {}
    artifacts: Mapping[str, Artifact] = {}
    source: Mapping[str, Any] = {}
    conflicts: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = {}


def why_unreadable(error: BaseException) -> str:
    """One of those errors on one line."""
    if isinstance(error, GittrackError):
        return f"{error.message}: {error.why}" if error.why else error.message
    return f"its facts do not follow the format: {error}"


def warning_key(text: str) -> str:
    """The note under which a warning is kept; the same warning twice is one note."""
    from hashlib import sha256

    return WARNING_PREFIX + sha256(text.encode()).hexdigest()[:12]


def decode_record(
    files: Mapping[str, bytes],
    segments: Collection[str],
    fold: Callable[[], Mapping[str, MetricSummary]],
    *,
    where: str,
) -> Record:
    """Gather a record from the files in a run's folder.

    Args:
        files: name relative to the folder -> bytes; those that are not there are left out.
        segments: names of the files in `metrics/`.
        fold: reads the segments; called only if `metrics.yaml` does not cover them.
        where: the folder, for errors.
    Raises:
        CorruptStoreError: a file does not follow the format.
    """

    def mapping(name: str) -> dict[str, Any]:
        data = files.get(name)
        return {} if data is None else codec.decode_mapping(data, where=f"{where}/{name}")

    metrics: Mapping[str, MetricSummary] = {}
    if segments:
        summary = files.get("metrics.yaml")
        of, known = codec.decode_summaries(summary) if summary is not None else ([], {})
        metrics = known if sorted(of) == sorted(segments) else fold()
    conflicts = [name for name in files if name.startswith("conflicts/")]
    conflicts += [f"params.{key}" for key in mapping("conflicts.set.yaml")]
    return Record(
        facts=mapping("run.yaml"),
        params=mapping("params.yaml"),
        notes=_stamps(files, "notes.yaml"),
        metrics=metrics,
        artifacts=_artifacts(_stamps(files, "artifacts.yaml")),
        source=mapping("source.yaml"),
        conflicts=tuple(sorted(conflicts)),
        inputs=_inputs(files),
    )


def _inputs(files: Mapping[str, bytes]) -> Mapping[str, Any]:
    """The datasets; of a file that cannot be read none: `show` and `fsck` say what is wrong."""
    data = files.get("inputs.set.yaml")
    try:
        return {} if data is None else codec.decode_mapping(data)
    except CorruptStoreError:
        return {}


def join_records(a: Record, b: Record) -> Record:
    """Both records of one run as one: facts are written once, notes by their stamps."""
    notes = dict(a.notes)
    for key, stamp in b.notes.items():
        old = notes.get(key)
        if old is None or (stamp.t, stamp.by) >= (old.t, old.by):
            notes[key] = stamp
    return Record(
        facts=a.facts or b.facts,
        params={**b.params, **a.params},
        notes=notes,
        metrics=codec.merge_summaries(dict(a.metrics), dict(b.metrics)),
        artifacts={**a.artifacts, **b.artifacts},
        source=a.source or b.source,
        conflicts=a.conflicts + b.conflicts,
        inputs={**b.inputs, **a.inputs},
    )


def to_run(
    run_id: str,
    record: Record,
    experiment_name: Callable[[str], str],
    *,
    live_status: str | None = None,
) -> Run:
    """The run that a record describes.

    Args:
        experiment_name: experiment id -> the name it has now.
        live_status: what is known of a writer that has a journal here; it goes before the
            status that the notes hold, for the run may have been resumed.

    The record may have come from anywhere: every value comes out as of its type, or not at all.

    Raises:
        UNREADABLE: it does not follow the format.
    """
    facts, notes = record.facts, record.notes
    tags: dict[str, str] = {}
    warnings: list[str] = []
    redacted = list(_texts(facts.get("redacted")))
    links: dict[str, str] = {}
    for key, stamp in notes.items():
        if stamp.v is None:
            continue
        if key.startswith(TAG_PREFIX):
            tags[key[len(TAG_PREFIX) :]] = str(stamp.v)
        elif key.startswith(WARNING_PREFIX):
            warnings.append(str(stamp.v))
        elif key.startswith(REDACTED_PREFIX):
            redacted.append(f"{key[len(REDACTED_PREFIX) :]} ({stamp.v})")
        elif key.startswith(LINK_PREFIX) and is_object_id(key[len(LINK_PREFIX) :]):
            links[key[len(LINK_PREFIX) :]] = str(stamp.v)

    status = live_status or _text(_note(notes, "status")) or LOST
    end = _text(_note(notes, "end"))
    start = _text(facts.get("start"))
    experiment_id = _text(facts.get("experiment"))
    parent = facts.get("parent")
    exit_code = _note(notes, "exit")
    withheld = record.source.get("withheld")
    return Run(
        id=run_id,
        experiment_id=experiment_id,
        experiment=experiment_name(experiment_id),
        name=_text(_note(notes, "name")),
        status=status if status in (*END_STATUSES, RUNNING) else LOST,
        start_ms=codec.parse_time(start) if start else _start_of(run_id),
        end_ms=codec.parse_time(end) if end and status != RUNNING else None,
        parent=parent if isinstance(parent, str) and is_run_id(parent) else None,
        author=_text(facts.get("author")),
        author_source=_text(facts.get("author_source")) or "git",
        host=_text(facts.get("host")),
        argv=_texts(facts.get("argv")),
        entry=_text(facts.get("entry")),
        commit=_oid(facts.get("commit")),
        branch=_text(facts.get("branch")) or None,
        base=_oid(facts.get("base")),
        tree=_oid(facts.get("tree")),
        remote=_text(facts.get("remote")) or None,
        dirty=bool(facts.get("dirty", False)),
        exit_code=exit_code if isinstance(exit_code, int) and abs(exit_code) < 2**31 else None,
        description=_text(_note(notes, "description")),
        deleted=bool(_note(notes, "deleted")),
        params=dict(record.params),
        metrics=dict(record.metrics),
        tags=tags,
        warnings=tuple(sorted(warnings)),
        withheld={str(k): str(v) for k, v in withheld.items()} if withheld else {},
        redacted=tuple(redacted),
        conflicts=record.conflicts,
        artifacts=dict(record.artifacts),
        links=links,
        inputs=decode_datasets(record.inputs, with_schema=False) if record.inputs else (),
    )


def encode_source(source: Source) -> dict[str, Any]:
    """What of a source belongs into source.yaml; empty when it is its base, nothing more."""
    lines: dict[str, Any] = {
        "overlay": source.overlay,
        "files": list(source.files),
        "deleted": list(source.deleted),
        "modes": dict(source.modes),
        "symlinks": dict(source.symlinks),
        "gitlinks": dict(source.gitlinks),
        "withheld": dict(source.withheld),
        "submodules_dirty": list(source.submodules_dirty),
    }
    kept = {key: value for key, value in lines.items() if value}
    if kept:
        for key, value in (
            ("base", source.base),
            ("tree", source.tree),
            ("rebuilds", source.rebuilds),
        ):
            if value is not None:
                kept[key] = value
    return kept


def decode_source(facts: Mapping[str, Any], lines: Mapping[str, Any]) -> Source:
    """The source of a run from run.yaml and source.yaml.

    Both may have come from anywhere, and what is in them goes to git: ids are ids or None here,
    paths hold no NUL, modes are those of files.

    Raises:
        CorruptStoreError: source.yaml does not follow the format.
    """
    overlay = lines.get("overlay")
    source = Source(
        commit=_oid(facts.get("commit")),
        base=_oid(lines.get("base", facts.get("base"))),
        tree=_oid(lines.get("tree", facts.get("tree"))),
        rebuilds=_oid(lines.get("rebuilds")),
        branch=_text(facts.get("branch")) or None,
        remote=_text(facts.get("remote")) or None,
        dirty=bool(facts.get("dirty", False)),
        state=_text(facts.get("state")) or None,
        overlay=overlay,
        files=_paths(lines, "files"),
        deleted=_paths(lines, "deleted"),
        modes=_by_path(lines, "modes", ("100644", "100755")),
        symlinks=_by_path(lines, "symlinks"),
        gitlinks=_by_path(lines, "gitlinks"),
        withheld=_by_path(lines, "withheld"),
        submodules_dirty=_paths(lines, "submodules_dirty"),
    )
    if overlay is not None and not (isinstance(overlay, str) and is_digest(overlay)):
        raise _not_a_source("overlay", overlay)
    for oid in source.gitlinks.values():
        if _oid(oid) is None:
            raise _not_a_source("gitlinks", oid)
    return source


def _oid(value: object) -> str | None:
    """An object id, or None for anything else: git would read it as a name or an option."""
    return value if isinstance(value, str) and is_object_id(value) else None


def _paths(lines: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = lines.get(key, [])
    if not isinstance(found, list) or not all(_is_path(path) for path in found):
        raise _not_a_source(key, found)
    return tuple(found)


def _by_path(
    lines: Mapping[str, Any], key: str, allowed: tuple[str, ...] | None = None
) -> dict[str, str]:
    found = lines.get(key, {})
    if not isinstance(found, dict):
        raise _not_a_source(key, found)
    for path, value in found.items():
        if not _is_path(path) or not isinstance(value, str):
            raise _not_a_source(key, path)
        if allowed is not None and value not in allowed:
            raise _not_a_source(key, value)
    return dict(found)


def _is_path(path: object) -> bool:
    return isinstance(path, str) and path != "" and "\0" not in path


def _not_a_source(key: str, value: object) -> CorruptStoreError:
    return CorruptStoreError(
        "source.yaml does not follow the format", why=f"{key} holds {value!r:.80}"
    )


def _stamps(files: Mapping[str, bytes], name: str) -> dict[str, Stamp]:
    data = files.get(name)
    return {} if data is None else codec.decode_stamps(data)


def _artifacts(stamps: Mapping[str, Stamp]) -> dict[str, Artifact]:
    return {
        key: kept.decode_entry(key, stamp.v)
        for key, stamp in stamps.items()
        if isinstance(stamp.v, dict)
    }


def _note(notes: Mapping[str, Stamp], key: str) -> Any:
    stamp = notes.get(key)
    return None if stamp is None else stamp.v


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


def _start_of(run_id: str) -> int:
    if not is_own_run_id(run_id):
        return 0
    d, t = run_id[:8], run_id[9:15]
    return codec.parse_time(f"{d[:4]}-{d[4:6]}-{d[6:]}T{t[:2]}:{t[2:4]}:{t[4:]}.000Z")
