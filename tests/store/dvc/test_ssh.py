"""The same over ssh, where objects come to their names by a rename; against a real SFTP server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gittrack.errors import ArtifactRemoteError, TransferError
from gittrack.store.dvc.remote import Remote
from gittrack.store.dvc.removal import remove
from gittrack.store.dvc.transfer import Report, fetch, push
from tests.store.dvc.shelf import Shelf, connect, many, name_of

pytest.importorskip("dvc_ssh")

NONE = "0" * 32

#: Connects to a folder; `writes` after which the server is gone.
Reach = Callable[..., Remote]


@pytest.fixture
def reach(tmp_path: Path) -> Iterator[Reach]:
    servers = []

    def start(folder: Path, *writes: int, password: str = "s3cret") -> Remote:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.store.dvc.sftp", *map(str, writes)],
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3],
        )  # fmt: skip
        servers.append(server)
        assert server.stdout is not None
        url = f"ssh://ada@127.0.0.1:{server.stdout.readline().strip()}{folder}"
        return connect(url, tmp_path, password=password, allow_agent="false")

    yield start
    for server in servers:
        server.kill()
        server.communicate()


def test_there_and_back(reach: Reach, ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    folder, file, empty = ours.add_folder(many(20)), ours.add(b"hello"), ours.add(b"")
    remote = reach(tmp_path / "disk")
    wanted = [folder, file, empty]
    report = push(str(ours.folder), remote, wanted, jobs=4)
    assert set(report.sent) == ours.names() == disk.names() and report.is_complete
    assert disk.leftovers() == []
    assert push(str(ours.folder), remote, wanted, jobs=4) == Report(present=report.sent)
    assert dict(remote.list_objects()) == {oid: len(ours.read(oid)) for oid in ours.names()}

    other = Shelf(tmp_path / "other")
    back = fetch(str(other.folder), remote, [*wanted, NONE], jobs=4)
    assert back.sent == report.sent and back.missing == (NONE,)
    done = remove(remote, [file, NONE])
    assert set(done.removed) == {file, NONE} and not disk.has(file)


def test_a_corrupt_object_is_replaced(
    reach: Reach, ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    good = ours.add(b"good")
    disk.put(good, b"evil")
    remote = reach(tmp_path / "disk")
    assert list(fetch(str(tmp_path / "other"), remote, [good]).corrupt) == [good]
    assert push(str(ours.folder), remote, [good], repair=True).sent == (good,)
    assert disk.names() == {good} and disk.leftovers() == []


def test_a_line_that_breaks_leaves_no_half_object(
    reach: Reach, ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    folder = ours.add_folder(many(12, 50_000))
    with pytest.raises(TransferError):
        push(str(ours.folder), reach(tmp_path / "disk", 8), [folder], jobs=1)
    before = disk.names()
    assert 0 < len(before) < 13 and folder not in before
    assert disk.leftovers(), "what was half sent lies outside"
    again = reach(tmp_path / "disk")
    report = push(str(ours.folder), again, [folder])
    assert report.is_complete and set(report.present) == before
    assert again.remove_leftovers(1000) == 0
    assert again.remove_leftovers(4e9) > 0 and disk.leftovers() == []


def test_a_folder_that_is_not_there(reach: Reach, ours: Shelf, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRemoteError, match="there is nothing at ssh://"):
        fetch(str(ours.folder), reach(tmp_path / "gone"), [name_of(b"x")])


def test_a_wrong_password(reach: Reach, tmp_path: Path) -> None:
    with pytest.raises(ArtifactRemoteError, match="cannot be reached") as caught:
        reach(tmp_path, password="wr0ng")
    assert "wr0ng" not in str(caught.value)
