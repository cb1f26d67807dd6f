"""Journals -> one commit: the files of ended runs, joined with what the store already holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack import journal
from gittrack.core import codec, join, kept, names
from gittrack.core.headline import headline
from gittrack.core.model import DEFAULT_EXPERIMENT, Artifact, MetricSummary, Stamp
from gittrack.core.record import warning_key
from gittrack.errors import CorruptStoreError, StoreFormatError
from gittrack.repo.known import fold_segments, known_summary, read_run_files
from gittrack.store import layout
from gittrack.store.forking import lazy
from gittrack.store.git import Git
from gittrack.store.write import Person, Tree, existing_paths, update

#: Small files of a run that a join reads; segments, artifacts and logs are named by content or
#: follow their entry.
_JOINED = (
    layout.RUN_FILE,
    layout.PARAMS_FILE,
    layout.NOTES_FILE,
    layout.METRICS_FILE,
    layout.ARTIFACTS_FILE,
    layout.SOURCE_FILE,
    layout.DISK_FILE,
    layout.INPUTS_FILE,
    layout.CONFLICTS_FILE,
)


#: Hosts warn of files of 50 MB and take none of 100.
_SEGMENT_BYTES = 32_000_000


class Sealing(NamedTuple):
    """One run that goes into the store: what its journals say.

    `new` tells that this process began the run, so that the store cannot know it yet; `goes_on`
    that the journals stay, and more will be written to them.
    """

    run_id: str
    states: Sequence[journal.State]
    new: bool = False
    goes_on: bool = False


def seal(
    git: Git, runs: Sequence[Sealing], who: Person, *, fsync: bool, now: Callable[[], float]
) -> dict[str, CorruptStoreError]:
    """Commit runs to the store in one commit.

    Sealing the same journals twice writes nothing the second time, so a crash between the
    commit and the removal of a journal does no harm.

    Returns:
        The runs that were not committed, and why: what the store has of them is damaged. Their
        journals have to stay.
    """
    object_format = "sha256" if _is_sha256(git) else "sha1"
    prepared = [(run, RunFiles(run.states, object_format, goes_on=run.goes_on)) for run in runs]

    states = [state for run in runs for state in run.states]
    if any(item.md5 for state in states for item in state.artifacts.values()):
        from gittrack.repo.objects import repository_objects, secure

        secure(repository_objects(git.common_dir), states, fsync=fsync)
    aside: dict[str, CorruptStoreError] = {}

    def plan(tip: str | None) -> Tree | None:
        files: dict[str, bytes | None] = {}
        aside.clear()
        check_writable(git, tip)
        if tip is None:
            files.update(first_files())
        subjects = []
        for run, mine in prepared:
            try:
                changed, summary = _join_run(git, tip, run, mine)
            except CorruptStoreError as error:
                aside[run.run_id] = error
                continue
            if not changed and run.goes_on:
                continue
            files.update(changed)
            subjects.append(subject_of(run.run_id, mine.name, summary))
        if tip is not None:
            files = _without_purged(git, tip, files)
            shared = existing_paths(git, tip, [p for p in files if not p.startswith("runs/")])
            for path, data in shared.items():
                if files[path] == data:
                    del files[path]
        if not files:
            return None
        return Tree(files, message_of(subjects))

    update(git, layout.STORE_REF, plan, who, fsync=fsync, now=now)
    return aside


def _without_purged(
    git: Git, tip: str, files: Mapping[str, bytes | None]
) -> dict[str, bytes | None]:
    """Less the overlays that were purged: the same changes may have run again."""
    overlays = {
        owner[1] for path in files if (owner := join.owner_of(path)) and owner[0] == "source"
    }
    stones = [layout.tombstone("source", overlay) for overlay in sorted(overlays)]
    purged = existing_paths(git, tip, stones) if stones else {}
    gone = tuple(f"{layout.overlay_dir(stone.rpartition('/')[2])}/" for stone in purged)
    return {path: data for path, data in files.items() if not (gone and path.startswith(gone))}


def first_files() -> dict[str, bytes]:
    """What a store holds from its first commit on; the same bytes in every clone."""
    return {
        layout.STORE_FILE: codec.encode_mapping(
            {
                "format": codec.FORMAT,
                "min_reader": codec.FORMAT,
                "min_writer": codec.FORMAT,
                "epoch": 0,
            }
        ),
        **experiment_files(names.DEFAULT_EXPERIMENT_ID, DEFAULT_EXPERIMENT),
    }


def experiment_files(experiment_id: str, name: str) -> dict[str, bytes]:
    """The file that says which experiment an id stands for."""
    path = f"{layout.experiment_dir(experiment_id)}/{layout.EXPERIMENT_FILE}"
    return {path: codec.encode_mapping({"id": experiment_id, "name": name})}


def check_readable(git: Git, tip: str | None) -> Mapping[str, Any]:
    """The store's format, refused if it says that this version cannot read it."""
    return _check_format(git, tip, "min_reader", "read")


def check_writable(git: Git, tip: str | None) -> None:
    """Refuse a store that says that this version must not write it."""
    _check_format(git, tip, "min_reader", "read")
    _check_format(git, tip, "min_writer", "written")


def _check_format(git: Git, tip: str | None, key: str, verb: str) -> Mapping[str, Any]:
    if tip is None:
        return {}
    found = git.cat_file().read(f"{tip}:{layout.STORE_FILE}")
    if found is None:
        raise CorruptStoreError(
            f"{layout.STORE_REF} holds no {layout.STORE_FILE}",
            why="its commit was not written by gittrack",
            next=f"git log {layout.STORE_REF}",
        )
    store = codec.decode_mapping(found.data, where=layout.STORE_FILE)
    wanted = store.get(key, codec.FORMAT)
    if not isinstance(wanted, int) or wanted > codec.FORMAT:
        raise StoreFormatError(
            f"this store of format {store.get('format')} cannot be {verb} by this gittrack",
            why=f"it asks for a gittrack that knows format {wanted}; this one knows {codec.FORMAT}",
            next="pip install --upgrade gittrack",
        )
    return store


class RunFiles:
    """The files of one run as its journals alone give them.

    `files` has all but the points, which are in `written`.

    Args:
        goes_on: leave out what is known in the end only.
    """

    def __init__(
        self,
        states: Sequence[journal.State],
        object_format: str = "sha1",
        *,
        goes_on: bool = False,
    ) -> None:
        self.files: dict[str, bytes] = {}
        self.shared: dict[str, bytes] = {}
        self._goes_on = goes_on
        self.has_steps = any(state.is_step for state in states)
        notes: dict[str, Stamp] = {}
        artifacts: dict[str, Stamp] = {}
        staged: dict[str, bytes] = {}
        for state in states:
            self._add_facts(state)
            for key, stamp in state.notes.items():
                if key not in notes or (stamp.t, stamp.by) >= (notes[key].t, notes[key].by):
                    notes[key] = stamp
            self._add_set(layout.PARAMS_FILE, state.params)
            self._add_set(layout.INPUTS_FILE, state.inputs)
            for key, item in state.artifacts.items():
                known = artifacts.get(key)
                if known is not None and (known.t, known.by) > item.stamp:
                    continue
                artifact = to_artifact(item)
                data = None
                if item.md5 is not None:
                    data = kept.encode_pointer(key, artifact)
                elif (data := _read(state.staged_path(item.file))) is not None:
                    blob = codec.blob_id(data, object_format)
                    artifact = artifact._replace(size_bytes=len(data), blob=blob)
                if data is None:
                    text = f"artifact {kept.shown(key)} was lost before it was stored"
                    notes[warning_key(text)] = Stamp(text, *item.stamp)
                    continue
                staged[key] = data
                artifacts[key] = Stamp(kept.entry_of(artifact), *item.stamp)
            if state.damaged:
                text = f"{state.damaged} damaged lines of the journal could not be read"
                notes[warning_key(text)] = Stamp(text, 1, state.writer)
        self.written = Written(_points_of(states))
        self.name = str(notes["name"].v) if "name" in notes else ""
        self.artifact_data = staged
        if notes:
            self.files[layout.NOTES_FILE] = codec.encode_stamps(notes)
        if artifacts:
            self.files[layout.ARTIFACTS_FILE] = codec.encode_stamps(artifacts)

    @property
    def artifact_names(self) -> set[str]:
        """The files of the artifacts, or of their pointers, below the folder of artifacts."""
        entries = codec.decode_stamps(self.files.get(layout.ARTIFACTS_FILE, b""))
        return {name.partition("/")[2] for name in place_artifacts("", entries).values()}

    def all_files(self) -> dict[str, bytes]:
        """The files, with the points as segments."""
        return {**self.files, **self.written.segments}

    def _add_set(self, file: str, entries: Mapping[str, Any]) -> None:
        """Two processes may give one key two values: then the run has a conflict, as in a join."""
        if not entries:
            return
        names_ = (file, layout.CONFLICTS_FILE)
        before = {name: self.files[name] for name in names_ if name in self.files}
        new = {file: codec.encode_mapping(entries)}
        self.files.update(join.join_entity(before, new) if before else new)

    def _add_facts(self, state: journal.State) -> None:
        experiment = state.header.get("experiment")
        if state.facts:
            self.files[layout.RUN_FILE] = codec.encode_mapping(state.facts)
        if isinstance(experiment, list):
            self.shared.update(experiment_files(*experiment))
        if state.writer_facts:
            path = f"{layout.WRITERS_DIR}/{state.writer}"
            self.files[f"{path}.yaml"] = codec.encode_mapping(state.writer_facts)
            if state.end:
                self.files[f"{path}.end.yaml"] = codec.encode_mapping(state.end)
        from gittrack.capture import environment

        for facts in (state.facts, state.writer_facts):
            digest = facts.get("env")
            if isinstance(digest, str) and names.is_digest(digest):
                folder = os.path.join(os.path.dirname(state.folder), journal.ENVIRONMENTS)
                for name, data in environment.load(folder, digest).items():
                    self.shared[layout.environment_file(name)] = data
        output = b"" if self._goes_on else state.output()
        if output:
            self.files[f"{layout.LOGS_DIR}/{codec.segment_name(state.writer, output, '.txt')}"] = (
                output
            )
        for name, source in ((layout.SOURCE_FILE, state.source), (layout.DISK_FILE, state.disk)):
            if not source:
                continue
            self.files[name] = codec.encode_mapping(source["lines"])
            for path, file in source["overlay"]:
                changed = _read(state.staged_path(file))
                if changed is not None:
                    folder = layout.overlay_dir(source["lines"]["overlay"])
                    self.shared[f"{folder}/{names.encode_path(path)}"] = changed


class Points(NamedTuple):
    """The points of a writer by key; of the steps of a script, with every writer of a step."""

    writer: str
    by_key: Mapping[str, list[codec.Point]]
    writers: frozenset[str]


class Written:
    """The points that some writers wrote, as segments, and what they come to."""

    def __init__(self, points: Sequence[Points]) -> None:
        self.points = points

    @lazy
    def segments(self) -> dict[str, bytes]:
        """By file name within the run's folder."""
        files = {}
        for writer, by_key, _ in self.points:
            for data in codec.split_points(codec.encode_gathered(by_key), _SEGMENT_BYTES):
                files[f"{layout.METRICS_DIR}/{codec.segment_name(writer, data)}"] = data
        return files

    @lazy
    def summary(self) -> dict[str, MetricSummary]:
        """By key."""
        found: dict[str, MetricSummary] = {}
        for _, by_key, _ in self.points:
            found = codec.merge_summaries(found, codec.summarise_points(by_key))
        return found

    def without(self, git: Git, tip: str | None, folder: str, names: Collection[str]) -> Written:
        """Less the points that a segment of the same writer holds already."""
        rest: list[Points] = []
        for item in self.points:
            mine = sorted(name for name in names if name.rpartition("-")[0] in item.writers)
            specs = [f"{tip}:{folder}/{layout.METRICS_DIR}/{name}" for name in mine]
            known: set[codec.Row] = set()
            for found in git.cat_file().read_many(specs):
                # Points of one that is damaged are written once more; they are a set.
                with contextlib.suppress(CorruptStoreError):
                    known.update(codec.decode_rows(found.data) if found is not None else ())
            left = {
                key: [row for row in rows if (key, *row) not in known]
                for key, rows in item.by_key.items()
            }
            if any(left.values()):
                kept = {key: rows for key, rows in left.items() if rows}
                rest.append(item._replace(by_key=kept))
        return Written(rest)


def _points_of(states: Sequence[journal.State]) -> list[Points]:
    """The points of every process; the steps of a script are together."""
    steps: dict[str, list[codec.Point]] = {}
    written: list[Points] = []
    for state in states:
        if not state.is_step:
            written.append(Points(state.writer, state.by_key(), frozenset({state.writer})))
            continue
        for key, rows in state.by_key().items():
            steps.setdefault(key, []).extend(rows)
    writers = frozenset(state.writer for state in states if state.is_step)
    if steps:
        by_key = {key: codec.distinct(rows) for key, rows in steps.items()}
        written.append(Points(min(writers), by_key, writers))
    return [item for item in written if item.by_key]


def _join_run(
    git: Git, tip: str | None, run: Sealing, mine: RunFiles
) -> tuple[dict[str, bytes | None], dict[str, MetricSummary]]:
    """The files of a run that change, and the summary of its metrics after it."""
    folder = layout.run_dir(run.run_id)
    old: dict[str, bytes] = {}
    segments: set[str] = set()
    if tip is not None and not run.new:
        if git.cat_file().read(f"{tip}:{layout.tombstone('run', run.run_id)}") is not None:
            return {}, {}
        old, segments = read_run_files(git, f"{tip}:{folder}")
    written = mine.written.without(git, tip, folder, segments) if segments else mine.written
    changed: dict[str, bytes | None] = {}
    both = dict(mine.files)
    if old:
        both = join.join_entity(old, {k: v for k, v in mine.files.items() if k in _JOINED})
        for name, data in mine.files.items():
            if name not in _JOINED:
                both.setdefault(name, data)
    both.update(written.segments)
    of = segments | {name.split("/", 1)[1] for name in written.segments}
    try:
        summary = _summary(git, tip, folder, old, segments, mine, written)
        if of:
            both[layout.METRICS_FILE] = codec.encode_summaries(sorted(of), summary)
    except CorruptStoreError:
        # A segment that nobody can read is summed up by nobody.
        summary = {}
    for name, data in both.items():
        if old.get(name) != data:
            changed[f"{folder}/{name}"] = data
    changed.update(_artifact_files(git, tip, folder, both, old, mine.artifact_data))
    if changed:
        changed.update(mine.shared)
    return changed, summary


def _summary(
    git: Git,
    tip: str | None,
    folder: str,
    old: Mapping[str, bytes],
    segments: Collection[str],
    mine: RunFiles,
    written: Written,
) -> dict[str, MetricSummary]:
    """What the points of a run come to, those that the store has and those to write."""
    if segments and mine.has_steps:
        # A crash in the middle of a seal may have left some of these steps in another segment.
        return fold_segments(git, tip, folder, segments, written.segments.values())
    if segments:
        known = known_summary(git, tip, folder, old, segments)
        return codec.merge_summaries(known, written.summary)
    return written.summary


def _artifact_files(
    git: Git,
    tip: str | None,
    folder: str,
    both: Mapping[str, bytes],
    old: Mapping[str, bytes],
    data: Mapping[str, bytes],
) -> dict[str, bytes | None]:
    """The artifact files to write: those of ours whose entry won."""
    if not data:
        return {}
    entries = codec.decode_stamps(both[layout.ARTIFACTS_FILE])
    before = codec.decode_stamps(old.get(layout.ARTIFACTS_FILE, b""))
    places, places_before = place_artifacts(folder, entries), place_artifacts(folder, before)
    files: dict[str, bytes | None] = {}
    # What was `a` lies elsewhere from now on if there is an `a/b`; so does what grew large.
    for key, name in places_before.items():
        if places.get(key) != name:
            files[name] = None
            if key in places and entries[key] == before[key] and tip is not None:
                files[places[key]] = existing_paths(git, tip, [name]).get(name)
    for key, content in data.items():
        if key in places and entries[key] != before.get(key):
            files[places[key]] = content
    return files


def place_artifacts(folder: str, entries: Mapping[str, Stamp]) -> dict[str, str]:
    """The path of each artifact's file, or of its pointer's, by its key; `folder` is the run's."""
    there = {key: stamp.v for key, stamp in entries.items() if stamp.v is not None}
    parents = kept.parents_of(there)
    top = f"{folder}/{layout.ARTIFACTS_DIR}/" if folder else f"{layout.ARTIFACTS_DIR}/"
    return {
        key: top + kept.file_name(key, is_parent=key in parents, is_pointer=kept.is_pointer(entry))
        for key, entry in there.items()
    }


def to_artifact(item: journal.Staged) -> Artifact:
    """An artifact that a journal holds."""
    folder = kept.folder_of(item.path)
    return Artifact(
        item.path if folder is None else folder, item.size_bytes, item.mode,
        md5=item.md5, files=item.files,
    )  # fmt: skip


def subject_of(run_id: str, name: str, summary: Mapping[str, MetricSummary]) -> str:
    """The line of a commit that tells of one run."""
    from gittrack.core.model import short_id

    text = f"run {short_id(run_id)} {names.one_line(name)}"
    values = [f"{names.one_line(key)} {summary[key].last:.4g}" for key in headline(summary)]
    return f"{text}: {', '.join(values)}" if values else text


def message_of(subjects: Sequence[str]) -> str:
    """The message of a commit that tells of these runs."""
    if not subjects:
        return "start a store [skip ci]\n"
    if len(subjects) == 1:
        return f"{subjects[0]} [skip ci]\n"
    shown = subjects[:100]
    rest = [f"and {len(subjects) - len(shown)} more"] if len(subjects) > len(shown) else []
    body = "\n".join([*shown, *rest])
    return f"{len(subjects)} runs [skip ci]\n\n{body}\n"


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _is_sha256(git: Git) -> bool:
    try:
        with open(os.path.join(git.common_dir, "config"), encoding="utf-8", errors="replace") as f:
            return "objectformat=sha256" in f.read().lower().replace(" ", "")
    except OSError:
        return False
