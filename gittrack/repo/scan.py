"""Look through what no remote has yet for secrets, before it is pushed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gittrack import journal
from gittrack.capture.scan import scan_file
from gittrack.core.join import entity_of
from gittrack.repo.seal import RunFiles
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.write import read_ref


class Leak(NamedTuple):
    """Something that looks like a secret: the run (empty for shared files), file, place, kind."""

    run_id: str
    path: str
    place: str
    what: str
    is_live: bool = False


class ScanReport(NamedTuple):
    """What was found, and how much was looked through."""

    leaks: tuple[Leak, ...]
    files: int


def scan(git: Git, folders: Sequence[str], allow: Sequence[str]) -> ScanReport:
    """Look through the objects that no remote's store has, and through the runs that go on."""
    leaks: list[Leak] = []
    count = 0
    for run_id, name, data, is_live in _files(git, folders):
        count += 1
        leaks += [
            Leak(run_id, name, hit.place, hit.what, is_live) for hit in scan_file(name, data, allow)
        ]
    return ScanReport(tuple(leaks), count)


def _files(git: Git, folders: Sequence[str]) -> Iterator[tuple[str, str, bytes, bool]]:
    if read_ref(git, layout.STORE_REF) is not None:
        listed = git.run(
            "rev-list", "--objects", f"--glob={layout.STORE_REFS}*", "--not",
            f"--glob={layout.REMOTE_REFS}*",
        )  # fmt: skip
        named = [line.split(" ", 1) for line in listed.decode("utf-8", "replace").splitlines()]
        wanted = [entry for entry in named if len(entry) == 2 and entry[1]]
        found = git.cat_file().read_many(entry[0] for entry in wanted)
        for (_, path), item in zip(wanted, found, strict=True):
            if item is not None and item.type == "blob":
                entity = entity_of(path)
                if entity.startswith(f"{layout.RUNS_DIR}/"):
                    yield entity.rpartition("/")[2], path[len(entity) + 1 :], item.data, False
                else:
                    yield "", path, item.data, False
    for folder in folders:
        for run_id in journal.list_runs(folder):
            states = journal.read_run(folder, run_id)
            if states:
                files: Mapping[str, bytes] = RunFiles(states).all_files()
                for name, data in files.items():
                    yield run_id, name, data, True
