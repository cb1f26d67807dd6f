"""Walk through a store of which nothing is believed, and name every object that is not sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack.core.join import owner_of
from gittrack.core.laws import DAMAGED, ODD, File
from gittrack.errors import UnsafeStoreError
from gittrack.repo.fsck.findings import Finding, Findings, run_of
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.inspect import MOST_FILE_BYTES, check_place
from gittrack.store.objects import Entry
from gittrack.store.sound import Found, Objects, Wanted

_COMMITS_AT_ONCE = 500


class Outline(NamedTuple):
    """What a tip holds: entities and overlays by their folders, the files that are in none of
    them, and the folders above that cannot be read."""

    ref: str
    tip: str
    folders: dict[str, Entry]
    files: dict[str, Entry]
    lost: set[str]


class Listing(NamedTuple):
    """The files of a folder by their names in it, and those folders in it that cannot be read."""

    folder: str
    files: dict[str, Entry]
    lost: set[str]


class Walk:
    """Reads trees and files, and counts them."""

    def __init__(self, git: Git, findings: Findings) -> None:
        self.objects = Objects(git)
        self.files = 0
        self._git = git
        self._findings = findings

    def outline(self, ref: str, tip: str) -> Outline:
        """Everything down to the entities."""
        ref = "" if ref == layout.STORE_REF else ref
        outline = Outline(ref, tip, {}, {}, set())
        (commit,) = self.objects.read([Wanted(tip, "commit")])
        if commit.data is None:
            outline.lost.add("")
            self._findings.add_object("", ref, tip, commit, f": commit {tip}")
            return outline
        level = [("", _parse_commit(commit.data)[0])]
        while level:
            below = []
            read = self.objects.trees([oid for _, oid in level])
            for (folder, oid), (entries, found) in zip(level, read, strict=True):
                if found.why:
                    outline.lost.add(folder)
                    self._findings.add_object(folder, ref, oid, found)
                for name, entry in entries.items():
                    path = f"{folder}/{name}" if folder else name
                    if not self._is_placed(path, entry, ref):
                        continue
                    if not entry.is_tree:
                        outline.files[path] = entry
                    elif owner_of(f"{path}/x") is not None:
                        outline.folders[path] = entry
                    else:
                        below.append((path, entry.oid))
            level = below
        return outline

    def _is_placed(self, path: str, entry: Entry, ref: str) -> bool:
        try:
            check_place(path, entry)
        except UnsafeStoreError as error:
            what = f"{error.message.rpartition(' is ')[2]}: {error.why}"
            self._findings.add(Finding(run_of(path), path, f"is {what}", DAMAGED, ref))
            return False
        return True

    def list_files(self, ref: str, folders: Sequence[tuple[str, Entry]]) -> list[Listing]:
        """All files below folders."""
        listings = [Listing(folder, {}, set()) for folder, _ in folders]
        level = [(at, "", entry.oid) for at, (_, entry) in enumerate(folders)]
        while level:
            below = []
            read = self.objects.trees([oid for _, _, oid in level])
            for (at, name, oid), (entries, found) in zip(level, read, strict=True):
                if found.why:
                    listings[at].lost.add(name)
                    path = f"{listings[at].folder}/{name}".rstrip("/")
                    self._findings.add_object(path, ref, oid, found)
                prefix = f"{name}/" if name else ""
                for own, entry in entries.items():
                    if entry.is_tree:
                        below.append((at, prefix + own, entry.oid))
                    else:
                        listings[at].files[prefix + own] = entry
            level = below
        return listings

    def read_files(
        self, ref: str, listings: Sequence[Listing], is_read: Callable[[str], bool]
    ) -> Iterator[tuple[Mapping[str, File], set[str]]]:
        """The files of each folder that are sound, and the names of what is lost of it.

        Args:
            is_read: whether the bytes of a file of that name are wanted.
        """
        wanted = [Wanted(e.oid, "blob") for listing in listings for e in listing.files.values()]
        read = self.objects.read(wanted)
        for folder, files, lost in listings:
            sound: dict[str, File] = {}
            lost = set(lost)
            for name, entry in files.items():
                found = next(read)
                path = f"{folder}/{name}" if folder else name
                self.files += 1
                if found.why:
                    lost.add(name)
                    self._findings.add_object(path, ref, entry.oid, found)
                    continue
                is_whole = found.data is not None or not is_read(name)
                if found.data is None:
                    what = f"has {found.size:,} bytes; hosts take no file of {MOST_FILE_BYTES:,}"
                    severity = ODD if is_whole else DAMAGED
                    self._findings.add(Finding(run_of(path), path, what, severity, ref))
                if is_whole:
                    data = (found.data or b"") if is_read(name) else b""
                    sound[name] = File(entry.oid, found.size, data)
                else:
                    lost.add(name)
            yield sound, lost

    # -- history -------------------------------------------------------------------------

    def history(self, tips: Mapping[str, str], progress: Callable[[str], None]) -> None:
        """Check every object that any commit of the tips' history holds."""
        ends = _shallow(self._git)
        seen = set(tips.values())
        waiting = list(seen)
        done = 0
        while waiting:
            some, waiting = waiting[:_COMMITS_AT_ONCE], waiting[_COMMITS_AT_ONCE:]
            trees = []
            read = self.objects.read([Wanted(oid, "commit") for oid in some])
            for oid, found in zip(some, read, strict=True):
                if found.data is None:
                    # That of a tip was named already.
                    if oid not in tips.values():
                        self._findings.add_object("", "", oid, found, f": commit {oid}")
                    continue
                tree, parents = _parse_commit(found.data)
                trees.append((oid, "", tree))
                if oid not in ends:
                    waiting += [parent for parent in parents if parent not in seen]
                    seen.update(parents)
            self._old_trees(trees)
            done += len(some)
            progress(f"{done:,} commits")

    def _old_trees(self, level: list[tuple[str, str, str]]) -> None:
        """What trees hold that was not looked at before, as (commit, path, id)."""
        sound = self.objects.sound
        queued: set[bytes] = set()

        def is_new(oid: str) -> bool:
            key = bytes.fromhex(oid)
            if key in sound or key in queued:
                return False
            queued.add(key)
            return True

        level = [item for item in level if is_new(item[2])]
        while level:
            below: list[tuple[str, str, str]] = []
            blobs: list[tuple[str, str, str]] = []
            trees = self.objects.trees([oid for _, _, oid in level])
            for (commit, path, oid), (entries, found) in zip(level, trees, strict=True):
                if found.why:
                    self._add_old(commit, path, oid, found)
                prefix = f"{path}/" if path else ""
                for name, entry in entries.items():
                    if is_new(entry.oid):
                        (below if entry.is_tree else blobs).append(
                            (commit, prefix + name, entry.oid)
                        )
            read = self.objects.read([Wanted(oid, "blob") for _, _, oid in blobs])
            for (commit, path, oid), found in zip(blobs, read, strict=True):
                if found.why:
                    self._add_old(commit, path, oid, found)
            level = below

    def _add_old(self, commit: str, path: str, oid: str, found: Found) -> None:
        where = f", in commit {commit[:12]} of the history"
        self._findings.add_object(path, "", oid, found, where)


def _parse_commit(data: bytes) -> tuple[str, list[str]]:
    """The tree and the parents of a commit."""
    lines = data.partition(b"\n\n")[0].decode("utf-8", "replace").split("\n")
    parents = [line[7:] for line in lines if line.startswith("parent ")]
    return lines[0].removeprefix("tree "), parents


def _shallow(git: Git) -> set[str]:
    """The commits whose parents are cut off."""
    try:
        with open(os.path.join(git.common_dir, "shallow"), encoding="ascii") as file:
            return set(file.read().split())
    except FileNotFoundError:
        return set()
