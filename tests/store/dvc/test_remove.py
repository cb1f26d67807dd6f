"""What lies on a remote, and taking it away: ours alone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.errors import ArtifactRemoteError
from gittrack.store.dvc.removal import Removal, remove
from gittrack.store.dvc.transfer import push
from tests.store.dvc.shelf import Shelf, WebServer, connect, many, name_of


def test_what_is_there_is_listed_with_sizes(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    remote = connect("disk", tmp_path)
    assert list(remote.list_objects()) == []
    push(str(ours.folder), remote, [ours.add_folder(many(30))])
    # Neither objects of DVC, nor what is no object at all.
    Shelf(tmp_path / "disk").add(b"DVC's own")
    (disk.folder / "tmp" / "half").write_text("x")
    disk.put(f"{'a' * 20}.tmp", b"x")
    found = dict(remote.list_objects())
    assert found == {oid: len(ours.read(oid)) for oid in ours.names()}


def test_ours_are_removed_and_nothing_else(disk: Shelf, tmp_path: Path) -> None:
    files = many(5)
    folder, kept = disk.add_folder(files), disk.add(b"kept")
    theirs = Shelf(tmp_path / "disk")
    same = theirs.add(files["part/0000.bin"])
    outside = tmp_path / "disk" / "x"
    outside.write_text("x")
    gone = [folder, *(name_of(data) for data in files.values())]
    done = remove(connect("disk", tmp_path), [*gone, "0" * 32, "../../../x"])
    assert set(done.removed) == {*gone, "0" * 32}
    assert list(done.failed) == ["../../../x"]
    assert disk.names() == {kept} and theirs.has(same) and outside.exists()


def test_listings_go_before_files(
    web: Callable[..., WebServer], disk: Shelf, tmp_path: Path
) -> None:
    remote = connect("disk", tmp_path)
    folder = disk.add_folder(many(5))
    order: list[str] = []
    take = remote.remove
    remote.remove = lambda oid: (order.append(oid), take(oid))[1]  # type: ignore[method-assign]
    remove(remote, disk.names(), jobs=3)
    assert order[0] == folder and len(order) == 6


def test_what_cannot_be_removed_is_told(disk: Shelf, tmp_path: Path) -> None:
    remote = connect("disk", tmp_path)
    a, b = disk.add(b"a"), disk.add(b"b")

    def pretend(oid: str) -> None:
        if oid == b:
            raise PermissionError(13, "Permission denied")

    remote.remove = pretend  # type: ignore[method-assign]
    done = remove(remote, [a, b])
    assert done == Removal((), {a: "the remote still has it", b: "Permission denied"})


def test_files_stay_while_the_listing_of_a_folder_does(disk: Shelf, tmp_path: Path) -> None:
    remote = connect("disk", tmp_path)
    folder = disk.add_folder(many(5))
    take = remote.remove

    def refuse(oid: str) -> None:
        if oid == folder:
            raise PermissionError(13, "Permission denied")
        take(oid)

    remote.remove = refuse  # type: ignore[method-assign]
    before = disk.names()
    done = remove(remote, before)
    assert done.failed[folder] == "Permission denied" and not done.removed
    assert set(done.failed) == disk.names() == before


def test_a_server_that_is_gone_removed_nothing(
    web: Callable[..., WebServer], disk: Shelf, tmp_path: Path
) -> None:
    server = web()
    oids = [server.shelf.add(b"%d" % number) for number in range(8)]
    remote = connect(server.url, tmp_path)
    server.stop()
    remote.remove = lambda oid: None  # type: ignore[method-assign]
    assert set(remove(remote, oids).failed) == set(oids)


def test_what_cannot_be_listed_is_told(disk: Shelf, tmp_path: Path) -> None:
    remote = connect("disk", tmp_path)
    disk.add(b"x")
    (disk.folder / "files" / "md5" / "zz").symlink_to("zz")
    with pytest.raises(ArtifactRemoteError, match="could not be listed"):
        list(remote.list_objects())


def test_http_cannot_list(web: Callable[..., WebServer], tmp_path: Path) -> None:
    with pytest.raises(ArtifactRemoteError, match="http has no listings"):
        list(connect(web().url, tmp_path).list_objects())


def test_what_uploads_that_broke_off_left_is_removed_when_it_is_old(
    disk: Shelf, tmp_path: Path
) -> None:
    remote = connect("disk", tmp_path)
    assert remote.remove_leftovers(2e9) == 0
    kept = disk.add(b"x")
    (disk.folder / "tmp").mkdir()
    for name, time_s in (("old", 1000), ("young", 2000)):
        (disk.folder / "tmp" / name).write_text("half")
        os.utime(disk.folder / "tmp" / name, (time_s, time_s))
    assert remote.remove_leftovers(1500) == 1
    assert disk.leftovers() == [str(disk.folder / "tmp" / "young")]
    assert disk.names() == {kept}
