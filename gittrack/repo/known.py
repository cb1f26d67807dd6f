"""What the store has of one run already, for those who add to it or tell its history."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from gittrack.core import codec
from gittrack.core.model import Metric, MetricSummary
from gittrack.errors import CorruptStoreError, MissingObjectError
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import FSCK, parse_tree


def read_run_files(git: Git, spec: str) -> tuple[dict[str, bytes], set[str]]:
    """The small files in a run's folder, and the names of its segments.

    Raises:
        CorruptStoreError: the folder, or one in it, cannot be read; git could add nothing to it.
    """
    cat_file = git.cat_file()
    tree = cat_file.read(spec)
    if tree is None or tree.type != "tree":
        parent, _, name = spec.rpartition("/")
        above = cat_file.read(parent)
        if above is not None and name in parse_tree(above.data):
            raise _lost(spec)
        return {}, set()
    entries = parse_tree(tree.data)
    small = [name for name, entry in entries.items() if not entry.is_tree]
    found = cat_file.read_many(entries[name].oid for name in small)
    files = {name: item.data for name, item in zip(small, found, strict=True) if item is not None}
    segments: set[str] = set()
    folders = [name for name, entry in entries.items() if entry.is_tree]
    found = cat_file.read_many(entries[name].oid for name in folders)
    for name, item in zip(folders, found, strict=True):
        if item is None:
            raise _lost(f"{spec}/{name}")
        if name == layout.METRICS_DIR:
            segments = set(parse_tree(item.data))
    return files, segments


def _lost(spec: str) -> MissingObjectError:
    return MissingObjectError(
        f"{spec.partition(':')[2]} of the store cannot be read",
        why="it is missing from this repository, or damaged",
        next=FSCK,
    )


def known_summary(
    git: Git, tip: str | None, folder: str, old: Mapping[str, bytes], segments: Collection[str]
) -> dict[str, MetricSummary]:
    """What the points of a run come to that the store has.

    Args:
        old: the small files of the run.
    Raises:
        CorruptStoreError: a segment cannot be read.
    """
    try:
        of, known = codec.decode_summaries(old.get(layout.METRICS_FILE, b""))
        if sorted(of) == sorted(segments):
            return known
    except CorruptStoreError:
        pass  # it is derived, and made anew
    return fold_segments(git, tip, folder, segments)


def fold_segments(
    git: Git, tip: str | None, folder: str, segments: Iterable[str], more: Iterable[bytes] = ()
) -> dict[str, MetricSummary]:
    """What the points of a run come to, read from its segments, and from `more` of them."""
    specs = [f"{tip}:{folder}/{layout.METRICS_DIR}/{name}" for name in sorted(segments)]
    points: set[Metric] = set()
    for data in more:
        points.update(codec.decode_points(data))
    for item in git.cat_file().read_many(specs):
        if item is not None:
            points.update(codec.decode_points(item.data))
    return codec.summarise(points)
