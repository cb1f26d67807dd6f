"""What docs/FORMAT.md asks of the files of one run or experiment, and where they differ. Pure.

That the bytes of a file are those that its id stands for is seen to elsewhere.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator, Mapping
from hashlib import sha256
from itertools import groupby, islice
from operator import itemgetter
from typing import Any, NamedTuple

from gittrack.core import codec, join, kept, names, schema
from gittrack.core.dataset import is_misnamed
from gittrack.core.join import FileClass
from gittrack.core.model import MetricSummary, Source, Stamp
from gittrack.core.record import (
    TAG_PREFIX,
    UNREADABLE,
    WARNING_PREFIX,
    Record,
    decode_source,
    to_run,
    warning_key,
    why_unreadable,
)
from gittrack.core.schema import is_digest, is_param, is_text, shown
from gittrack.errors import CorruptStoreError, InvalidNameError

#: It cannot be read or trusted; a law of the format is violated; it is legal, but worth a look.
DAMAGED, BROKEN, ODD = "damaged", "broken", "odd"
SEVERITIES = (DAMAGED, BROKEN, ODD)

_DAY_MS = 86_400_000
#: Rows of a segment that are looked at together.
_ROWS_AT_ONCE = 10_000
_CONFLICT = re.compile(r".+\.([0-9a-f]{16})")


class File(NamedTuple):
    """A file of an entity: git's id, its size, and its bytes unless nobody has to look into it."""

    oid: str
    size: int
    data: bytes = b""


class Fault(NamedTuple):
    """What is wrong with a file; `path` is relative to its entity."""

    path: str
    what: str
    severity: str


class Mentions(NamedTuple):
    """What of the store a run names, each time with the file that does.

    `is_whole` tells whether everything that may name something could be read.
    """

    experiment: str | None = None
    environments: tuple[tuple[str, str], ...] = ()
    sources: tuple[tuple[str, Source], ...] = ()
    is_whole: bool = True


class RunLaws:
    """Checks the files of one run.

    Args:
        files: those that could be read, by their names in the run's folder; artifacts may come
            without their bytes.
        lost: the names of files and folders that could not be read.
        now_ms: the wall clock; see `check_yaml`.
    """

    def __init__(
        self, run_id: str, files: Mapping[str, File], lost: Collection[str], now_ms: int
    ) -> None:
        self._id = run_id
        self._files = files
        self._lost = lost
        self._now_ms = now_ms
        #: What the YAML files hold.
        self._values: dict[str, Any] = {}
        self._sources: list[tuple[str, Source]] = []

    def check(self) -> tuple[list[Fault], Mentions]:
        """What is wrong with them, and what they name elsewhere in the store."""
        faults: list[Fault] = []
        if "run.yaml" not in {*self._files, *self._lost}:
            faults.append(Fault("run.yaml", "is missing: nothing says what this run is", DAMAGED))
        for name, file in self._files.items():
            if is_yaml(name):
                value, wrong = check_yaml(name, file.data, self._now_ms)
                faults += wrong
                if value is not None:
                    self._values[name] = value
        for part in (
            self._facts, self._notes, self._source, self._params, self._inputs, self._writers,
            self._metrics, self._logs, self._artifacts, self._conflicts,
        ):  # fmt: skip
            faults += part()
        is_whole = not self._lost and all(fault.severity != DAMAGED for fault in faults)
        return faults, self._mentions(is_whole)

    def _mentions(self, is_whole: bool) -> Mentions:
        experiment = self._values.get("run.yaml", {}).get("experiment")
        facts = ((name, value) for name, value in self._values.items() if _has_facts(name))
        return Mentions(
            experiment if isinstance(experiment, str) else None,
            tuple((name, found["env"]) for name, found in facts if is_digest(found.get("env"))),
            tuple(self._sources),
            is_whole,
        )

    def _in(self, folder: str) -> dict[str, File]:
        """The files in one of the run's folders, by their names in the run."""
        return {name: f for name, f in self._files.items() if name.startswith(f"{folder}/")}

    def _is_lost(self, *names_: str) -> bool:
        """Whether one of those files, or anything in a folder of that name, could not be read."""
        return any(lost == n or lost.startswith(f"{n}/") for n in names_ for lost in self._lost)

    # -- YAML ----------------------------------------------------------------------------

    def _facts(self) -> Iterator[Fault]:
        facts = self._values.get("run.yaml")
        if facts is None:
            return
        if facts.get("id") != self._id:
            said = f"says that it is run {shown(facts['id'])}" if "id" in facts else "has no id"
            yield Fault("run.yaml", f"{said}, in the folder of run {self._id}", BROKEN)
        why = _unreadable(self._id, Record(facts=facts))
        yield from (
            [Fault("run.yaml", why, DAMAGED)] if why else _typed("run.yaml", facts, schema.FACTS)
        )

    def _notes(self) -> Iterator[Fault]:
        stamps = self._values.get("notes.yaml")
        if stamps is None:
            return
        why = _unreadable(self._id, Record(notes=stamps))
        if why:
            yield Fault("notes.yaml", why, DAMAGED)
        else:
            yield from note_faults(stamps)

    def _source(self) -> Iterator[Fault]:
        facts = self._values.get("run.yaml", {})
        if "source.yaml" not in {*self._files, *self._lost}:
            self._sources.append(("run.yaml", decode_source(facts, {})))
        for name in ("source.yaml", "disk.yaml"):
            lines = self._values.get(name)
            if lines is None:
                continue
            try:
                source = decode_source(facts if name == "source.yaml" else lines, lines)
            except CorruptStoreError as error:
                yield Fault(name, f"cannot be read: {error.why}", DAMAGED)
                continue
            self._sources.append((name, source))
            yield from _typed(name, lines, schema.SOURCE)
            if bool(source.overlay) != bool(source.files):
                has = "files but no overlay" if source.files else "an overlay but no files"
                yield Fault(name, f"has {has}", BROKEN)

    def _params(self) -> Iterator[Fault]:
        for key, value in self._values.get("params.yaml", {}).items():
            yield from _key_faults("params.yaml", "param", key)
            if not is_param(value):
                what = f"{shown(key)} is a mapping; nested ones come with dotted keys"
                yield Fault("params.yaml", what, BROKEN)

    def _inputs(self) -> Iterator[Fault]:
        for name in ("inputs.set.yaml", "outputs.set.yaml"):
            for key, facts in self._values.get(name, {}).items():
                if not (isinstance(facts, dict) and is_text(facts.get("digest"))):
                    yield Fault(name, f"{shown(key)} has no digest", BROKEN)
                    continue
                wrong = schema.mistyped(facts, schema.DATASET)
                yield from (Fault(name, f"{shown(key)}: {what}", BROKEN) for what in wrong)
                if is_misnamed(key, facts):
                    yield Fault(name, f"{shown(key)} is not named by its value", BROKEN)

    def _writers(self) -> Iterator[Fault]:
        for name in self._in("writers"):
            first = f"{name.removesuffix('.end.yaml')}.yaml"
            if name.endswith(".end.yaml"):
                if first not in self._files and not self._is_lost(first):
                    yield Fault(name, f"is the end of a writer without {first}", BROKEN)
                yield from _typed(name, self._values.get(name, {}), schema.END)
            elif _has_facts(name):
                yield from _typed(name, self._values.get(name, {}), schema.FACTS)

    # -- other files ---------------------------------------------------------------------

    def _metrics(self) -> Iterator[Fault]:
        segments = self._in("metrics")
        faults = [fault for name, file in segments.items() for fault in _named(name, file, ".csv")]
        rows = [_rows(name, file.data, faults) for name, file in segments.items()]
        known = self._values.get("metrics.yaml")
        summary: dict[str, MetricSummary] = {}
        counts: dict[str, int] = {}
        # All are in one order, so the points of a key come together.
        merged = rows[0] if len(rows) == 1 else heapq.merge(*rows)
        for key, points in groupby(merged, key=itemgetter(0)):
            faults += _key_faults("metrics", "metric", key)
            if known is not None:
                all_points = list(map(itemgetter(1, 2, 3), points))
                summary.update(codec.summarise_points({key: list(dict.fromkeys(all_points))}))
                # Writers that do not see each other's points count equal ones each.
                counts[key] = len(all_points)
        yield from faults
        if known is None or faults or self._is_lost("metrics"):
            return
        of, metrics = known
        if sorted(of) != sorted(name.partition("/")[2] for name in segments):
            yield Fault("metrics.yaml", "does not cover the segments that are there", ODD)
            return
        for key in {**metrics, **summary}:
            if not _is_summary(metrics.get(key), summary.get(key), counts.get(key, 0)):
                what = f"says of {shown(key)} what the points do not"
                yield Fault("metrics.yaml", what, ODD)

    def _logs(self) -> Iterator[Fault]:
        for name, file in self._in("logs").items():
            yield from _named(name, file, ".txt")

    def _artifacts(self) -> Iterator[Fault]:
        stamps = self._values.get("artifacts.yaml", {})
        if {"artifacts.yaml"} & {*self._files, *self._lost} - {*self._values}:
            return  # what cannot be read may have an entry for each
        entries = {path: stamp.v for path, stamp in stamps.items() if stamp.v is not None}
        parents = kept.parents_of(entries)
        there = self._in("artifacts")
        for key, entry in entries.items():
            is_pointer = kept.is_pointer(entry)
            name = kept.file_name(key, is_parent=key in parents, is_pointer=is_pointer)
            name = f"artifacts/{name}"
            yield from self._artifact(key, entry, name, there.pop(name, None))
        for name in there:
            yield Fault(name, "has no entry in artifacts.yaml", BROKEN)

    def _artifact(self, key: str, entry: Any, name: str, file: File | None) -> Iterator[Fault]:
        try:
            kept.check_entry(key)
        except InvalidNameError as error:
            yield Fault("artifacts.yaml", error.message, BROKEN)
        facts = entry if isinstance(entry, dict) else {"blob": entry}
        wrong = schema.mistyped(facts, schema.ARTIFACT)
        faults = [Fault("artifacts.yaml", f"{shown(key)}: {what}", BROKEN) for what in wrong]
        yield from faults
        if faults or not {"blob", "md5"} & facts.keys():
            return
        if file is None:
            if not self._is_lost("artifacts"):
                yield Fault(name, "has an entry in artifacts.yaml and is missing", DAMAGED)
        elif kept.is_pointer(facts):
            pointer = kept.encode_pointer(key, kept.decode_entry(key, facts))
            if file.oid != codec.blob_id(pointer, codec.object_format(file.oid)):
                yield Fault(name, "is not the pointer that artifacts.yaml asks for", BROKEN)
        elif file.oid != facts["blob"]:
            what = f"is blob {file.oid}, but {facts['blob']} in artifacts.yaml"
            yield Fault(name, what, DAMAGED)
        elif file.size != facts.get("size"):
            what = f"has {file.size} bytes, but {facts.get('size')} in artifacts.yaml"
            yield Fault(name, what, BROKEN)

    def _conflicts(self) -> Iterator[Fault]:
        for name, file in self._in("conflicts").items():
            match = _CONFLICT.fullmatch(name)
            if match is None or match[1] != codec.blob_id(file.data, "sha1")[:16]:
                yield _misnamed(name)


# -- other entities --------------------------------------------------------------------------


def check_experiment(
    experiment_id: str, files: Mapping[str, File], lost: Collection[str], now_ms: int
) -> Iterator[Fault]:
    """What is wrong with the files of an experiment; see `RunLaws` for what comes in."""
    first = "experiment.yaml"
    if first not in files and first not in lost:
        yield Fault(first, "is missing: nothing says what this experiment is", DAMAGED)
    for name, file in files.items():
        if not is_yaml(name):
            continue
        value, faults = check_yaml(name, file.data, now_ms)
        yield from faults
        if value is not None and name == first:
            yield from _experiment_faults(experiment_id, value)
        elif value is not None and name == "notes.yaml":
            yield from note_faults(value)


def _experiment_faults(experiment_id: str, facts: Mapping[str, Any]) -> Iterator[Fault]:
    path = "experiment.yaml"
    if facts.get("id") != experiment_id:
        what = f"says that it is {shown(facts.get('id'))}, in the folder of {experiment_id}"
        yield Fault(path, what, BROKEN)
    try:
        name = names.check_experiment_name(facts.get("name"))
    except InvalidNameError as error:
        yield Fault(path, error.message, BROKEN)
        return
    expected = names.experiment_id(name)
    slug, _, suffix = experiment_id.rpartition("-")
    # Where a name was free again, random digits take the place of its hash.
    if slug != expected.rpartition("-")[0] or not re.fullmatch(r"[0-9a-f]{8}", suffix):
        yield Fault(path, f"is called {shown(name)}, whose id would be {expected}", BROKEN)


def check_store(data: bytes) -> list[Fault]:
    """What is wrong with store.yaml."""
    path = "store.yaml"
    value, faults = check_yaml(path, data, 0)
    if value is not None:
        faults += _typed(path, value, schema.STORE)
        faults += [Fault(path, f"has no {k}", BROKEN) for k in schema.STORE if k not in value]
    return faults


def check_environment(path: str, data: bytes) -> list[Fault]:
    """What is wrong with a file below env/: a lock of ours, or the lock file of a tool."""
    name = path.rpartition("/")[2]
    digest = sha256(data).hexdigest()
    if name == f"{digest[:24]}.yaml":
        return check_yaml(path, data, 0)[1]
    return [] if name.startswith(f"{digest}.") else [_misnamed(path)]


def _unreadable(run_id: str, record: Record) -> str:
    """Why nobody can make a run of that part of its record; "" if everybody can."""
    try:
        to_run(run_id, record, str)
    except UNREADABLE as error:
        return f"cannot be read: {why_unreadable(error)}"
    return ""


# -- one file --------------------------------------------------------------------------------


def is_yaml(name: str) -> bool:
    """Whether a file of an entity is one that gittrack writes as YAML."""
    return name.endswith(".yaml") and not name.startswith(("artifacts/", "conflicts/", "source/"))


def is_read(name: str) -> bool:
    """Whether the bytes of a file of an entity are looked into here; of others the id says all."""
    return is_yaml(name) or name.startswith(("metrics/", "logs/", "conflicts/"))


def check_yaml(name: str, data: bytes, now_ms: int) -> tuple[Any, list[Fault]]:
    """What a YAML file holds by the class of its name, None if it cannot be read; and its faults.

    Args:
        now_ms: the wall clock: stamps of more than a day later are odd.
    """
    kind = join.file_class(name)
    try:
        if kind is FileClass.STAMPED:
            stamps = codec.decode_stamps(data, where="it")
            is_canonical = codec.encode_stamps(stamps) == data or _is_canonical(data)
            return stamps, [*_canonical(name, is_canonical), *_future(name, stamps, now_ms)]
        if kind is FileClass.DERIVED:
            of, metrics = codec.decode_summaries(data)
            is_canonical = codec.encode_summaries(of, metrics) == data or _is_canonical(data)
            return (of, metrics), _canonical(name, is_canonical)
        if name == "conflicts.set.yaml":
            return join.decode_conflict_set(data), _canonical(name, _is_canonical(data))
        value = codec.decode_mapping(data, where="it")
    except CorruptStoreError as error:
        return None, [Fault(name, why_unreadable(error), DAMAGED)]
    return value, _canonical(name, codec.encode_mapping(value) == data)


def _is_canonical(data: bytes) -> bool:
    return codec.encode_mapping(codec.decode_mapping(data)) == data


def _canonical(name: str, is_so: bool) -> list[Fault]:
    return [] if is_so else [Fault(name, "is not in canonical form", ODD)]


def _future(name: str, stamps: Mapping[str, Stamp], now_ms: int) -> list[Fault]:
    late = sorted(
        (stamp.t, stamp.by, key) for key, stamp in stamps.items() if stamp.t > now_ms + _DAY_MS
    )
    if not late:
        return []
    # Later writers go on from the latest stamp they see: it was the first whose clock was wrong.
    t, by, key = late[0]
    what = f"{shown(key)} was written by {by} in the future, at {_time(t)}"
    return [Fault(name, what, ODD)]


def note_faults(stamps: Mapping[str, Stamp]) -> Iterator[Fault]:
    """What is wrong with the values in the notes of a run or an experiment."""
    path = "notes.yaml"
    values = {key: stamp.v for key, stamp in stamps.items() if stamp.v is not None}
    yield from _typed(path, values, schema.NOTES)
    for key, value in values.items():
        if key.startswith(TAG_PREFIX):
            yield from _key_faults(path, "tag", key.removeprefix(TAG_PREFIX))
        elif key.startswith(WARNING_PREFIX) and key != warning_key(str(value)):
            yield Fault(path, f"{shown(key)} is not named by its text", BROKEN)
        if key.startswith((TAG_PREFIX, WARNING_PREFIX)) and not is_text(value):
            yield Fault(path, f"{shown(key)} holds {shown(value)}, which is no text", BROKEN)


def _rows(name: str, data: bytes, faults: list[Fault]) -> Iterator[codec.Row]:
    """The rows of a segment, up to the first that is wrong."""
    rows = codec.decode_rows(data)
    last: list[codec.Row] = []
    line = 2
    try:
        # Many at a time: what is asked of every row is asked without a step of Python's own.
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            _, steps, times, values = zip(*some, strict=True)
            numbers = max(*steps, *times), -1 - min(*steps, *times)
            is_exact = list(map(repr, map(float, values))) == list(values)
            if max(numbers) >= 2**63 or not is_exact or last + some != sorted(last + some):
                faults.append(Fault(name, _wrong_row(last, some, line), BROKEN))
                return
            yield from some
            last = some[-1:]
            line += len(some)
    except CorruptStoreError as error:
        faults.append(Fault(name, f"cannot be read: {error.why}", DAMAGED))
    except ValueError as error:
        faults.append(Fault(name, f"cannot be read: {error}", DAMAGED))


def _wrong_row(last: list[codec.Row], rows: list[codec.Row], line: int) -> str:
    """What is wrong with the first row that is."""
    before = last[0] if last else rows[0]
    for number, row in enumerate(rows, line):
        _, step, time_ms, value = row
        if max(step, time_ms, -1 - step, -1 - time_ms) >= 2**63:
            return f"line {number} has a number beyond 64 bits"
        if repr(float(value)) != value:
            return f"line {number} has {shown(value)} for {float(value)!r}"
        if row < before:
            break
        before = row
    return f"line {number} is not in order"


def _named(name: str, file: File, suffix: str) -> list[Fault]:
    """Whether a segment or a piece of output is named by its content."""
    own = name.rpartition("/")[2]
    expected = codec.segment_name(own.rpartition("-")[0], file.data, suffix)
    return [] if own == expected and name.count("/") == 1 else [_misnamed(name)]


def _misnamed(path: str) -> Fault:
    return Fault(path, "is not named by its content", BROKEN)


def _key_faults(path: str, kind: str, key: str) -> list[Fault]:
    try:
        names.check_key(kind, key)
    except InvalidNameError as error:
        return [Fault(path, error.message, BROKEN)]
    return []


def _is_summary(said: MetricSummary | None, found: MetricSummary | None, most: int) -> bool:
    """Whether what is said of a metric is what was found of it; it may count up to `most`."""
    if said is None or found is None or not found.count <= said.count <= most:
        return False
    said = said._replace(count=found.count)
    # NaN is not equal to itself; spelled out it is.
    return said == found or repr(said) == repr(found)


def _has_facts(name: str) -> bool:
    """Whether a file holds the facts of a writer."""
    if name == "run.yaml":
        return True
    return name.startswith("writers/") and name.endswith(".yaml") and ".end." not in name


def _time(ms: int) -> str:
    try:
        return codec.format_time(ms)
    except (ValueError, OverflowError):
        return f"{ms} ms"


def _typed(
    path: str, values: Mapping[str, Any], types: Mapping[str, schema.Type]
) -> Iterator[Fault]:
    for what in schema.mistyped(values, types):
        yield Fault(path, what, BROKEN)
