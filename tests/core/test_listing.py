"""Listings of folders: what DVC writes is read, what anybody else writes is not believed."""

from __future__ import annotations

import json

import pytest

from gittrack.core import listing
from gittrack.core.listing import Listed, decode_listing, is_md5
from gittrack.errors import CorruptStoreError, UnsafeStoreError
from tests.store.dvc import shelf

MD5 = "0123456789abcdef" * 2


def encode(*paths: object) -> bytes:
    return json.dumps([{"md5": MD5, "relpath": path} for path in paths]).encode()


def test_a_listing_is_read() -> None:
    files = {"a": b"1", "b/c": b"2", "b/d e/é": b"3"}
    assert decode_listing(shelf.listing(files), "x.dir") == [
        Listed(path, shelf.name_of(data)) for path, data in sorted(files.items())
    ]
    assert decode_listing(b"[]", "x.dir") == []


def test_names_that_are_not_utf8_are_read_as_dvc_writes_them() -> None:
    assert decode_listing(encode("a\udcff"), "x.dir") == [Listed("a\udcff", MD5)]


def test_other_keys_are_left_alone() -> None:
    data = json.dumps([{"md5": MD5, "relpath": "a", "size": 7}]).encode()
    assert decode_listing(data, "x.dir") == [Listed("a", MD5)]


@pytest.mark.parametrize(
    "path",
    ["..", "../a", "a/../b", "a/..", "/etc/passwd", "/", "", ".", "./a", "a//b", "a/", "a\0b", "\ud800",
     "n" * 256, "d/" * 2100 + "f"],
)  # fmt: skip
def test_paths_out_of_the_folder_are_refused(path: str) -> None:
    with pytest.raises(UnsafeStoreError):
        decode_listing(encode("fine", path), "x.dir")


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("a/b/c", "a/b"), ("a/b/c/d", "a")])
def test_paths_that_cannot_all_be_files_are_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(UnsafeStoreError):
        decode_listing(encode(*paths), "x.dir")


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"null", b"[", b"\xff", b"[1]", b"[null]", b'[{"md5": "x"}]', b"[" * 100_000, b"1" * 5000,
     b'[{"md5": "%s.dir", "relpath": "a"}]' % MD5.encode(), b'[{"md5": "../../x", "relpath": "a"}]',
     b'[{"md5": 7, "relpath": "a"}]', b'[{"md5": "%s", "relpath": 7}]' % MD5.encode(),
     b'[{"md5": "%s\\n", "relpath": "a"}]' % MD5.encode()],
)  # fmt: skip
def test_what_is_no_listing_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptStoreError):
        decode_listing(data, "x.dir")


def test_a_listing_that_is_too_large_is_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_BYTES", 10)
    with pytest.raises(CorruptStoreError, match="10 bytes"):
        decode_listing(b"[          ]", "x.dir")


def test_names_of_objects() -> None:
    assert is_md5(MD5) and is_md5(f"{MD5}.dir")
    for text in ("", MD5[1:], MD5 + "0", MD5.upper(), f"{MD5}.DIR", f"{MD5}\n", f"{MD5}.dir\n",
                 "../" + MD5[3:], MD5[:-1] + "/", MD5[:-1] + "٣"):  # fmt: skip
        assert not is_md5(text), text
