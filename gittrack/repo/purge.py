"""Take runs out of the store for good, and begin its history anew."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from gittrack.core import codec
from gittrack.core.model import Run
from gittrack.core.record import decode_source
from gittrack.errors import CorruptStoreError, RefMovedError, RunNotFoundError, UsageError
from gittrack.repo import stored
from gittrack.repo.seal import check_readable, check_writable
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import Entry, Put, Reader, bulk_reader, parse_tree
from gittrack.store.write import Person, Tree, commit_anew, pause, read_ref, update

_MAX_TRIES = 50


class Purged(NamedTuple):
    """What a purge took out: runs, and the changed files that only they had run.

    `tags` are the user's, on what was exported of the runs: they hold it still.
    """

    runs: tuple[str, ...]
    overlays: tuple[str, ...]
    tags: tuple[str, ...] = ()


def purge(
    git: Git, view: View, runs: Sequence[Run], who: Person, *, fsync: bool, dry_run: bool
) -> Purged:
    """Write the tombstones of runs and drop the runs, in one commit.

    Tombstones win in every join, so the runs go from every clone that pulls, whatever was done to
    them there. Old commits still hold them.

    Raises:
        UsageError: a run has a journal here, so it is not all in the store yet.
        RunNotFoundError: the store does not hold it any more.
    """
    live = view.live()
    for run in runs:
        if run.id in live:
            raise UsageError(
                f"run '{run.name}' is not all in the store yet",
                why="it goes on, or its process died and was not taken over",
                next="gittrack status",
            )
    ids = sorted({run.id for run in runs})
    made = Purged((), ())

    def plan(tip: str | None) -> Tree | None:
        nonlocal made
        check_writable(git, tip)
        here = [run_id for run_id in ids if tip is not None and _holds(git, tip, run_id)]
        if tip is None or not here:
            raise RunNotFoundError(
                f"run {ids[0]} is no longer in the store", why="it was purged", next="gittrack log"
            )
        overlays = _only_theirs(git, tip, here)
        made = Purged(tuple(here), tuple(overlays))
        if dry_run:
            return None
        files: dict[str, bytes | None] = {}
        for kind, top, names in (("run", layout.RUNS_DIR, here), ("source", "source", overlays)):
            for name in names:
                files[layout.tombstone(kind, name)] = b""
                files[layout.folder_of(top, name)] = None
        short = runs[0].short_id if len(here) == 1 else f"{len(here)} runs"
        # Not even a name: the message stays in the history, too.
        return Tree(files, f"purge {short} [skip ci]\n")

    update(git, layout.STORE_REF, plan, who, fsync=fsync)
    return made


def rewrite_history(git: Git, who: Person, *, fsync: bool) -> int:
    """Replace the store's history by one commit that holds what it holds now; the new epoch.

    Clones that pull take it over, and bring what they alone have as new commits: stores of two
    epochs are joined by content, and the older one never becomes a parent.
    """
    for attempt in range(_MAX_TRIES):
        tip = read_ref(git, layout.STORE_REF)
        check_writable(git, tip)
        if tip is None:
            raise RunNotFoundError(
                "there is no store here", why="no run has been recorded", next="gittrack init"
            )
        store = dict(check_readable(git, tip))
        epoch = int(store.get("epoch", 0)) + 1
        changes = {layout.STORE_FILE: Put(data=codec.encode_mapping({**store, "epoch": epoch}))}
        message = f"begin epoch {epoch} of the store [skip ci]\n"
        now_s = int(time.time())
        try:
            commit_anew(git, layout.STORE_REF, tip, changes, message, who, now_s, fsync=fsync)
            return epoch
        except RefMovedError:
            pause(attempt)
    raise RefMovedError(f"{layout.STORE_REF} moved {_MAX_TRIES} times while it was rewritten")


def _holds(git: Git, tip: str, run_id: str) -> bool:
    return git.cat_file().read(f"{tip}:{layout.run_dir(run_id)}") is not None


def _only_theirs(git: Git, tip: str, run_ids: Collection[str]) -> list[str]:
    """The overlays that no other run of the store has run."""
    reader = bulk_reader(git)
    found = stored.find_changes(reader, {}, {layout.STORE_REF: tip})
    if found.lost:
        return []  # runs that cannot be listed may have run them, too
    runs = found.runs
    mine = [folder for run_id in run_ids for folder in runs.get(run_id, ())]
    wanted = set(_overlays(reader, mine))
    if not wanted:
        return []
    others = [runs[run_id][0] for run_id in runs.keys() - set(run_ids)]
    return sorted(wanted - set(_overlays(reader, others)))


def _overlays(reader: Reader, folders: Sequence[Entry]) -> Iterator[str]:
    """The overlays that runs name in their source.yaml and disk.yaml."""
    found = reader.read_many(folder.oid for folder in folders)
    trees = [parse_tree(data) for data in found if data is not None]
    names = (layout.SOURCE_FILE, layout.DISK_FILE)
    entries = [tree[name] for tree in trees for name in names if name in tree]
    for data in reader.read_many(entry.oid for entry in entries):
        try:
            overlay = decode_source({}, codec.decode_mapping(data or b"")).overlay
        except CorruptStoreError:
            continue  # whatever such a run ran, it cannot be rebuilt from this
        if overlay is not None:
            yield overlay
