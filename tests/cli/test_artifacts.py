"""`gittrack artifacts` and `gittrack gc` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Project


@pytest.fixture
def kept(empty: Project, tmp_path: Path) -> Project:
    """A run with small and large files, and a folder that is kept as one."""
    for n in range(25):
        path = tmp_path / "ckpt" / "sub" / f"{n:02}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([n]) * 150_000)
    (tmp_path / "model.pt").write_bytes(b"m" * 300_000)
    (tmp_path / "note.txt").write_bytes(b"small\n")
    top = str(tmp_path)
    empty.out(
        "run", "--name", "one", "--artifact", f"{top}/model.pt", "--artifact", f"{top}/note.txt",
        "--artifact", f"{top}/ckpt", "--", "true",
    )  # fmt: skip
    return empty


def test_files_are_listed(kept: Project) -> None:
    lines = kept.out("artifacts", "ls", "one").splitlines()
    assert [line.split() for line in lines[:3]] == [
        ["path", "size", "where"], ["---------------", "------", "-----"],
        ["ckpt/sub/00.bin", "150", "kB", "here"],
    ]  # fmt: skip
    assert lines[-2].split() == ["model.pt", "300", "kB", "here"]
    assert lines[-1].split() == ["note.txt", "6", "B", "git"]
    below = json.loads(kept.out("artifacts", "ls", "one", "ckpt/sub", "--format", "json"))
    assert len(below) == 25
    assert below[3] == {
        "path": "ckpt/sub/03.bin", "size_bytes": 150_000, "where": "here",
        "md5": below[3]["md5"],
    }  # fmt: skip
    done = kept.gittrack("artifacts", "ls", "one", "nowhere")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "run one keeps no files there\n")


def test_files_are_copied(kept: Project, tmp_path: Path) -> None:
    into = tmp_path / "copies"
    out = kept.out("artifacts", "get", "one", "model.pt", "ckpt/sub", "--into", str(into))
    assert out.splitlines()[:2] == [f"{into}/model.pt", f"{into}/00.bin"]
    assert (into / "model.pt").read_bytes() == b"m" * 300_000
    (into / "model.pt").write_bytes(b"mine")
    done = kept.gittrack("artifacts", "get", "one", "model.pt", "--into", str(into))
    assert done.returncode == 1
    assert "is there already" in done.stderr
    assert "--force" in done.stderr
    kept.out("artifacts", "get", "one", "model.pt", "--into", str(into), "--force")
    assert (into / "model.pt").read_bytes() == b"m" * 300_000
    done = kept.gittrack("artifacts", "get", "one", "modl.pt")
    assert done.returncode == 1
    assert "did you mean model.pt?" in done.stderr
    assert kept.out("artifacts", "get", "one", "--into", str(tmp_path / "all")).count("\n") == 27


def test_bytes_are_checked_and_measured(kept: Project) -> None:
    assert kept.out("artifacts", "verify") == "checked 27 objects, 4.05 MB: nothing is wrong\n"
    lines = kept.out("artifacts", "du").splitlines()
    assert lines[2].split() == ["one", "27", "6", "B", "4.05", "MB", "4.05", "MB"]
    assert lines[3] == "the object store holds 27 objects, 4.05 MB"
    (entry,) = json.loads(kept.out("artifacts", "du", "one", "--format", "json"))
    assert entry["object_bytes"] == entry["here_bytes"] == 25 * 150_000 + 300_000
    objects = Path(kept.path, ".git", "gittrack", "odb", "files", "md5")
    files = [path for path in objects.rglob("*") if path.is_file()]
    (large,) = [path for path in files if path.stat().st_size == 300_000]
    large.chmod(0o644)
    large.write_bytes(b"rubbish")
    done = kept.gittrack("artifacts", "verify")
    assert done.returncode == 1
    assert "1 fault" in done.stdout
    assert done.stdout.splitlines()[2].split()[:3] == ["one", "model.pt", "damaged"]
    assert done.stderr == "next: gittrack artifacts verify --repair\n"
    done = kept.gittrack("artifacts", "get", "one", "model.pt")
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert not Path(kept.path, "model.pt").exists()
    large.unlink()
    assert kept.gittrack("artifacts", "verify").returncode == 0
    done = kept.gittrack("artifacts", "verify", "one", "--format", "json")
    assert done.returncode == 1
    assert [t["what"] for t in json.loads(done.stdout)] == ["missing"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("ls",), "of which run?"),
        (("get",), "of which run?"),
        (("ls", "one", "a", "b"), "one run and one path"),
        (("ls", "one", "--into", "x"), "--into goes with get"),
        (("get", "one", "--repair"), "--repair goes with verify"),
        (("get", "one", "--format", "json"), "no place with get"),
    ],
)
def test_what_makes_no_sense_is_said(empty: Project, args: tuple[str, ...], words: str) -> None:
    done = empty.gittrack("artifacts", *args)
    assert done.returncode == 2
    assert words in done.stderr


def test_what_nobody_needs_is_freed(kept: Project) -> None:
    assert kept.out("gc") == "deleted 0 objects that no run needs, 0 B\n"
    kept.out("purge", "one")
    assert kept.out("gc", "--dry-run") == "would delete 0 objects that no run needs, 0 B\n"
    assert kept.out("artifacts", "du").splitlines()[-1].startswith("the object store holds 27")


def test_a_page_shows_what_is_kept(kept: Project) -> None:
    page = kept.out("show", "one")
    assert "    ckpt/     25 files  3.75 MB\n    model.pt  300 kB\n    note.txt  6 B\n" in page
    assert "ckpt//" not in kept.out("diff", "one", "one", "--all")
