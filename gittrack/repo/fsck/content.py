"""Check what the tips of a store hold: runs, what they share, and how all that fits together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.capture.environment import lock_name
from gittrack.core import codec, join, laws, names
from gittrack.core.laws import BROKEN, DAMAGED, ODD, File, Mentions
from gittrack.core.model import Source
from gittrack.core.record import why_unreadable
from gittrack.core.schema import shown
from gittrack.errors import CorruptStoreError, MissingObjectError
from gittrack.repo.fsck.findings import Finding, Findings, run_of
from gittrack.repo.fsck.walk import Listing, Outline, Walk
from gittrack.repo.seal import check_readable
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader, Entry, get_tree
from gittrack.store.source import overlay_id
from gittrack.store.union import join_trees

#: Entities whose files are listed at once; bounds memory.
_AT_ONCE = 500
_ENVIRONMENTS = "env"


class Named(NamedTuple):
    """A source that a run has, the file that holds it, and the tip, if it is not ours."""

    run: str
    path: str
    source: Source
    ref: str


class Content:
    """One check of the tips of a store.

    Args:
        now_ms: the wall clock.
        progress: is told how far it is.
    """

    def __init__(
        self,
        git: Git,
        walk: Walk,
        findings: Findings,
        now_ms: int,
        progress: Callable[[str], None],
    ) -> None:
        self._git = git
        self._walk = walk
        self._findings = findings
        self._now_ms = now_ms
        self._progress = progress
        self._checked: set[tuple[str, str]] = set()
        self._mentions: list[tuple[str, str, Mentions]] = []
        self._locks: set[str] = set()
        #: Top folders in which something could not be read; "" for the store's own.
        self._lost: set[str] = set()
        self.runs = 0
        self.sources: list[Named] = []
        #: Overlays by folder, of any tip.
        self.overlays: dict[str, Entry] = {}

    def check(self, tips: Mapping[str, str]) -> None:
        """Check them; what several tips share is checked once.

        Raises:
            StoreFormatError: they are of a format that this version does not read.
        """
        outlines = [self._walk.outline(ref, tip) for ref, tip in tips.items()]
        for outline in outlines:
            self._check_loose(outline)
            self._check_tombstones(outline)
            self._check_entities(outline)
        for outline in outlines:
            self._check_overlays(outline)
        self._check_mentions(outlines)
        self._check_joins(tips)

    def _new(self, found: Mapping[str, Entry]) -> dict[str, Entry]:
        """Those that no other tip had just so."""
        new = {p: e for p, e in found.items() if (p, e.oid) not in self._checked}
        self._checked.update((path, entry.oid) for path, entry in new.items())
        return new

    def _read(
        self, outline: Outline, *, overlays: bool, is_read: Callable[[str], bool]
    ) -> Iterator[tuple[str, Mapping[str, File], set[str]]]:
        """The folders of a tip that are new, with their files and what is lost of them."""
        wanted = {p: e for p, e in outline.folders.items() if _is_overlay(p) == overlays}
        some = list(self._new(wanted).items())
        for at in range(0, len(some), _AT_ONCE):
            self._progress(f"{at:,} of {len(some):,} folders")
            listings = self._walk.list_files(outline.ref, some[at : at + _AT_ONCE])
            read = self._walk.read_files(outline.ref, listings, is_read)
            for listing, (files, lost) in zip(listings, read, strict=True):
                yield listing.folder, files, lost

    # -- entities ------------------------------------------------------------------------

    def _check_entities(self, outline: Outline) -> None:
        ref = outline.ref
        for folder, files, lost in self._read(outline, overlays=False, is_read=laws.is_read):
            entity_id = folder.rpartition("/")[2]
            if folder.startswith(f"{layout.RUNS_DIR}/"):
                self._check_run(ref, folder, entity_id, files, lost)
            elif folder.startswith(f"{layout.EXPERIMENTS_DIR}/"):
                faults = laws.check_experiment(entity_id, files, lost, self._now_ms)
                self._findings.add_faults(folder, ref, faults)
            else:
                self._check_unknown(ref, folder, files)

    def _check_run(
        self, ref: str, folder: str, run_id: str, files: Mapping[str, File], lost: set[str]
    ) -> None:
        self.runs += 1
        if layout.run_dir(run_id) != folder:
            what = f"is not where a run of that id is looked for: {layout.run_dir(run_id)}"
            self._findings.add(Finding(run_id, folder, what, BROKEN, ref))
        elif not names.is_run_id(run_id):
            self._findings.add(Finding(run_id, folder, "is no run's id", BROKEN, ref))
        mentions = Mentions(is_whole=False)
        if "" not in lost:
            faults, mentions = laws.RunLaws(run_id, files, lost, self._now_ms).check()
            self._findings.add_faults(folder, ref, faults)
        self._mentions.append((ref, folder, mentions))
        for name, source in mentions.sources:
            self.sources.append(Named(run_id, f"{folder}/{name}", source, ref))

    def _check_unknown(self, ref: str, folder: str, files: Mapping[str, File]) -> None:
        """What a newer gittrack may have written; YAML is YAML all the same."""
        for name, file in files.items():
            if laws.is_yaml(name):
                _, faults = laws.check_yaml(name, file.data, self._now_ms)
                self._findings.add_faults(folder, ref, faults)

    # -- what is shared ------------------------------------------------------------------

    def _check_loose(self, outline: Outline) -> None:
        """The files that are in no entity: store.yaml, environments, tombstones, unknown ones."""
        ref = outline.ref
        if layout.STORE_FILE not in outline.files and "" not in outline.lost:
            what = "is missing: nothing says that this is a store"
            self._findings.add(Finding("", layout.STORE_FILE, what, DAMAGED, ref))
        listing = Listing("", self._new(outline.files), set())
        for files, lost in self._walk.read_files(ref, [listing], lambda name: True):
            self._lost.update(map(_top, outline.lost | lost))
            for path, file in files.items():
                if path == layout.STORE_FILE:
                    faults = laws.check_store(file.data)
                    self._findings.add_faults("", ref, faults)
                    if all(severity == ODD for _, _, severity in faults):
                        # A newer format has laws of its own.
                        check_readable(self._git, outline.tip)
                elif _top(path) == _ENVIRONMENTS:
                    self._findings.add_faults("", ref, laws.check_environment(path, file.data))
                    self._locks.update(_locks(path, file.data))
                elif _top(path) != layout.TOMBSTONES_DIR:
                    self._check_unknown(ref, "", {path: file})

    def _check_tombstones(self, outline: Outline) -> None:
        for path in outline.files:
            parts = path.split("/")
            if parts[0] != layout.TOMBSTONES_DIR or len(parts) != 4:
                continue
            _, kind, _, entity_id = parts
            run_id = entity_id if kind == "run" else ""
            if layout.tombstone(kind, entity_id) != path:
                what = f"is not where it is looked for: {layout.tombstone(kind, entity_id)}"
                self._findings.add(Finding(run_id, path, what, BROKEN, outline.ref))
            entity = join.is_tombstone(path)
            folder = layout.folder_of(*entity) if entity is not None else ""
            if folder in outline.folders:
                what = "was purged, and is there all the same"
                self._findings.add(Finding(run_id, folder, what, BROKEN, outline.ref))

    def _check_overlays(self, outline: Outline) -> None:
        named: dict[str, list[Named]] = {}
        for item in self.sources:
            if item.source.overlay is not None:
                named.setdefault(layout.overlay_dir(item.source.overlay), []).append(item)
        for folder, files, lost in self._read(outline, overlays=True, is_read=lambda name: True):
            self.overlays[folder] = outline.folders[folder]
            if not lost:
                self._check_overlay(outline.ref, folder, files, named.get(folder, []))

    def _check_overlay(
        self, ref: str, folder: str, files: Mapping[str, File], named: Sequence[Named]
    ) -> None:
        """Whether the files are those that the overlay's id, and the runs that name it, say."""
        overlay = folder.rpartition("/")[2]
        if layout.overlay_dir(overlay) != folder:
            what = f"is not where it is looked for: {layout.overlay_dir(overlay)}"
            self._findings.add(Finding("", folder, what, BROKEN, ref))
        is_listed = True
        for item in named:
            listed = {names.encode_path(path) for path in item.source.files}
            wrong = [
                f"lists {name}, which overlay {overlay} lacks" for name in listed - files.keys()
            ]
            wrong += [
                f"lacks {name}, which overlay {overlay} has" for name in files.keys() - listed
            ]
            for what in wrong:
                self._findings.add(Finding(item.run, item.path, what, BROKEN, item.ref))
            is_listed = is_listed and not wrong
        # The name of a file may be cut; then only a run knows its path.
        paths = {names.encode_path(path): path for item in named for path in item.source.files}
        paths.update({name: path for name in files if (path := _decoded(name)) is not None})
        if not is_listed or not files.keys() <= paths.keys():
            return
        if overlay_id({paths[name]: file.data for name, file in files.items()}) != overlay:
            runs = {item.run for item in named}
            run = runs.pop() if len(runs) == 1 else ""
            what = "is not named by its content"
            self._findings.add(Finding(run, folder, what, DAMAGED, ref))

    # -- how all that fits together ------------------------------------------------------

    def _check_mentions(self, outlines: Sequence[Outline]) -> None:
        """Whether what runs name is there, and whether anything is there that none names."""
        there = {path for outline in outlines for path in (*outline.folders, *outline.files)}
        named: set[str] = set(self._locks)
        for ref, folder, mentions in self._mentions:
            for name, path, stone, what in _named_by(mentions):
                named.add(path)
                if path not in there and stone not in there and not {"", _top(path)} & self._lost:
                    what = f"names {what}, which is not in the store"
                    self._findings.absent(run_of(folder), f"{folder}/{name}", what, BROKEN, ref)
        namers = {"", layout.RUNS_DIR, _ENVIRONMENTS}
        if namers & self._lost or not all(m.is_whole for _, _, m in self._mentions):
            return  # what cannot be read may name any of them
        for outline in outlines:
            shared = [path for path in outline.folders if _is_overlay(path)]
            shared += [path for path in outline.files if _top(path) == _ENVIRONMENTS]
            for path in shared:
                if path not in named:
                    self._findings.add(Finding("", path, "is named by no run", ODD, outline.ref))

    def _check_joins(self, tips: Mapping[str, str]) -> None:
        """Whether the tips can be joined with ours."""
        ours = tips.get(layout.STORE_REF)
        reader = CatFileReader(self._git)
        for ref, tip in tips.items():
            if ours is None or ref == layout.STORE_REF:
                continue
            try:
                join_trees(reader, get_tree(reader, ours), get_tree(reader, tip))
            except MissingObjectError:
                continue  # it was named, with the path
            except CorruptStoreError as error:
                what = f"cannot be joined with ours: {why_unreadable(error)}"
                self._findings.add(Finding("", "", what, DAMAGED, ref))


def _named_by(mentions: Mentions) -> Iterator[tuple[str, str, str, str]]:
    """What a run names: in which file, the path of it, that of its tombstone, and what it is."""
    experiment = mentions.experiment
    if experiment is not None:
        path, stone = layout.experiment_dir(experiment), layout.tombstone("experiment", experiment)
        yield layout.RUN_FILE, path, stone, f"experiment {shown(experiment)}"
    for name, digest in mentions.environments:
        path = layout.environment_file(f"{digest}.yaml")
        yield name, path, path, f"environment {digest}"
    for name, source in mentions.sources:
        if source.overlay is not None:
            stone = layout.tombstone("source", source.overlay)
            yield name, layout.overlay_dir(source.overlay), stone, f"overlay {source.overlay}"


def _locks(path: str, data: bytes) -> Iterator[str]:
    """The paths of the tools' lock files that an environment names."""
    try:
        lock = codec.decode_mapping(data) if path.endswith(".yaml") else {}
    except CorruptStoreError:
        return
    for key, value in lock.items():
        if key.startswith("locks.") and isinstance(value, str):
            name = lock_name(value.removeprefix("sha256:"), key.removeprefix("locks."))
            yield layout.environment_file(name)


def _decoded(name: str) -> str | None:
    """The path behind a file's name in an overlay; None for one that was cut."""
    path = "/".join(names.decode_segment(part) for part in name.split("/"))
    return path if names.encode_path(path) == name else None


def _is_overlay(folder: str) -> bool:
    return _top(folder) == layout.SOURCE_DIR


def _top(path: str) -> str:
    return path.partition("/")[0]
