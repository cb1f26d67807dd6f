"""The object store: right names, whole objects, nothing kept twice."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import md5
from pathlib import Path

import pytest

from gittrack.store import copying
from gittrack.store.odb import Odb, dvc_caches

KIB, MIB = 1 << 10, 1 << 20


@pytest.fixture
def odb(tmp_path: Path) -> Odb:
    return Odb(str(tmp_path / "odb"))


def name_of(data: bytes) -> str:
    return md5(data).hexdigest()


def put(path: Path, data: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


@pytest.mark.parametrize("kernel", ["copies", "copies not", "copies a part"])
@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 8 * MIB, 8 * MIB + 5, 13 * MIB])
def test_a_file_is_stored_under_its_md5(
    odb: Odb, tmp_path: Path, size: int, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel == "copies not":
        monkeypatch.delattr(os, "copy_file_range")
    elif kernel == "copies a part":
        counts = [3, 5]
        copy_range = os.copy_file_range

        def copy_a_part(source: int, target: int, count: int) -> int:
            if not counts:
                raise OSError(18, "Invalid cross-device link")
            return copy_range(source, target, counts.pop())

        monkeypatch.setattr(os, "copy_file_range", copy_a_part)
    data = os.urandom(size)
    path = put(tmp_path / "x.bin", data)
    os.chmod(path, 0o640)
    before = os.stat(path)
    stored = odb.put_file(path)
    assert stored == (name_of(data), size, False)
    copy = odb.path(stored.md5)
    assert copy == str(tmp_path / "odb" / "files" / "md5" / stored.md5[:2] / stored.md5[2:])
    assert Path(copy).read_bytes() == data
    assert stat.S_IMODE(os.stat(copy).st_mode) & 0o222 == 0
    after = os.stat(path)
    assert (after.st_ino, after.st_mode, after.st_nlink) == (before.st_ino, before.st_mode, 1)
    assert odb.is_sound(stored.md5)
    assert [item.md5 for item in odb] == [stored.md5]
    assert odb.leftovers(2**60) == []


def test_the_same_bytes_are_stored_once(odb: Odb, tmp_path: Path) -> None:
    for name in "abc":
        stored = odb.put_file(put(tmp_path / name, b"same" * MIB))
    inode = os.stat(odb.path(stored.md5)).st_ino
    assert odb.put_bytes(b"same" * MIB).md5 == stored.md5
    assert os.stat(odb.path(stored.md5)).st_ino == inode
    assert len(list(odb)) == 1


def test_damage_is_seen(odb: Odb, tmp_path: Path) -> None:
    stored = odb.put_file(put(tmp_path / "x", b"abc"))
    os.chmod(odb.path(stored.md5), 0o644)
    Path(odb.path(stored.md5)).write_bytes(b"abd")
    assert not odb.is_sound(stored.md5)
    assert not Odb(str(odb.folder) + "2").take(stored.md5, odb.path(stored.md5))
    assert not odb.is_sound("0" * 32)
    with pytest.raises(ValueError, match="is no md5"):
        odb.path("../../../etc/passwd")


def test_a_file_that_changes_meanwhile_never_gets_a_wrong_name(
    odb: Odb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x"
    put(path, b"a" * (20 * MIB))
    copied = copying.copy_parts

    def spoil(source: int, target: int) -> Iterator[int]:
        for end in copied(source, target):
            with path.open("r+b") as opened:
                opened.write(b"b" * KIB)
                opened.seek(-KIB, os.SEEK_END)
                opened.write(b"c" * KIB)
            yield end

    monkeypatch.setattr(copying, "copy_parts", spoil)
    stored = odb.put_file(str(path))
    assert stored.changed
    assert odb.is_sound(stored.md5)


def test_a_file_that_is_no_file(odb: Odb, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    for name in ("pipe", "loop", "broken", "vanished", "."):
        with pytest.raises(OSError):
            odb.put_file(str(tmp_path / name))
    assert list(odb) == []


def test_a_full_disk_leaves_nothing_half(
    odb: Odb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: int, data: bytes) -> None:
        os.write(file, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    def full_range(source: int, target: int, count: int) -> int:
        if os.fstat(target).st_size:
            raise OSError(28, "No space left on device")
        return copy_range(source, target, MIB)

    copy_range = os.copy_file_range
    monkeypatch.setattr(copying, "write_all", full)
    monkeypatch.setattr(os, "copy_file_range", full_range)
    for size in (10, 2 * MIB, 9 * MIB):
        with pytest.raises(OSError, match="No space left"):
            odb.put_file(put(tmp_path / "x", b"x" * size))
    assert list(odb) == []
    assert odb.leftovers(2**60) == []


def test_a_killed_writer_leaves_no_object(odb: Odb, tmp_path: Path) -> None:
    pipe = tmp_path / "ready"
    script = f"""
import os, sys
from gittrack.store import copying, odb
copied = copying.copy_parts
def stop(source, target):
    for end in copied(source, target):
        print("half", flush=True)
        sys.stdin.read()
        yield end
copying.copy_parts = stop
odb.Odb({odb.folder!r}).put_file({put(pipe, b"x" * (5 * MIB))!r})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"half\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(odb) == []
    assert len(odb.leftovers(2**60)) == 1
    assert odb.leftovers(0) == []
    assert odb.put_file(str(pipe)).md5 == name_of(b"x" * (5 * MIB))


def test_many_at_once(odb: Odb, tmp_path: Path) -> None:
    paths = [put(tmp_path / f"{n % 20}", bytes([n % 20]) * 2000) for n in range(100)]
    threads = [
        threading.Thread(target=lambda: [odb.put_file(path) for path in paths]) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list(odb)
    assert len(found) == 20
    assert all(odb.is_sound(item.md5) for item in found)


class TestDvcCache:
    @pytest.fixture
    def cached(self, tmp_path: Path) -> tuple[Odb, Path, bytes]:
        data = os.urandom(MIB + 7)
        name = name_of(data)
        cache = tmp_path / "cache" / "files" / "md5"
        path = Path(put(cache / name[:2] / name[2:], data))
        path.chmod(0o444)
        return Odb(str(tmp_path / "odb"), [str(cache)]), path, data

    @pytest.mark.parametrize("has_pointer", [False, True])
    def test_what_dvc_keeps_is_linked(
        self, cached: tuple[Odb, Path, bytes], tmp_path: Path, has_pointer: bool
    ) -> None:
        odb, path, data = cached
        file = put(tmp_path / "data.bin", data)
        if has_pointer:
            put(tmp_path / "data.bin.dvc", f"outs:\n- md5: {name_of(data)}\n".encode())
        stored = odb.put_file(file)
        assert stored.md5 == name_of(data)
        assert os.path.samestat(os.stat(odb.path(stored.md5)), path.stat())
        # Each survives the other.
        path.unlink()
        assert odb.is_sound(stored.md5)

    def test_a_pointer_saves_the_copy(
        self, cached: tuple[Odb, Path, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        odb, _, data = cached
        put(tmp_path / "data.bin.dvc", f"outs:\n- md5: {name_of(data)}\n".encode())
        monkeypatch.setattr(copying, "copy_parts", None)
        assert odb.put_file(put(tmp_path / "data.bin", data)).md5 == name_of(data)

    def test_a_pointer_that_lies_is_not_believed(
        self, cached: tuple[Odb, Path, bytes], tmp_path: Path
    ) -> None:
        odb, path, data = cached
        other = bytes(len(data))
        put(tmp_path / "data.bin.dvc", f"outs:\n- md5: {name_of(data)}\n".encode())
        assert odb.put_file(put(tmp_path / "data.bin", other)).md5 == name_of(other)
        assert odb.is_sound(name_of(other))
        # Nor is a cache whose bytes are damaged.
        path.chmod(0o644)
        path.write_bytes(other)
        path.chmod(0o444)
        stored = odb.put_file(put(tmp_path / "data.bin", data))
        assert stored.md5 == name_of(data)
        assert odb.is_sound(stored.md5)
        assert odb.path(stored.md5) != str(path)

    def test_what_may_be_written_to_is_not_linked(
        self, cached: tuple[Odb, Path, bytes], tmp_path: Path
    ) -> None:
        odb, path, data = cached
        path.chmod(0o664)
        stored = odb.put_file(put(tmp_path / "data.bin", data))
        assert not os.path.samestat(os.stat(odb.path(stored.md5)), path.stat())
        assert odb.is_sound(stored.md5)

    def test_where_dvc_keeps_its_objects(self, tmp_path: Path) -> None:
        assert dvc_caches(None) == []
        assert dvc_caches(str(tmp_path)) == []
        put(tmp_path / ".dvc" / "config", b"[core]\n    remote = x\n")
        dvc = str(tmp_path / ".dvc")
        assert dvc_caches(str(tmp_path)) == [os.path.join(dvc, "cache", "files", "md5")]
        put(tmp_path / ".dvc" / "config", b"[cache]\n    dir = ../common\n")
        assert dvc_caches(str(tmp_path)) == [os.path.join(dvc, "../common", "files", "md5")]
        put(tmp_path / ".dvc" / "config.local", b"[cache]\n    dir = /big/%cache\n")
        assert dvc_caches(str(tmp_path)) == ["/big/%cache/files/md5"]
        put(tmp_path / ".dvc" / "config.local", b"\xff[cache")
        assert len(dvc_caches(str(tmp_path))) == 1


def test_objects_of_another_store_are_taken(odb: Odb, tmp_path: Path) -> None:
    other = Odb(str(tmp_path / "other"))
    for data in (b"small", b"x" * (9 * MIB)):
        stored = other.put_bytes(data)
        assert odb.take(stored.md5, other.path(stored.md5))
        assert odb.is_sound(stored.md5)
    assert not odb.take("0" * 32, other.path("0" * 32))


@pytest.mark.parametrize("count", [3, 40])
def test_objects_are_made_durable(odb: Odb, count: int) -> None:
    names = [odb.put_bytes(bytes([n])).md5 for n in range(count)]
    odb.fsync([*names, "0" * 32])
