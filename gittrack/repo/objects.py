"""Where the objects of large artifacts lie, and how they come from a journal to the repository."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from gittrack import journal
from gittrack.store.odb import Odb, dvc_caches


def repository_objects(common_dir: str, worktree: str | None = None) -> Odb:
    """The object store of a repository; what DVC keeps for its worktree is linked."""
    return Odb(os.path.join(common_dir, "gittrack", "odb"), dvc_caches(worktree))


def open_objects(journal_dir: str, common_dir: str | None, worktree: str | None) -> Odb:
    """The object store that runs of a journal folder write to.

    A journal that is not the repository's own has one of its own, so that its folder can be carried
    to where the repository is.
    """
    if common_dir is not None and journal_dir == os.path.join(common_dir, "gittrack", "journal"):
        return repository_objects(common_dir, worktree)
    return Odb(os.path.join(journal_dir, journal.OBJECTS), dvc_caches(worktree))


def objects_near(objects: Odb, journal_dirs: Iterable[str]) -> list[Odb]:
    """The repository's object store, and those of journal folders that have one of their own."""
    folders = dict.fromkeys(os.path.join(folder, journal.OBJECTS) for folder in journal_dirs)
    return [objects, *(Odb(folder) for folder in folders if os.path.isdir(folder))]


def secure(objects: Odb, states: Sequence[journal.State], *, fsync: bool) -> None:
    """See that the repository has, on disk, the objects that journals name, if they are here."""
    named = [item.md5 for state in states for item in state.artifacts.values() if item.md5]
    if not named:
        return
    journals = {os.path.dirname(state.folder) for state in states}
    for other in objects_near(objects, journals)[1:]:
        for md5 in other.with_children(named):
            objects.take(md5, other.path(md5))
    if fsync:
        objects.fsync([md5 for md5 in objects.with_children(named) if objects.has(md5)])
