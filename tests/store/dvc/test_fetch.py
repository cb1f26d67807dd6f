"""Bringing artifact objects from remotes that may be damaged, hostile or gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.errors import ArtifactRemoteError, TransferError
from gittrack.store.dvc import transfer
from gittrack.store.dvc.transfer import Report, fetch
from tests.store.dvc.shelf import Shelf, WebServer, connect, listing, many, name_of

NONE = "0" * 32

SCRIPT = """
import sys
from pathlib import Path
from tests.store.dvc.shelf import connect
from gittrack.store.dvc.transfer import fetch

def told(objects, *_):
    if objects == 20:
        print("some", flush=True)

folder, url, *oids = sys.argv[1:]
fetch(folder, connect(url, Path(folder)), oids, jobs=2, progress=told)
"""


@pytest.fixture(params=["disk", "http"])
def there(request: pytest.FixtureRequest, disk: Shelf, web: Callable[..., WebServer]) -> Shelf:
    """What a remote has; `reach` connects to it."""
    if request.param == "disk":
        return disk
    server = web()
    shelf = server.shelf
    shelf.url = server.url  # type: ignore[attr-defined]
    return shelf


def reach(there: Shelf, tmp_path: Path) -> object:
    return connect(getattr(there, "url", str(there.folder.parent)), tmp_path)


def bring(ours: Shelf, there: Shelf, tmp_path: Path, *oids: str, **how: object) -> Report:
    return fetch(str(ours.folder), reach(there, tmp_path), list(oids), **how)  # type: ignore[arg-type]


def test_objects_and_folders_come(ours: Shelf, there: Shelf, tmp_path: Path) -> None:
    folder, file, empty = there.add_folder(many(30)), there.add(b"hello"), there.add(b"")
    there.add(b"nobody asked for this")
    wanted = (folder, file, empty)
    report = bring(ours, there, tmp_path, *wanted, jobs=4)
    assert set(report.sent) == ours.names() and len(report.sent) == 33
    assert report.is_complete
    assert {ours.path(oid).stat().st_mode & 0o777 for oid in report.sent} == {0o444}
    assert report.size_bytes == sum(ours.path(oid).stat().st_size for oid in report.sent)
    assert ours.leftovers() == []
    assert bring(ours, there, tmp_path, *wanted) == Report(present=report.sent)


def test_progress_is_told(ours: Shelf, there: Shelf, tmp_path: Path) -> None:
    folder = there.add_folder(many(30))
    told: list[tuple[int | None, ...]] = []
    report = bring(
        ours, there, tmp_path, folder, jobs=4, progress=lambda *numbers: told.append(numbers)
    )
    assert len(report.sent) == 31
    files = sum(len(data) for data in many(30).values())
    # http tells no sizes beforehand, because it is not asked.
    assert told[-1] == (31, 31, files, None if hasattr(there, "url") else files)
    assert [numbers[0] for numbers in told] == sorted(numbers[0] or 0 for numbers in told)


def test_what_is_here_is_not_fetched(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    server = web()
    files = many(10)
    folder = server.shelf.add_folder(files)
    for path in list(files)[:4]:
        ours.add(files[path])
    report = fetch(str(ours.folder), connect(server.url, tmp_path), [folder])
    assert len(report.present) == 4 and len(report.sent) == 7
    assert len(server.requests) == 7, "one request an object, no questions"


def test_a_corrupt_object_is_told_and_never_placed(
    ours: Shelf, there: Shelf, tmp_path: Path
) -> None:
    files = many(5)
    folder = there.add_folder(files)
    bad = there.put(name_of(files["part/0002.bin"]), b"evil" * 25)
    report = bring(ours, there, tmp_path, folder)
    assert list(report.corrupt) == [bad] and "remote" in report.corrupt[bad]
    assert {key: list(files) for key, files in report.incomplete.items()} == {
        folder: ["part/0002.bin"]
    }
    assert not ours.has(bad)
    assert not ours.has(folder), "a listing here means that its files are here"
    assert len(ours.names()) == 4
    assert there.has(bad), "DVC would delete it, and with it what is left to look at"

    there.put(bad, files["part/0002.bin"])
    report = bring(ours, there, tmp_path, folder)
    assert len(report.sent) == 2 and report.is_complete


def test_a_missing_file_keeps_its_folder_back(ours: Shelf, there: Shelf, tmp_path: Path) -> None:
    files = many(5)
    folder = there.add_folder(files)
    lost = name_of(files["part/0004.bin"])
    there.remove(lost)
    report = bring(ours, there, tmp_path, folder)
    assert report.missing == (lost,)
    assert {key: list(files) for key, files in report.incomplete.items()} == {
        folder: ["part/0004.bin"]
    }
    assert len(report.sent) == 4 and not ours.has(folder)


def test_what_is_not_there_is_missing(ours: Shelf, there: Shelf, tmp_path: Path) -> None:
    there.add(b"something else")
    report = bring(ours, there, tmp_path, NONE, f"{NONE}.dir")
    assert report == Report(missing=(NONE, f"{NONE}.dir"))


def test_what_is_no_name_of_an_object_becomes_no_path(
    ours: Shelf, there: Shelf, tmp_path: Path
) -> None:
    good = there.add(b"good")
    report = bring(ours, there, tmp_path, "../../../x", good)
    assert report.sent == (good,) and list(report.failed) == ["../../../x"]


@pytest.mark.parametrize(
    "data",
    [b"not JSON", b"{}", b"[" * 100_000,
     json.dumps([{"md5": NONE, "relpath": "../../hooks/post-checkout"}]).encode(),
     json.dumps([{"md5": NONE, "relpath": "/etc/cron.d/x"}]).encode(),
     json.dumps([{"md5": "../../../../hooks/x", "relpath": "x"}]).encode(),
     json.dumps([{"md5": NONE, "relpath": "x" * 10_000}]).encode()],
)  # fmt: skip
def test_a_hostile_listing_is_refused(
    ours: Shelf, there: Shelf, tmp_path: Path, data: bytes
) -> None:
    folder, good = there.add_listing(data), there.add(b"good")
    report = bring(ours, there, tmp_path, folder, good)
    assert list(report.corrupt) == [folder]
    assert report.sent == (good,)
    assert ours.names() == {good} and ours.leftovers() == []


def test_a_listing_that_is_too_large_is_not_taken(
    ours: Shelf, there: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = there.add_folder(many(1000))
    monkeypatch.setattr(transfer, "MAX_BYTES", 10_000)
    report = bring(ours, there, tmp_path, folder)
    assert list(report.corrupt) == [folder]
    assert ours.names() == set()


def test_a_corrupt_listing_is_refused(ours: Shelf, there: Shelf, tmp_path: Path) -> None:
    folder = there.put(f"{NONE}.dir", listing(many(3)))
    assert list(bring(ours, there, tmp_path, folder).corrupt) == [folder]
    assert ours.names() == set()


def test_a_corrupt_object_here_is_replaced_when_asked(
    ours: Shelf, there: Shelf, tmp_path: Path
) -> None:
    folder = there.add_folder(many(3))
    file = there.add(b"good")
    ours.put(file, b"evil")
    ours.put(folder, b"[]")
    report = bring(ours, there, tmp_path, file, folder)
    assert list(report.corrupt) == [folder] and "here" in report.corrupt[folder]
    assert report.present == (file,)
    report = bring(ours, there, tmp_path, file, folder, repair=True)
    assert report.is_complete and {file, folder} <= set(report.sent)
    assert ours.names() == there.names()


def test_an_object_that_is_corrupt_on_both_sides_is_left_alone(
    ours: Shelf, there: Shelf, tmp_path: Path
) -> None:
    file = name_of(b"good")
    ours.put(file, b"evil")
    there.put(file, b"evil")
    report = bring(ours, there, tmp_path, file, repair=True)
    assert list(report.corrupt) == [file]
    assert ours.read(file) == b"evil"


def test_a_remote_that_is_not_there_is_not_an_empty_one(
    ours: Shelf, tmp_path: Path, web: Callable[..., WebServer]
) -> None:
    """A disk that is not mounted, for one."""
    with pytest.raises(ArtifactRemoteError, match="there is nothing at") as caught:
        fetch(str(ours.folder), connect("unmounted", tmp_path), [NONE])
    assert not isinstance(caught.value, TransferError)
    server = web()
    server.stop()
    with pytest.raises(TransferError) as lost:
        fetch(str(ours.folder), connect(server.url, tmp_path), [NONE])
    assert not lost.value.report.missing


def test_a_server_that_dies_half_way(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    server = web(dies_after=15)
    folder = server.shelf.add_folder(many(40))
    with pytest.raises(TransferError) as caught:
        fetch(str(ours.folder), connect(server.url, tmp_path), [folder], jobs=8)
    report = caught.value.report
    assert set(report.sent) == ours.names()
    # The listing was the first; the last may have been cut off.
    assert 4 < len(report.sent) <= 14
    assert len(report.sent) + len(report.failed) == 41
    assert f"{len(report.sent)} objects were moved before" in caught.value.why

    again = web()
    os.rename(server.folder, again.folder)
    report = fetch(str(ours.folder), connect(again.url, tmp_path), [folder], jobs=8)
    assert len(report.present) + len(report.sent) == 41 and report.is_complete
    assert set(caught.value.report.sent) == set(report.present)


def test_killed_and_begun_again(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    folder = disk.add_folder(many(300, 20_000))
    root = Path(__file__).parents[3]
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(ours.folder), str(tmp_path / "disk"), folder],
        stdout=subprocess.PIPE, text=True, cwd=root,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "some\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = ours.names()
    assert 20 <= len(before) < 301 and not ours.has(folder)
    report = bring(ours, disk, tmp_path, folder)
    assert set(report.present) == before and report.is_complete
    assert ours.names() == disk.names() and ours.leftovers() == []


def test_leftovers_of_a_process_that_still_runs_are_its_own(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    from gittrack.store.dvc.local import Store

    with Store(str(ours.folder)).scratch() as scratch:
        Path(scratch, "half").write_text("x")
        bring(ours, disk, tmp_path, disk.add(b"x"))
        assert Path(scratch, "half").exists()
    assert ours.leftovers() == []


def test_a_full_disk_ends_it_at_once(
    disk: Shelf, tmp_path: Path, tiny_disk: Callable[[Path], None]
) -> None:
    folder = disk.add_folder(many(50, 2000))
    full = tmp_path / "full"
    full.mkdir()
    tiny_disk(full)
    with pytest.raises(TransferError, match="No space left"):
        bring(Shelf(full), disk, tmp_path, folder, jobs=1)
    Shelf(full).names()


@pytest.mark.parametrize("in_folder", [False, True])
def test_a_server_that_never_ends_is_left(
    ours: Shelf, tmp_path: Path, web: Callable[..., WebServer], in_folder: bool
) -> None:
    """Over http nothing but what the run says bounds what comes."""
    server = web()
    file = server.shelf.add(b"weights")
    wanted = server.shelf.add_folder({"a": b"weights"}) if in_folder else file
    remote = connect(server.url, tmp_path)
    if in_folder:
        # The listing came before; its files do not end.
        fetch(str(ours.folder), remote, [wanted], whole=False)
    server.is_endless = True
    report = fetch(str(ours.folder), remote, [wanted], most={wanted: 1_000_000})
    assert list(report.corrupt) == [file]
    assert not ours.has(file)
