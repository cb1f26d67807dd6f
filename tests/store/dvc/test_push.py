"""Sending artifact objects to remotes on disk and over http, and everything that goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.errors import ArtifactRemoteError, TransferError
from gittrack.store.dvc.transfer import Report, fetch, push
from tests.store.dvc.shelf import Shelf, WebServer, connect, listing, many, name_of

NONE = "0" * 32

#: Pushes the objects named on its command line; says so when some are sent.
SCRIPT = """
import sys
from pathlib import Path
from tests.store.dvc.shelf import connect
from gittrack.store.dvc.transfer import push

def told(objects, *_):
    if objects == 20:
        print("some", flush=True)

folder, url, *oids = sys.argv[1:]
report = push(folder, connect(url, Path(folder)), oids, jobs=2, progress=told)
print(len(report.sent), len(report.present), report.is_complete)
"""


def start(ours: Shelf, url: str, *oids: str) -> subprocess.Popen[str]:
    root = Path(__file__).parents[3]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(ours.folder), url, *oids],
        stdout=subprocess.PIPE, text=True, cwd=root,
    )  # fmt: skip


def test_objects_and_folders_go_to_a_remote_on_disk(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    folder, file = ours.add_folder(many(5)), ours.add(b"hello")
    ours.add(b"nobody asked for this")
    remote = connect("disk", tmp_path)

    first = push(str(ours.folder), remote, [folder, file])
    assert set(first.sent) == disk.names() and len(first.sent) == 7
    assert first.size_bytes == sum(disk.path(oid).stat().st_size for oid in first.sent)
    assert first.is_complete and not first.present
    assert {disk.path(oid).stat().st_mode & 0o777 for oid in first.sent} == {0o444}
    assert disk.leftovers() == ours.leftovers() == []

    again = push(str(ours.folder), remote, [folder, file])
    assert again == Report(present=first.sent)


def test_a_thousand_files_by_several_threads(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    folder = ours.add_folder(many(1000))
    told: list[tuple[int, int, int, int | None]] = []
    threads = set()

    def progress(*numbers: int | None) -> None:
        threads.add(threading.get_ident())
        told.append(numbers)  # type: ignore[arg-type]

    report = push(str(ours.folder), connect("disk", tmp_path), [folder], jobs=4, progress=progress)
    assert len(report.sent) == 1001 and report.is_complete
    assert disk.names() == ours.names()
    assert told == sorted(told)
    assert told[-1] == (1001, 1001, report.size_bytes, report.size_bytes)
    assert len(threads) > 1


def test_nothing_goes_up_twice_over_http(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    server = web()
    folder = ours.add_folder(many(30) | {"empty": b""})
    remote = connect(server.url, tmp_path, method="PUT")
    assert push(str(ours.folder), remote, [folder], jobs=4).is_complete
    assert server.shelf.names() == ours.names()
    server.requests.clear()
    assert len(push(str(ours.folder), remote, [folder], jobs=4).present) == 32
    assert not [request for request in server.requests if request.startswith("PUT")]


def test_a_listing_goes_last(ours: Shelf, web: Callable[..., WebServer], tmp_path: Path) -> None:
    server = web()
    folder = ours.add_folder(many(20))
    push(str(ours.folder), connect(server.url, tmp_path, method="put"), [folder], jobs=8)
    puts = [request for request in server.requests if request.startswith("PUT")]
    assert len(puts) == 21
    assert puts[-1].endswith(".dir")
    # Between the last file and the listing it was looked whether all files are there.
    at = server.requests.index(puts[-1])
    assert all(request.startswith("HEAD") for request in server.requests[at - 20 : at])


def test_a_file_that_is_nowhere_keeps_its_folder_back(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    files = many(4)
    folder = ours.add_folder(files)
    lost = name_of(files["part/0002.bin"])
    ours.remove(lost)
    report = push(str(ours.folder), connect("disk", tmp_path), [folder])
    assert report.missing == (lost,)
    assert {key: list(files) for key, files in report.incomplete.items()} == {
        folder: ["part/0002.bin"]
    }
    assert folder in report.failed and not report.is_complete
    assert len(report.sent) == 3
    assert not disk.has(folder)


def test_a_file_that_only_the_remote_has_is_no_loss(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    files = many(4)
    folder = ours.add_folder(files)
    ours.remove(disk.add(files["part/0002.bin"]))
    report = push(str(ours.folder), connect("disk", tmp_path), [folder])
    assert report.is_complete and disk.has(folder)


def test_a_folder_on_the_remote_that_lost_a_file_is_made_whole(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    """DVC itself looks for the listing alone, and answers that everything is there."""
    files = many(4)
    folder = ours.add_folder(files)
    remote = connect("disk", tmp_path)
    push(str(ours.folder), remote, [folder])
    lost = name_of(files["part/0001.bin"])
    disk.remove(lost)
    report = push(str(ours.folder), remote, [folder])
    assert report.sent == (lost,) and report.is_complete


def test_a_clone_without_the_objects_still_knows_whether_the_remote_is_whole(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    files = many(4)
    folder, file = disk.add_folder(files), disk.add(b"x")
    remote = connect("disk", tmp_path)
    assert push(str(ours.folder), remote, [folder, file]) == Report(
        present=tuple(sorted(disk.names()))
    )
    lost = name_of(files["part/0001.bin"])
    disk.remove(lost)
    report = push(str(ours.folder), remote, [folder, file])
    assert report.missing == (lost,)
    assert {key: list(files) for key, files in report.incomplete.items()} == {
        folder: ["part/0001.bin"]
    }
    assert ours.names() == set()


def test_what_is_on_neither_side_is_missing(ours: Shelf, tmp_path: Path) -> None:
    report = push(str(ours.folder), connect("disk", tmp_path), [NONE, NONE + ".dir"])
    assert report == Report(missing=(NONE, NONE + ".dir"))


@pytest.mark.parametrize(
    "oid", ["", "..", "../../../../etc/passwd", "ab", "x" * 32, NONE + "\n", NONE + "/x", "Ab" * 16]
)
def test_what_is_no_name_of_an_object_becomes_no_path(
    ours: Shelf, disk: Shelf, tmp_path: Path, oid: str
) -> None:
    good = ours.add(b"good")
    report = push(str(ours.folder), connect("disk", tmp_path), [oid, good])
    assert report.sent == (good,)
    assert report.failed == {oid: "it is not the name of an object"}
    assert disk.names() == {good}


def test_a_corrupt_object_of_ours_is_never_sent(
    ours: Shelf, disk: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    files = many(4)
    folder = ours.add_folder(files)
    bad = ours.put(name_of(files["part/0003.bin"]), b"other bytes")
    server = web()
    for url, there in (("disk", disk), (server.url, server.shelf)):
        remote = connect(url, tmp_path, **({"method": "put"} if url != "disk" else {}))
        report = push(str(ours.folder), remote, [folder], repair=True)
        assert list(report.corrupt) == [bad] and "here" in report.corrupt[bad]
        assert not there.has(bad) and not there.has(folder)
        assert there.leftovers() == []


def test_a_corrupt_listing_of_ours_is_never_sent(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    folder = ours.put(NONE + ".dir", listing(many(3)))
    report = push(str(ours.folder), connect("disk", tmp_path), [folder])
    assert list(report.corrupt) == [folder]
    assert disk.names() == set()


def test_an_object_of_the_wrong_size_on_the_remote_is_told_and_replaced_when_asked(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    files = many(3)
    folder = ours.add_folder(files)
    bad = disk.put(name_of(files["part/0001.bin"]), b"cut")
    remote = connect("disk", tmp_path)
    report = push(str(ours.folder), remote, [folder])
    assert list(report.corrupt) == [bad] and "3 bytes" in report.corrupt[bad]
    assert not disk.has(folder)
    assert push(str(ours.folder), remote, [folder], repair=True).is_complete
    assert disk.names() == ours.names()


def test_an_object_of_the_right_size_and_wrong_bytes_is_replaced_when_asked(
    ours: Shelf, disk: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    good = ours.add(b"good")
    server = web()
    for url, there in (("disk", disk), (server.url, server.shelf)):
        there.put(good, b"evil")
        remote = connect(url, tmp_path, **({"method": "put"} if url != "disk" else {}))
        assert push(str(ours.folder), remote, [good]).present == (good,)
        assert push(str(ours.folder), remote, [good], repair=True).sent == (good,)
        assert there.read(good) == b"good"
        assert push(str(ours.folder), remote, [good], repair=True).present == (good,)


@pytest.mark.parametrize("how", ["lies", "cuts"])
def test_a_server_that_only_says_it_stored_is_found_out(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path, how: str
) -> None:
    server = web(**{how: True})
    folder = ours.add_folder(many(3))
    report = push(str(ours.folder), connect(server.url, tmp_path, method="put"), [folder])
    assert len(report.failed) == 4 and not report.sent
    assert not any(request.endswith(".dir") for request in server.requests if "PUT" in request)


def test_a_server_that_dies_half_way(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    folder = ours.add_folder(many(40))
    server = web(dies_after=15)
    with pytest.raises(TransferError) as caught:
        push(str(ours.folder), connect(server.url, tmp_path, method="put"), [folder], jobs=2)
    report = caught.value.report
    assert len(server.shelf.names()) == 15
    # The last may have been stored without a word.
    assert len(report.sent) in (14, 15) and set(report.sent) <= server.shelf.names()
    assert len(report.sent) + len(report.failed) == 41 and folder in report.failed
    assert f"{len(report.sent)} objects were moved before" in caught.value.why
    assert "'store'" in caught.value.message
    assert "--artifacts-only" in caught.value.next

    again = web()
    os.rename(server.folder, again.folder)
    report = push(str(ours.folder), connect(again.url, tmp_path, method="put"), [folder], jobs=2)
    assert len(report.present) == 15 and len(report.sent) == 26 and report.is_complete


def test_a_server_that_is_not_there_is_not_an_empty_one(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path
) -> None:
    """fsspec says "file not found" for every failure over http."""
    server = web()
    server.stop()
    ours.add(b"x")
    remote = connect(server.url, tmp_path, method="put")
    for wanted in ([*ours.names()], [NONE], [f"{NONE}.dir"]):
        with pytest.raises(TransferError) as caught:
            push(str(ours.folder), remote, wanted)
        assert not caught.value.report.missing
        assert "onnect" in caught.value.why


@pytest.mark.parametrize("status", [401, 403, 500])
def test_what_a_server_says_no_with_is_told(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path, status: int
) -> None:
    server = web(status=status)
    with pytest.raises(TransferError, match=str(status)):
        push(str(ours.folder), connect(server.url, tmp_path, method="put"), [ours.add(b"x")])


def test_a_single_failure_is_tried_again(
    ours: Shelf, disk: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = connect("disk", tmp_path)
    put, failures = remote.put, [OSError("the network hiccuped")]

    def flaky(*args: object) -> bool:
        if failures:
            raise failures.pop()
        return put(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(remote, "put", flaky)
    assert push(str(ours.folder), remote, [ours.add_folder(many(3))]).is_complete
    assert disk.names() == ours.names()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    disk.folder.parent.mkdir()
    disk.folder.parent.chmod(0o555)
    with pytest.raises(TransferError, match="Permission denied"):
        push(str(ours.folder), connect("disk", tmp_path), [ours.add(b"x")])


def test_a_remote_that_cannot_be_written(ours: Shelf, tmp_path: Path) -> None:
    """/proc refuses everybody, root as well."""
    folder = ours.add_folder(many(20))
    with pytest.raises(TransferError) as caught:
        push(str(ours.folder), connect("/proc/self/fdinfo", tmp_path), [folder])
    report = caught.value.report
    assert not report.sent and len(report.failed) == 21
    assert "/proc/self/fdinfo" in caught.value.why


def test_a_remote_of_a_group_can_be_written_by_the_group(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    oid = ours.add(b"x")
    push(str(ours.folder), connect("disk", tmp_path, shared="group"), [oid])
    folders = [tmp_path / "disk", disk.folder, disk.path(oid).parent, disk.folder / "tmp"]
    assert {folder.stat().st_mode & 0o7777 for folder in folders} == {0o2775}


def test_a_server_that_dies_before_it_can_be_asked_is_believed(
    ours: Shelf, web: Callable[..., WebServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    oids = [ours.add(b"%d" % number) for number in range(8)]
    server = web()
    remote = connect(server.url, tmp_path, method="put")
    ask = remote.ask

    def asked_again(*args: object) -> object:
        if len(server.shelf.names()) == 8:
            server.stop()
        return ask(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(remote, "ask", asked_again)
    with pytest.raises(TransferError) as caught:
        push(str(ours.folder), remote, oids, jobs=8)
    assert set(caught.value.report.sent) == set(oids) == server.shelf.names()


def test_one_object_that_cannot_be_written_stops_no_other(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    good, bad = ours.add(b"good"), ours.add(b"bad")
    disk.path(bad).parent.parent.mkdir(parents=True)
    disk.path(bad).parent.write_text("a file where a folder should be")
    report = push(str(ours.folder), connect("disk", tmp_path), [good, bad])
    assert report.sent == (good,)
    assert list(report.failed) == [bad]


def test_a_full_disk_ends_it_at_once(
    ours: Shelf, tmp_path: Path, tiny_disk: Callable[[Path], None]
) -> None:
    folder = ours.add_folder(many(50, 2000))
    full = tmp_path / "full"
    full.mkdir()
    tiny_disk(full)
    with pytest.raises(TransferError, match="No space left"):
        push(str(ours.folder), connect(str(full), tmp_path), [folder], jobs=1)
    Shelf(full / "gittrack").names()


def test_killed_and_begun_again(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    folder = ours.add_folder(many(300, 20_000))
    url = str(tmp_path / "disk")
    process = start(ours, url, folder)
    assert process.stdout is not None
    assert process.stdout.readline() == "some\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = disk.names()
    assert 20 <= len(before) < 301 and not disk.has(folder)

    report = push(str(ours.folder), connect(url, tmp_path), [folder])
    assert set(report.present) == before and len(report.sent) == 301 - len(before)
    assert disk.names() == ours.names()
    assert ours.leftovers() == [], "what the killed process had under way is taken away"


def test_two_processes_push_the_same(ours: Shelf, disk: Shelf, tmp_path: Path) -> None:
    folder = ours.add_folder(many(200))
    both = [start(ours, str(tmp_path / "disk"), folder) for _ in range(2)]
    said = [process.communicate()[0].split() for process in both]
    assert [words[-1] for words in said] == ["True", "True"]
    assert disk.names() == ours.names()
    assert disk.leftovers() == ours.leftovers() == []


def test_an_error_of_the_progress_bar_is_no_failure_of_an_object(
    ours: Shelf, disk: Shelf, tmp_path: Path
) -> None:
    def progress(*_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        push(
            str(ours.folder),
            connect("disk", tmp_path),
            [ours.add_folder(many(9))],
            jobs=3,
            progress=progress,
        )
    assert ours.leftovers() == []


def test_ctrl_c_ends_it(
    ours: Shelf, disk: Shelf, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = ours.add_folder(many(300))
    interrupted = threading.Event()

    def interrupt(*_: object) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    def progress(objects: int, *_: object) -> None:
        if objects == 9:
            os.kill(os.getpid(), signal.SIGINT)
            # On a busy machine the main thread may take long to hear of it.
            interrupted.wait(30)

    before = signal.signal(signal.SIGINT, interrupt)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    for jobs in (1, 3):
        interrupted.clear()
        with pytest.raises(KeyboardInterrupt):
            push(
                str(ours.folder), connect("disk", tmp_path), [folder], jobs=jobs, progress=progress
            )
        assert len(disk.names()) < 100
        assert ours.leftovers() == disk.leftovers() == []


def test_passwords_are_not_told(ours: Shelf, web: Callable[..., WebServer], tmp_path: Path) -> None:
    server = web(password="s3cret")
    auth = {"method": "put", "auth": "custom", "custom_auth_header": "X-Token"}
    oid = ours.add(b"x")
    right = connect(server.url, tmp_path, **auth, password="s3cret")
    assert push(str(ours.folder), right, [oid]).is_complete
    wrong = connect(server.url, tmp_path, **auth, password="wr0ng")
    with pytest.raises(ArtifactRemoteError, match="401") as caught:
        fetch(str(tmp_path / "other"), wrong, [oid])
    assert "wr0ng" not in str(caught.value)


def test_secrets_in_errors_of_any_library_are_hidden(
    tmp_path: Path, web: Callable[..., WebServer]
) -> None:
    options = {"auth": "custom", "custom_auth_header": "X-Token", "password": "s3cret"}
    remote = connect(web().url, tmp_path, **options)
    said = remote.explain(ValueError("bad key 's3cret' at http://ada:hunter2@host/x\nmore"))
    assert said == "bad key '***' at http://ada:***@host/x"
