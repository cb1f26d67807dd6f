"""What runs need of the object store: check that it is there, measure it, free the rest."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.listing import is_listing
from gittrack.core.model import Run
from gittrack.errors import ArtifactError, CorruptStoreError
from gittrack.repo.artifacts import RunArtifacts
from gittrack.store.odb import Odb

MISSING, DAMAGED = "missing", "damaged"
#: Somebody may have stored an object and not yet written which run it belongs to.
GRACE_S = 3_600
#: The same on a remote, where a run may be on its way from a machine that is offline.
REMOTE_GRACE_S = 14 * 86_400

#: Tells how far a check is: objects looked at, and bytes.
Progress = Callable[[int, int], None]


class Need(NamedTuple):
    """An object that a run needs, and the path of the artifact whose bytes it holds."""

    run: Run
    path: str
    md5: str


class Trouble(NamedTuple):
    """An object that a run needs and that is `missing` here or `damaged`; where it lies, if so."""

    run_id: str
    run_name: str
    path: str
    md5: str
    what: str
    place: str = ""


class Verified(NamedTuple):
    """What a check of objects found: how many there are, and what is wrong.

    `unlisted` counts the folders whose files are not known here.
    """

    objects: int
    size_bytes: int
    troubles: tuple[Trouble, ...]
    repaired: int = 0
    unlisted: int = 0


class Usage(NamedTuple):
    """What the artifacts of a run take, in bytes: as blobs in git, as objects, and those here."""

    run_id: str
    run_name: str
    files: int
    git_bytes: int
    object_bytes: int
    here_bytes: int


class Swept(NamedTuple):
    """What nobody needed on a remote: objects and bytes deleted, those that wait, and failures.

    `failed` maps objects to why they are still there.
    """

    objects: int
    size_bytes: int
    waiting: int
    waiting_bytes: int
    failed: Mapping[str, str]


class Collected(NamedTuple):
    """What nobody needed: objects, their bytes, and leftovers of writers that died."""

    objects: int
    size_bytes: int
    leftovers: int


def needs(run: Run, artifacts: RunArtifacts) -> Iterator[Need]:
    """The objects of a run: listings first, then files, as far as they are known here."""
    for layer in artifacts.layers():
        if layer.md5 is not None:
            yield Need(run, f"{layer.path}/" if layer.path else "./", layer.md5)
    for file in artifacts.all_files():
        if file.md5 is not None:
            yield Need(run, file.path, file.md5)


def verify(
    wanted: Iterable[tuple[Run, RunArtifacts]],
    stores: Sequence[Odb],
    *,
    is_asked: bool,
    repair: bool,
    progress: Progress,
) -> Verified:
    """Hash every object that runs need and that is here.

    Args:
        stores: the repository's own, then others that may have a good copy.
        is_asked: whether it is a fault that an object is not here: runs come without theirs.
        repair: replace what is damaged here by a copy of another store that is not.
    """
    judged: dict[str, tuple[str, int]] = {}
    troubles: list[Trouble] = []
    repaired = size = unlisted = 0
    own = stores[0]
    for run, artifacts in wanted:
        unlisted += len(artifacts.unlisted())
        for need in needs(run, artifacts):
            if need.md5 not in judged:
                what = _judge(own, need.md5)
                if what == DAMAGED and repair and _replace(own, need.md5, stores[1:]):
                    what = ""
                    repaired += 1
                    artifacts.forget()
                bytes_ = 0 if what == MISSING else os.path.getsize(own.path(need.md5))
                judged[need.md5] = what, bytes_
                size += bytes_
                progress(len(judged), size)
            what, _ = judged[need.md5]
            if what and (what == DAMAGED or is_asked):
                place = own.path(need.md5) if what == DAMAGED else ""
                troubles.append(Trouble(run.id, run.name, need.path, need.md5, what, place))
    count = sum(what != MISSING for what, _ in judged.values())
    return Verified(count, size, tuple(troubles), repaired, unlisted)


def _judge(objects: Odb, md5: str) -> str:
    if not objects.has(md5):
        return MISSING
    return "" if objects.is_sound(md5) else DAMAGED


def _replace(own: Odb, md5: str, others: Iterable[Odb]) -> bool:
    """Put a good copy in the place of a damaged one; the damaged one stays if there is none."""
    place = own.path(md5)
    aside = f"{place}.damaged"
    for other in others:
        if other.is_sound(md5):
            os.replace(place, aside)
            if own.take(md5, other.path(md5)):
                os.unlink(aside)
                return True
            os.replace(aside, place)
    return False


def usage(run: Run, artifacts: RunArtifacts) -> Usage:
    """What the artifacts of a run take."""
    in_git = objects = files = here = 0
    for artifact in run.artifacts.values():
        files += 1 if artifact.files is None else artifact.files
        if artifact.md5 is None or artifact.blob is not None:
            in_git += artifact.size_bytes
        else:
            objects += artifact.size_bytes
    for md5 in {need.md5 for need in needs(run, artifacts) if not is_listing(need.md5)}:
        place = artifacts.find_object(md5)
        here += os.path.getsize(place) if place is not None else 0
    return Usage(run.id, run.name, files, in_git, objects, here)


def ripe(
    unneeded: Collection[str], seen_s: Mapping[str, float], now_s: float, *, wait_s: float
) -> tuple[set[str], dict[str, float]]:
    """Which of the objects that no run needs have been so for long enough, and what to remember.

    Somebody may have sent an object whose run is still on the way; a remote tells no times that
    could be trusted, so it counts when we first saw that nobody needs it. Pure.

    Args:
        seen_s: when that was, of those that were seen before.
    """
    first = {md5: seen_s.get(md5, now_s) for md5 in unneeded}
    gone = {md5 for md5, seen in first.items() if seen <= now_s - wait_s}
    return gone, {md5: seen for md5, seen in first.items() if md5 not in gone}


def collect(
    objects: Odb, find_needed: Callable[[], Collection[str]], *, grace_s: float, dry_run: bool
) -> Collected:
    """Delete the objects that no run needs, and what died writers left.

    Args:
        find_needed: is called after the objects have been listed, so that what is stored and named
            meanwhile is safe.
        grace_s: what is younger stays in any case.
    Raises:
        ArtifactError: the files of a folder that a run needs are not known: its listing is damaged.
    """
    before = time.time() - grace_s
    old = [item for item in objects if item.mtime <= before]
    leftovers = objects.leftovers(before)
    try:
        needed = objects.with_children(find_needed())
    except CorruptStoreError as error:
        raise ArtifactError(
            "nothing was deleted: which files a folder needs is not known",
            why=f"{error.message}: {error.why}",
            next="gittrack artifacts verify --repair",
        ) from None
    gone = [item for item in old if item.md5 not in needed]
    if not dry_run:
        for item in gone:
            objects.remove(item.md5)
        for path in leftovers:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return Collected(len(gone), sum(item.size_bytes for item in gone), len(leftovers))
