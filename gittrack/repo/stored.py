"""Runs and experiments as the trees of the store hold them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from gittrack.core import codec
from gittrack.core.model import LOST, Experiment, Metric, MetricSummary, Run
from gittrack.core.record import UNREADABLE, Record, decode_record, to_run, why_unreadable
from gittrack.errors import CorruptStoreError, MissingObjectError
from gittrack.store import layout
from gittrack.store.objects import FSCK, Entry, Reader, get_tree, iter_tree_changes, parse_tree
from gittrack.store.union import File, join_folders

#: Runs whose files are read at once; bounds memory at 100,000 runs.
_RUNS_AT_ONCE = 2000
#: What a run is called that cannot be read.
DAMAGED_NAME = "(damaged)"
_DAMAGE = "damaged in the store: "


class _Files(NamedTuple):
    """The small files of an entity by name, the entries of its segments, and what is lost of it."""

    files: dict[str, bytes]
    segments: dict[str, Entry]
    lost: tuple[str, ...] = ()


class Changes(NamedTuple):
    """What differs between two sets of tips: for every entity its trees, where it has any.

    Several trees of one entity are those of tips that are not joined yet; they differ. `lost` are
    folders above entities that cannot be read: nothing is known of what is in them.
    """

    runs: dict[str, list[Entry]]
    gone: list[str]
    experiments: dict[str, list[Entry]]
    lost: tuple[str, ...] = ()


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
        CorruptStoreError: a tip, or its top, is damaged or missing.
    """
    lost: list[str] = []
    runs: dict[str, dict[str, Entry]] = {}
    experiments: dict[str, dict[str, Entry]] = {}
    purged: set[str] = set()
    unpurged: set[str] = set()
    for before, after, ref in _pairs(old, new):
        trees = [None if tip is None else get_tree(reader, tip) for tip in (before, after)]
        for change in iter_tree_changes(reader, trees[0], trees[1], is_leaf, lost):
            top, _, rest = change.path.partition("/")
            last = rest.rpartition("/")[2]
            if top == layout.TOMBSTONES_DIR:
                if rest.startswith("run/"):
                    # A tip that goes, such as that of a remote shared no more, takes its own along.
                    (unpurged if change.new is None else purged).add(last)
                continue
            if top == layout.RUNS_DIR and layout.run_dir(last) == change.path:
                found = runs.setdefault(last, {})
            elif top == layout.EXPERIMENTS_DIR:
                found = experiments.setdefault(last, {})
            else:
                continue
            if change.new is not None:
                found[ref] = change.new
    runs.update({run_id: {} for run_id in unpurged - runs.keys()})
    if len(new) > 1 or unpurged:
        # Another tip may hold the same run, unchanged, or say that it was purged.
        trees_at = Lookup(reader, new)
        purged |= {run_id for run_id in runs if trees_at.is_purged(run_id)}
        for run_id, found in runs.items():
            trees_at.add(layout.run_dir(run_id), found)
        for experiment_id, found in experiments.items():
            trees_at.add(layout.experiment_dir(experiment_id), found)
    there = {run_id: _distinct(found) for run_id, found in runs.items() if run_id not in purged}
    gone = {run_id for run_id, entries in there.items() if not entries} | purged
    return Changes(
        {run_id: entries for run_id, entries in there.items() if entries},
        sorted(gone),
        {name: _distinct(found) for name, found in experiments.items()},
        tuple(dict.fromkeys(lost)),
    )


def _pairs(
    old: Mapping[str, str], new: Mapping[str, str]
) -> Iterator[tuple[str | None, str | None, str]]:
    """Pairs of tips whose differences are all that has to be looked at, and the ref of the second.

    A ref that comes or goes differs little from another one that is there: with that it is
    compared, not with nothing.
    """
    anchor = next((ref for ref in (layout.STORE_REF, *sorted(new)) if ref in new), None)
    for ref in sorted(old.keys() | new.keys()):
        if ref in old and ref in new:
            yield old[ref], new[ref], ref
        elif ref == anchor or anchor is None:
            yield old.get(ref), new.get(ref), ref
        elif ref in new:
            yield new[anchor], new[ref], ref
        else:
            yield old[ref], new[anchor], anchor


def _distinct(found: Mapping[str, Entry]) -> list[Entry]:
    return list({entry.oid: entry for _, entry in sorted(found.items())}.values())


class Lookup:
    """Finds the folders of entities in several tips."""

    def __init__(self, reader: Reader, tips: Mapping[str, str]) -> None:
        self._reader = reader
        self._roots = {ref: get_tree(reader, tip) for ref, tip in tips.items()}
        # The upper folders are the same for most.
        self._trees: dict[str, dict[str, Entry]] = {}

    def add(self, path: str, found: dict[str, Entry]) -> None:
        """Add the entries at a path, by ref, for the refs that are not in `found` yet."""
        for ref in self._roots.keys() - found.keys():
            entry = self._entry(ref, path)
            if entry is not None:
                found[ref] = entry

    def entries(self, path: str) -> list[Entry]:
        """The trees at a path; those that are the same once."""
        found: dict[str, Entry] = {}
        self.add(path, found)
        return _distinct(found)

    def is_purged(self, run_id: str) -> bool:
        """Whether any of the tips says that a run was purged."""
        path = layout.tombstone("run", run_id)
        return any(self._entry(ref, path) is not None for ref in self._roots)

    def _entry(self, ref: str, path: str) -> Entry | None:
        entry = Entry("40000", self._roots[ref])
        for part in path.split("/"):
            if not entry.is_tree:
                return None
            tree = self._trees.get(entry.oid)
            if tree is None:
                tree = self._trees[entry.oid] = self._read(entry.oid)
            found = tree.get(part)
            if found is None:
                return None
            entry = found
        return entry

    def _read(self, oid: str) -> dict[str, Entry]:
        """The entries of a tree; none of one that cannot be read."""
        data = next(iter(self._reader.read_many((oid,))), None)
        try:
            return {} if data is None else parse_tree(data)
        except CorruptStoreError:
            return {}


def read_folder(reader: Reader, tips: Mapping[str, str], run_id: str) -> dict[str, File]:
    """The files of a run by their names in its folder, joined where tips differ; empty if none.

    Raises:
        CorruptStoreError: a tree is damaged or missing.
    """
    lookup = Lookup(reader, tips)
    entries = lookup.entries(layout.run_dir(run_id))
    if not entries or (len(tips) > 1 and lookup.is_purged(run_id)):
        return {}
    return join_folders(reader, layout.run_dir(run_id), entries)


def read_experiments(reader: Reader, changed: Mapping[str, list[Entry]]) -> Iterator[Experiment]:
    """The experiments behind those entries; a damaged one goes by its id."""
    for experiment_id, entries in changed.items():
        folders = [entry for entry in entries if entry.is_tree]
        if not folders:
            continue
        try:
            found = _gather(reader, layout.experiment_dir(experiment_id), folders)
            yield decode_experiment(experiment_id, found.files)
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
        alone = [run_id for run_id in some if len(found[run_id]) == 1]
        listings = iter(_files_in(reader, [found[run_id][0] for run_id in alone]))
        for run_id in some:
            folders = found[run_id]
            files = next(listings) if len(folders) == 1 else None
            try:
                if files is None:
                    files = _gather(reader, layout.run_dir(run_id), folders)
                yield to_run(run_id, _record(reader, run_id, files), experiment_name)
            except UNREADABLE as error:
                yield with_damage(Run(run_id, "", "", DAMAGED_NAME, LOST, 0), error)


def read_record(
    reader: Reader, tips: Mapping[str, str], run_id: str, *, without: Collection[str] = ()
) -> Record | None:
    """Everything that the store says about one run, or None if it holds no such run.

    Args:
        without: writers whose points are left out, because they are known otherwise.
    """
    lookup = Lookup(reader, tips)
    path = layout.run_dir(run_id)
    folders = lookup.entries(path)
    if not folders or (len(tips) > 1 and lookup.is_purged(run_id)):
        return None
    found = _gather(reader, path, folders)
    segments = {
        name: entry
        for name, entry in found.segments.items()
        if name.rpartition("-")[0] not in without
    }
    return _record(reader, run_id, found._replace(segments=segments))


def _gather(reader: Reader, path: str, folders: list[Entry]) -> _Files:
    """What `_files_in` gives of one entity, joined where it has several trees."""
    if len(folders) == 1:
        return _files_in(reader, folders)[0]
    files: dict[str, bytes] = {}
    segments: dict[str, Entry] = {}
    for name, file in join_folders(reader, path, folders).items():
        folder, slash, rest = name.partition("/")
        if not slash:
            files[name] = file if isinstance(file, bytes) else b""
        elif folder == layout.METRICS_DIR and isinstance(file, Entry):
            segments[rest] = file
        elif folder == layout.CONFLICTS_DIR:
            files[name] = b""
    return _Files(files, segments)


def _record(reader: Reader, run_id: str, found: _Files) -> Record:
    files, segments, lost = found
    if lost:
        raise MissingObjectError(
            f"{', '.join(lost[:3])} of run {run_id} cannot be read",
            why="it is missing from this repository, or damaged",
            next=FSCK,
        )
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


def with_damage(run: Run, error: BaseException) -> Run:
    """What is known of a run, with a warning that the store has it damaged."""
    return run._replace(warnings=(*run.warnings, f"{_DAMAGE}{why_unreadable(error)}"))


def is_damaged(run: Run) -> bool:
    """Whether something of the run could not be read, so that it may have more than it shows."""
    return any(text.startswith(_DAMAGE) for text in run.warnings)


def _files_in(reader: Reader, folders: list[Entry]) -> list[_Files]:
    """For each folder its files by name, and the entries of its `metrics/`."""
    lost: list[list[str]] = [[] for _ in folders]
    trees = _trees(reader, enumerate(folders), "its folder", lost)
    below = {}
    for name in (layout.METRICS_DIR, layout.CONFLICTS_DIR):
        there = ((at, tree[name]) for at, tree in trees.items() if name in tree)
        below[name] = _trees(reader, there, name, lost)
    wanted = [
        (at, name, entry.oid)
        for at, tree in trees.items()
        for name, entry in tree.items()
        if not entry.is_tree
    ]
    files: list[dict[str, bytes]] = [{} for _ in folders]
    read = reader.read_many(oid for _, _, oid in wanted)
    for (at, name, _), data in zip(wanted, read, strict=True):
        if data is None:
            lost[at].append(name)
        else:
            files[at][name] = data
    # A file called conflicts/x is of interest by its name alone, in `conflicts`.
    for at, tree in below[layout.CONFLICTS_DIR].items():
        files[at].update({f"{layout.CONFLICTS_DIR}/{name}": b"" for name in tree})
    segments = below[layout.METRICS_DIR]
    return [_Files(files[at], segments.get(at, {}), tuple(lost[at])) for at in range(len(folders))]


def _trees(
    reader: Reader, folders: Iterable[tuple[int, Entry]], name: str, lost: list[list[str]]
) -> dict[int, dict[str, Entry]]:
    """The entries of folders, by number; of one that cannot be read the name is added to `lost`."""
    wanted = list(folders)
    found: dict[int, dict[str, Entry]] = {}
    read = reader.read_many(entry.oid for _, entry in wanted)
    for (at, _), data in zip(wanted, read, strict=True):
        try:
            if data is None:
                lost[at].append(name)
            else:
                found[at] = parse_tree(data)
        except CorruptStoreError:
            lost[at].append(name)
    return found
