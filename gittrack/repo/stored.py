"""Runs and experiments as the trees of the store hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from gittrack.core import codec
from gittrack.core.model import LOST, Experiment, Metric, MetricSummary, Run
from gittrack.core.record import Record, decode_record, join_records, to_run
from gittrack.errors import CorruptStoreError, GittrackError
from gittrack.store import layout
from gittrack.store.objects import Entry, Reader, iter_tree_changes, parse_tree

#: Runs whose files are read at once; bounds memory at 100,000 runs.
_RUNS_AT_ONCE = 2000


class Changes(NamedTuple):
    """What differs between two sets of tips: entries are None where something is gone."""

    runs: dict[str, list[Entry]]
    gone: list[str]
    experiments: dict[str, Entry | None]


def tree_of(reader: Reader, commit: str) -> str | None:
    """The tree of a commit, or None if the commit is not here."""
    for data in reader.read_many((commit,)):
        if data is not None and data.startswith(b"tree "):
            return data[5 : data.index(b"\n")].decode()
    return None


def is_leaf(path: str) -> bool:
    """Whether a folder of the store's tree is one run, one experiment, or not looked into."""
    parts = path.split("/")
    if parts[0] == layout.RUNS_DIR:
        foreign = len(parts) > 1 and parts[1] == layout.FOREIGN_DIR
        return len(parts) == (4 if foreign else 5)
    if parts[0] == layout.EXPERIMENTS_DIR:
        return len(parts) == 2
    return parts[0] != layout.TOMBSTONES_DIR


def find_changes(reader: Reader, old: Mapping[str, str], new: Mapping[str, str]) -> Changes:
    """The runs and experiments that differ between two sets of tips.

    Args:
        old: ref -> commit that is known; every one of them must be here.
        new: ref -> commit now.
    Raises:
        CorruptStoreError: a tree is damaged or missing.
    """
    touched: dict[str, None] = {}
    experiments: dict[str, Entry | None] = {}
    purged: set[str] = set()
    entries: dict[str, dict[str, Entry]] = {}
    for ref in old.keys() | new.keys():
        before = _tree(reader, old.get(ref))
        after = _tree(reader, new.get(ref))
        for change in iter_tree_changes(reader, before, after, is_leaf):
            top, _, rest = change.path.partition("/")
            last = rest.rpartition("/")[2]
            if top == layout.RUNS_DIR:
                if layout.run_dir(last) == change.path:
                    touched[last] = None
                    if change.new is not None:
                        entries.setdefault(last, {})[ref] = change.new
            elif top == layout.EXPERIMENTS_DIR:
                experiments[last] = change.new or experiments.get(last)
            elif top == layout.TOMBSTONES_DIR and rest.startswith("run/"):
                purged.add(last)
    runs: dict[str, list[Entry]] = {}
    gone = sorted(purged)
    for run_id in touched:
        if run_id in purged:
            continue
        found = entries.get(run_id, {})
        for ref, tip in new.items():
            # Another ref may hold the same run, unchanged.
            if ref not in found and len(new) > 1:
                entry = _entry_at(reader, tip, layout.run_dir(run_id))
                if entry is not None:
                    found[ref] = entry
        if found:
            runs[run_id] = list(found.values())
        else:
            gone.append(run_id)
    return Changes(runs, gone, experiments)


def read_experiments(reader: Reader, changed: Mapping[str, Entry | None]) -> Iterator[Experiment]:
    """The experiments behind those entries; a damaged one goes by its id."""
    for experiment_id, entry in changed.items():
        if entry is None or not entry.is_tree:
            continue
        files = _files_in(reader, [entry])[0][0]
        try:
            yield decode_experiment(experiment_id, files)
        except CorruptStoreError:
            yield Experiment(experiment_id, experiment_id)


def decode_experiment(experiment_id: str, files: Mapping[str, bytes]) -> Experiment:
    """An experiment from the files in its folder."""
    first = codec.decode_mapping(
        files.get(layout.EXPERIMENT_FILE, b""), where=f"experiments/{experiment_id}"
    )
    notes = codec.decode_stamps(files.get(layout.NOTES_FILE, b""))
    name = notes["name"].v if "name" in notes else first.get("name", experiment_id)
    tags = {
        key[len("tags.") :]: str(stamp.v)
        for key, stamp in notes.items()
        if key.startswith("tags.") and stamp.v is not None
    }
    deleted = bool(notes["deleted"].v) if "deleted" in notes else False
    return Experiment(experiment_id, str(name), tags, deleted)


def read_runs(
    reader: Reader, found: Mapping[str, list[Entry]], experiment_name: Callable[[str], str]
) -> Iterator[Run]:
    """The runs behind those entries; a damaged one comes as a lost run that says so."""
    ids = list(found)
    for at in range(0, len(ids), _RUNS_AT_ONCE):
        some = ids[at : at + _RUNS_AT_ONCE]
        flat = [(run_id, entry) for run_id in some for entry in found[run_id]]
        listings = _files_in(reader, [entry for _, entry in flat])
        records: dict[str, Record] = {}
        damaged: dict[str, str] = {}
        for (run_id, _), (files, segments) in zip(flat, listings, strict=True):
            try:
                record = _record(reader, run_id, files, segments)
                known = records.get(run_id)
                records[run_id] = record if known is None else join_records(known, record)
            except GittrackError as error:
                damaged[run_id] = f"{error.message}: {error.why}" if error.why else error.message
        for run_id in some:
            if run_id in damaged:
                yield _damaged_run(run_id, damaged[run_id])
            else:
                yield to_run(run_id, records[run_id], experiment_name)


def read_record(reader: Reader, tips: Iterable[str], run_id: str) -> Record | None:
    """Everything that the store says about one run, or None if it holds no such run."""
    folder = layout.run_dir(run_id)
    found: Record | None = None
    for tip in tips:
        entry = _entry_at(reader, tip, folder)
        if entry is not None:
            files, segments = _files_in(reader, [entry])[0]
            record = _record(reader, run_id, files, segments)
            found = record if found is None else join_records(found, record)
    return found


def _record(
    reader: Reader, run_id: str, files: Mapping[str, bytes], segments: Mapping[str, Entry]
) -> Record:
    if layout.RUN_FILE not in files:
        raise CorruptStoreError(
            f"run {run_id} has no {layout.RUN_FILE}",
            why="the file, or the tree that holds it, is not in this repository",
        )

    def fold() -> dict[str, MetricSummary]:
        points: set[Metric] = set()
        for data in reader.read_many(entry.oid for entry in segments.values()):
            if data is not None:
                points.update(codec.decode_points(data))
        return codec.summarise(points)

    return decode_record(files, segments, fold, where=layout.run_dir(run_id))


def _damaged_run(run_id: str, why: str) -> Run:
    return Run(run_id, "", "", "(damaged)", LOST, 0, warnings=(f"damaged in the store: {why}",))


def _files_in(
    reader: Reader, folders: list[Entry]
) -> list[tuple[dict[str, bytes], dict[str, Entry]]]:
    """For each folder its files by name, and the entries of its `metrics/`."""
    trees: list[dict[str, Entry]] = []
    for data in reader.read_many(folder.oid for folder in folders):
        trees.append({} if data is None else _parse_or_empty(data))
    metrics = [tree.get(layout.METRICS_DIR) for tree in trees]
    listed = reader.read_many(entry.oid for entry in metrics if entry is not None)
    segments = [{} if entry is None else _parse_or_empty(next(listed) or b"") for entry in metrics]
    # A file called conflicts/x is of interest by its name alone, in `conflicts`.
    wanted = [
        [(name, entry.oid) for name, entry in tree.items() if not entry.is_tree] for tree in trees
    ]
    blobs = reader.read_many(oid for files in wanted for _, oid in files)
    result = []
    for tree, files, entries in zip(trees, wanted, segments, strict=True):
        read = {
            name: data for (name, _), data in zip(files, blobs, strict=False) if data is not None
        }
        conflicts = tree.get(layout.CONFLICTS_DIR)
        if conflicts is not None:
            for data in reader.read_many((conflicts.oid,)):
                read.update({f"conflicts/{name}": b"" for name in _parse_or_empty(data or b"")})
        result.append((read, entries))
    return result


def _parse_or_empty(data: bytes) -> dict[str, Entry]:
    try:
        return parse_tree(data)
    except CorruptStoreError:
        return {}


def _tree(reader: Reader, tip: str | None) -> str | None:
    if tip is None:
        return None
    tree = tree_of(reader, tip)
    if tree is None:
        raise CorruptStoreError(
            f"commit {tip} of the store is missing",
            why="a ref names it, and this repository does not hold it",
            next="git fsck",
        )
    return tree


def _entry_at(reader: Reader, tip: str, path: str) -> Entry | None:
    oid = _tree(reader, tip)
    entry: Entry | None = None
    for part in path.split("/"):
        data = next(iter(reader.read_many((oid or "",))), None)
        if data is None:
            return None
        entry = parse_tree(data).get(part)
        if entry is None:
            return None
        oid = entry.oid
    return entry
