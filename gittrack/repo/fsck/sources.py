"""Check that what ran can be rebuilt: base, overlay and changes give the recorded tree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gittrack.core import names
from gittrack.core.laws import BROKEN, ODD
from gittrack.core.record import why_unreadable
from gittrack.errors import GittrackError
from gittrack.repo.fsck.content import Named
from gittrack.repo.fsck.findings import Finding, Findings
from gittrack.repo.naming import find_commit
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader, Entry
from gittrack.store.rebuild import Trees
from gittrack.store.union import list_files


def check_sources(
    git: Git,
    named: Sequence[Named],
    overlays: Mapping[str, Entry],
    remote: str | None,
    findings: Findings,
    progress: Callable[[str], None],
) -> None:
    """Rebuild the source of every run; runs of the same source are rebuilt once.

    Args:
        named: what runs have recorded.
        overlays: the overlays that are here, by folder.
        remote: a remote that may have a base that is not here.
    """
    with Trees(git) as trees:
        for number, (run, path, source, ref) in enumerate(named):
            progress(f"{number:,} of {len(named):,} sources")
            expected = source.rebuilds or source.tree
            if expected is None:
                continue
            if source.base is not None and find_commit(git, source.base) is None:
                what = f"stands on commit {source.base}, which is not here"
                next_ = f"git fetch {remote} {source.base}" if remote else ""
                findings.add(Finding(run, path, what, ODD, ref, next_))
                continue
            overlay = _overlay(git, source.overlay, overlays)
            if not all(names.encode_path(name) in overlay for name in source.files):
                continue  # that was named already
            content = {name: overlay[names.encode_path(name)] for name in source.files}
            try:
                tree = trees.of(source, content)
            except GittrackError as error:
                what = f"cannot be rebuilt: {why_unreadable(error)}"
                findings.add(Finding(run, path, what, BROKEN, ref))
                continue
            if tree != expected:
                what = f"rebuilds to tree {tree}, but {expected} was recorded"
                findings.add(Finding(run, path, what, BROKEN, ref))


def _overlay(git: Git, overlay: str | None, overlays: Mapping[str, Entry]) -> dict[str, bytes]:
    """The files of an overlay that are here, by their names in it."""
    folder = layout.overlay_dir(overlay) if overlay is not None else ""
    if folder not in overlays:
        return {}
    reader = CatFileReader(git)
    try:
        files = list_files(reader, folder, overlays[folder])
    except GittrackError:
        return {}
    found = reader.read_many(entry.oid for entry in files.values())
    return {name: data for name, data in zip(files, found, strict=True) if data is not None}
