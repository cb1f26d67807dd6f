"""The same against an S3 server: moto, which speaks S3 and keeps everything in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gittrack.errors import ArtifactRemoteError, TransferError
from gittrack.store.dvc import remote as remote_module
from gittrack.store.dvc.remote import Remote
from gittrack.store.dvc.removal import remove
from gittrack.store.dvc.transfer import Report, fetch, push
from tests.store.dvc.shelf import Shelf, connect, many, name_of

pytest.importorskip("dvc_s3")
moto_server = pytest.importorskip("moto.server")

NONE = "0" * 32
KEYS = {"access_key_id": "testing", "secret_access_key": "s3cret", "region": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Bucket:
    """What a bucket holds, seen by boto, not by what is tested."""

    def __init__(self, endpoint: str) -> None:
        import boto3

        self.client: Any = boto3.client(
            "s3", endpoint_url=endpoint, aws_access_key_id="testing",
            aws_secret_access_key="s3cret", region_name="us-east-1",
        )  # fmt: skip
        self.client.create_bucket(Bucket="bucket")
        if keys := [{"Key": key} for key in self.keys()]:
            self.client.delete_objects(Bucket="bucket", Delete={"Objects": keys})

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="bucket")
        return [item["Key"] for page in pages for item in page.get("Contents", ())]

    def put(self, oid: str, data: bytes) -> None:
        key = f"team/gittrack/files/md5/{oid[:2]}/{oid[2:]}"
        self.client.put_object(Bucket="bucket", Key=key, Body=data)

    def take(self, oid: str) -> None:
        key = f"team/gittrack/files/md5/{oid[:2]}/{oid[2:]}"
        self.client.delete_object(Bucket="bucket", Key=key)


@pytest.fixture
def bucket(endpoint: str) -> Bucket:
    return Bucket(endpoint)


def reach(endpoint: str, tmp_path: Path, url: str = "s3://bucket/team") -> Remote:
    return connect(url, tmp_path, endpointurl=endpoint, **KEYS)


def test_there_and_back(endpoint: str, bucket: Bucket, ours: Shelf, tmp_path: Path) -> None:
    folder, file, empty = ours.add_folder(many(40)), ours.add(b"hello"), ours.add(b"")
    remote = reach(endpoint, tmp_path)
    report = push(str(ours.folder), remote, [folder, file, empty], jobs=8)
    assert set(report.sent) == ours.names() and report.is_complete
    assert sorted(bucket.keys()) == sorted(
        f"team/gittrack/files/md5/{oid[:2]}/{oid[2:]}" for oid in ours.names()
    )
    assert push(str(ours.folder), remote, [folder, file, empty]) == Report(present=report.sent)

    other = Shelf(tmp_path / "other")
    back = fetch(str(other.folder), reach(endpoint, tmp_path), [folder, file, empty, NONE], jobs=8)
    assert back.sent == report.sent and back.missing == (NONE,)
    assert other.names() == ours.names() and other.leftovers() == []


def test_what_was_lost_and_what_is_corrupt(
    endpoint: str, bucket: Bucket, ours: Shelf, tmp_path: Path
) -> None:
    files = many(5)
    folder = ours.add_folder(files)
    lost, short, bad = (name_of(files[f"part/000{n}.bin"]) for n in range(3))
    remote = reach(endpoint, tmp_path)
    push(str(ours.folder), remote, [folder])
    bucket.take(lost)
    bucket.put(short, b"short")
    bucket.put(bad, b"x" * len(ours.read(bad)))

    other = Shelf(tmp_path / "other")
    report = fetch(str(other.folder), remote, [folder])
    assert report.missing == (lost,) and set(report.corrupt) == {short, bad}
    assert len(other.names()) == 2

    report = push(str(ours.folder), remote, [folder])
    assert report.sent == (lost,) and list(report.corrupt) == [short]
    report = push(str(ours.folder), remote, [folder], repair=True)
    assert set(report.sent) == {short, bad}
    assert fetch(str(other.folder), remote, [folder]).is_complete
    assert other.names() == ours.names()


@pytest.mark.parametrize("whole", [16, pytest.param(0, marks=pytest.mark.deep)])
def test_many_objects_are_found_by_listing(
    endpoint: str,
    bucket: Bucket,
    ours: Shelf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole: int,
) -> None:
    """Of a large remote each of 256 folders is listed, if that is less than the objects are."""
    monkeypatch.setattr(remote_module, "_WHOLE", whole)
    folder = ours.add_folder(many(80))
    remote = reach(endpoint, tmp_path)
    asked: list[str] = []
    find = Remote._find
    monkeypatch.setattr(Remote, "_find", lambda self, oid: (asked.append(oid), find(self, oid))[1])
    report = push(str(ours.folder), remote, [folder], jobs=8)
    assert len(report.sent) == 81
    # The folder's own listing is but one object.
    assert set(asked) <= {folder}
    bucket.put("00/" + "0" * 29, b"x")
    if whole:
        assert dict(remote.list_objects()) == {oid: len(ours.read(oid)) for oid in ours.names()}


def test_removal(endpoint: str, bucket: Bucket, ours: Shelf, tmp_path: Path) -> None:
    remote = reach(endpoint, tmp_path)
    folder, kept = ours.add_folder(many(5)), ours.add(b"kept")
    push(str(ours.folder), remote, [folder, kept])
    gone = ours.names() - {kept}
    bucket.client.put_object(Bucket="bucket", Key="team/files/md5/00/" + "0" * 30, Body=b"theirs")
    done = remove(remote, [*gone, NONE])
    assert set(done.removed) == gone | {NONE} and not done.failed
    assert len(bucket.keys()) == 2
    assert dict(remote.list_objects()) == {kept: 4}


def test_a_bucket_that_is_not_there(
    endpoint: str, bucket: Bucket, ours: Shelf, tmp_path: Path
) -> None:
    remote = reach(endpoint, tmp_path, "s3://no-such-bucket/x")
    with pytest.raises(ArtifactRemoteError, match="there is nothing at s3://no-such-bucket/x"):
        fetch(str(ours.folder), remote, [NONE])
    with pytest.raises(TransferError):
        push(str(ours.folder), remote, [ours.add(b"x")])
    # An empty prefix of a bucket that is there is no such thing.
    empty = reach(endpoint, tmp_path, "s3://bucket/empty")
    assert fetch(str(ours.folder), empty, [NONE]).missing == (NONE,)


def test_a_server_that_is_not_there(
    ours: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    remote = connect(
        "s3://bucket/x", tmp_path, endpointurl="http://127.0.0.1:1", connect_timeout="1", **KEYS
    )
    with pytest.raises(TransferError) as caught:
        push(str(ours.folder), remote, [ours.add(b"x")])
    assert "127.0.0.1" in caught.value.why and "s3cret" not in str(caught.value)
    assert not caught.value.report.missing


def test_the_names_of_shards_are_all_of_them() -> None:
    assert len(set(remote_module._SHARDS)) == 256 and "00" in remote_module._SHARDS
