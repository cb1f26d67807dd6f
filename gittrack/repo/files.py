"""The files of a run: what it wrote, what it kept, and the source that ran."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from gittrack.core import codec, kept, names
from gittrack.core.dataset import decode_datasets
from gittrack.core.diff import Surroundings, flatten
from gittrack.core.model import Dataset, Metric, Run, Source
from gittrack.core.record import decode_source
from gittrack.errors import GittrackError, SourceError
from gittrack.repo import stored
from gittrack.repo.seal import RunFiles, to_artifact
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.objects import Entry as TreeEntry
from gittrack.store.union import File

if TYPE_CHECKING:
    from gittrack.repo.artifacts import RunArtifacts
    from gittrack.store.odb import Odb

#: About how many points of a metric in one segment a curve is made of.
_SAMPLE = 200


class Checkout(NamedTuple):
    """What `checkout` laid out."""

    into: str
    commit: str | None
    tree: str | None
    files: int
    withheld: tuple[str, ...]


class FileNotInRunError(GittrackError):
    """A run holds no file of that name."""


def no_such_file(run: Run, path: str, there: list[str]) -> FileNotInRunError:
    """The error that a run has no such file, with what is nearest of those that it has."""
    return FileNotInRunError(
        f"run '{run.name}' has no file {path}",
        why=_nearest(path, there),
        next=f"gittrack show {run.short_id}",
    )


class RunReader:
    """Reads one run's files, from its journals and from every ref that holds it."""

    def __init__(
        self, git: Git, view: View, run: Run, stores: Callable[[], Sequence[Odb]] = tuple
    ) -> None:
        self._git = git
        self._stores = stores
        self._run = run
        live = view.live().get(run.id)
        self._live = None if live is None else RunFiles(live.states, "sha1")
        self._live_files = {} if self._live is None else self._live.all_files()
        self._live_states = [] if live is None else live.states
        self._folder = layout.run_dir(run.id)
        self._tips = {} if live is not None and not live.is_in_store else view.tips()
        self._reader = CatFileReader(git)
        self._files_now: dict[str, File] | None = None

    @property
    def _files(self) -> Mapping[str, File]:
        """The files of the run's folder in the store, by name."""
        if self._files_now is None:
            self._files_now = stored.read_folder(self._reader, self._tips, self._run.id)
        return self._files_now

    def listing(self) -> list[str]:
        """The names of all files, relative to the run's folder."""
        found = set(self._live_files)
        if self._live is not None:
            found |= {f"{layout.ARTIFACTS_DIR}/{name}" for name in self._live.artifact_names}
        return sorted({*found, *self._files})

    def read(self, path: str) -> bytes:
        """One file: of the run's folder, an artifact, or a file of the source that ran.

        Raises:
            FileNotInRunError: there is none of that name.
        """
        path = path.strip("/")
        if path in self._live_files:
            return self._live_files[path]
        data = self._stored(path)
        if data is not None:
            return data
        for name in (path, path.removeprefix(f"{layout.ARTIFACTS_DIR}/")):
            data = self.artifact(name)
            if data is not None:
                return data
        data = self._source_file(path)
        if data is not None:
            return data
        raise no_such_file(self._run, path, self.listing())

    def artifact(self, path: str) -> bytes | None:
        """The bytes of an artifact, or None if the run has none of that path.

        Raises:
            ArtifactError: they are not here, or damaged.
        """
        file = self.artifacts.files(path).get(path)
        return None if file is None else self.artifacts.read(file)

    @cached_property
    def artifacts(self) -> RunArtifacts:
        """Which files the run keeps."""
        from gittrack.repo.artifacts import Entry, RunArtifacts

        entries: dict[str, Entry] = {}
        data = self._stored(layout.ARTIFACTS_FILE)
        for key, stamp in codec.decode_stamps(data or b"").items():
            if isinstance(stamp.v, dict):
                entries[key] = Entry(key, kept.decode_entry(key, stamp.v), stamp.t, stamp.by)
        for state in self._live_states:
            for key, item in state.artifacts.items():
                known = entries.get(key)
                if known is None or (known.t, known.by) <= item.stamp:
                    entries[key] = Entry(key, to_artifact(item), *item.stamp)
        return RunArtifacts(self._run.name, entries.values(), self._stores(), self._blob)

    def _blob(self, key: str) -> bytes | None:
        """The bytes of a small artifact; None if they are lost."""
        if self._live is not None and key in self._live.artifact_data:
            return self._live.artifact_data[key]
        for is_parent in (False, True):
            name = kept.file_name(key, is_parent=is_parent, is_pointer=False)
            # A folder of that name is another artifact's.
            if f"{layout.ARTIFACTS_DIR}/{name}" in self._files:
                return self._stored(f"{layout.ARTIFACTS_DIR}/{name}")
        return None

    def points(self, key: str) -> list[Metric]:
        """All points of a metric, ordered by step, then time, then value."""
        found = {
            Metric(key, float(value), step, time_ms)
            for state in self._live_states
            for step, time_ms, value in state.by_key().get(key, ())
        }
        for data in self._segments():
            found.update(m for m in codec.decode_points(data) if m.key == key)
        return sorted(_distinct(found), key=codec.point_order)

    def curves(self, keys: Collection[str]) -> dict[str, list[float]]:
        """The values of metrics in the order of their steps; of a long one an even sample.

        A curve is for the eye: a few hundred points are read of each metric, whatever it has.
        """
        found = self.sample(keys, _SAMPLE)
        return {key: [point.value for point in points] for key, points in found.items()}

    def sample(self, keys: Collection[str], most: int) -> dict[str, list[Metric]]:
        """About `most` points of each metric that has any, evenly, in the order of their steps."""
        found: dict[str, list[Metric]] = {key: [] for key in keys}
        for state in self._live_states:
            for key, points in state.by_key().items():
                if key in found:
                    rows = points[:: max(1, len(points) // most)] + points[-1:]
                    found[key] += [Metric(key, float(v), step, t) for step, t, v in rows]
        for data in self._segments():
            for point in codec.sample_points(data, most):
                if point.key in found:
                    found[point.key].append(point)
        return {
            key: sorted(_distinct(set(points)), key=codec.point_order)
            for key, points in found.items()
            if points
        }

    def source(self) -> Source:
        """What ran, as it was recorded."""
        facts = self._mapping(layout.RUN_FILE)
        return decode_source(facts, self._mapping(layout.SOURCE_FILE))

    def surroundings(self) -> Surroundings:
        """The environment that the run had, and the data that went in and came out."""
        facts = self._mapping(layout.RUN_FILE)
        environment: Mapping[str, object] = {}
        digest = facts.get("env")
        if isinstance(digest, str):
            environment = self.environment(digest)
        return Surroundings(
            flatten(environment), self.inputs(), decode_datasets(self._mapping(layout.OUTPUTS_FILE))
        )

    def inputs(self) -> tuple[Dataset, ...]:
        """The datasets that went in, with their schemas."""
        # Of a run that goes on, the store has what was committed before.
        found = dict(self._mapping(layout.INPUTS_FILE))
        if self._live is not None and (before := self._stored(layout.INPUTS_FILE)) is not None:
            found = {**codec.decode_mapping(before, where=layout.INPUTS_FILE), **found}
        return decode_datasets(found)

    def environment(self, digest: str) -> Mapping[str, object]:
        """The environment lock of that digest; empty if it is not here."""
        if not names.is_digest(digest):
            return {}
        path = layout.environment_file(f"{digest}.yaml")
        if self._live is not None and path in self._live.shared:
            return codec.decode_mapping(self._live.shared[path], where=path)
        for tip in self._tips.values():
            item = self._git.cat_file().read(f"{tip}:{path}")
            if item is not None and item.type == "blob":
                return codec.decode_mapping(item.data, where=path)
        return {}

    def pieces(self) -> list[tuple[str, bytes]]:
        """Every writer's output."""
        names_ = [n for n in self.listing() if n.startswith(f"{layout.LOGS_DIR}/")]
        return [(_writer_of(name), self.read(name)) for name in names_]

    def output(self) -> bytes:
        """What the run printed, as far as it was recorded, in the order its writers began.

        Where several processes printed, a line tells which one follows, as `tail` writes it.
        """
        writers: dict[str, tuple[str, str]] = {}
        pieces = []
        for name in self.listing():
            folder, _, file = name.partition("/")
            if folder == layout.WRITERS_DIR and not file.endswith(".end.yaml"):
                facts = self._mapping(name)
                rank = facts.get("rank")
                title = f"{facts.get('host', '')}" + (f", rank {rank}" if rank is not None else "")
                writers[file.removesuffix(".yaml")] = (str(facts.get("start", "")), title)
            elif folder == layout.LOGS_DIR:
                pieces.append(name)
        # The first writer has no file of its own, and comes first.
        pieces.sort(key=lambda name: writers.get(_writer_of(name), ("", ""))[0])
        if len(pieces) < 2:
            return b"".join(self.read(name) for name in pieces)
        parts = []
        for name in pieces:
            writer = _writer_of(name)
            title = writers.get(writer, ("", self._run.host))[1]
            parts.append(f"==> {writer} {title} <==\n".encode() + self.read(name))
        return b"\n".join(parts)

    def overlay(self, source: Source) -> dict[str, bytes]:
        """The files that differ from the base, by their path in the worktree."""
        if source.overlay is None:
            return {}
        found: dict[str, bytes] = {}
        folder = layout.overlay_dir(source.overlay)
        for path in source.files:
            name = f"{folder}/{names.encode_path(path)}"
            if self._live is not None and name in self._live.shared:
                found[path] = self._live.shared[name]
                continue
            for tip in self._tips.values():
                item = self._git.cat_file().read(f"{tip}:{name}")
                if item is not None and item.type == "blob":
                    found[path] = item.data
                    break
            else:
                raise self._no_overlay(path, name, source.overlay)
        return found

    def _no_overlay(self, path: str, name: str, overlay: str) -> SourceError:
        stone = layout.tombstone("source", overlay)
        read = self._git.cat_file().read
        if any(read(f"{tip}:{stone}") is not None for tip in self._tips.values()):
            why, next_ = "the files of this state of the code were purged", ""
        else:
            why, next_ = f"{name} is missing from every store ref here", "gittrack fsck"
        return SourceError(
            f"the changed file {path} of run '{self._run.name}' is not in the store",
            why=why, next=next_,
        )  # fmt: skip

    def _source_file(self, path: str) -> bytes | None:
        source = self.source()
        if path in source.files:
            return self.overlay(source)[path]
        if source.base is None or path in source.deleted or path in source.withheld:
            return None
        item = self._git.cat_file().read(f"{source.base}:{path}") if "\n" not in path else None
        return item.data if item is not None and item.type == "blob" else None

    def _mapping(self, name: str) -> Mapping[str, object]:
        data = self._live_files.get(name)
        if data is None:
            data = self._stored(name)
        return {} if data is None else codec.decode_mapping(data, where=f"{self._folder}/{name}")

    def _segments(self) -> Iterator[bytes]:
        prefix = f"{layout.METRICS_DIR}/"
        entries = [
            file
            for name, file in self._files.items()
            if name.startswith(prefix) and isinstance(file, TreeEntry)
        ]
        for data in self._reader.read_many(entry.oid for entry in entries):
            if data is not None:
                yield data

    def _stored(self, name: str) -> bytes | None:
        """A file of the run's folder; of a folder in it the names that it holds."""
        file = self._files.get(name)
        if isinstance(file, bytes):
            return file
        if file is not None:
            return next(iter(self._reader.read_many((file.oid,))))
        below = {
            other[len(name) + 1 :].partition("/")[0]
            for other in self._files
            if other.startswith(f"{name}/")
        }
        return "".join(f"{other}\n" for other in sorted(below)).encode() if below else None


def _distinct(points: set[Metric]) -> list[Metric]:
    # NaN differs from itself, so a set keeps a NaN point that two segments share twice.
    seen: dict[tuple[int, int, str], Metric] = {}
    for point in points:
        seen.setdefault((point.step, point.timestamp, repr(point.value)), point)
    return list(seen.values())


def _writer_of(piece: str) -> str:
    return piece.rpartition("/")[2].rpartition("-")[0]


def _nearest(path: str, listing: list[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(path, listing, n=1)
    if near:
        return f"did you mean {near[0]}?"
    shown = ", ".join(listing[:6]) + (", ..." if len(listing) > 6 else "")
    return f"it holds {shown}" if listing else "it holds no files"
