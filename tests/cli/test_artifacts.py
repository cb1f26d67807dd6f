"""`gittrack artifacts` and `gittrack gc` from the command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Project


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


def test_a_remote_is_freed_when_that_is_asked_for(kept: Project, tmp_path: Path) -> None:
    kept.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    kept.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    kept.out("remote", "artifacts", "add", "store", str(tmp_path / "remote"))
    kept.out("push")
    kept.out("purge", "one")
    lines = kept.out("gc", "--remote").splitlines()
    assert lines[1:] == [
        "deleted 0 objects on the remote, 0 B",
        ("27 more objects that no run needs, 4.05 MB, are deleted when that has been so for two "
        "weeks, or with --now"),
    ]  # fmt: skip
    assert kept.out("gc", "--remote", "store", "--now").splitlines()[1:] == [
        "deleted 27 objects on the remote, 4.05 MB"
    ]
    assert kept.gittrack("gc", "--now").returncode == 2
    assert kept.gittrack("gc", "--remote", "nowhere").returncode == 1


# -- remotes ---------------------------------------------------------------------------------


@pytest.fixture
def shared(kept: Project, tmp_path: Path) -> Project:
    """The same, with a hub for its runs."""
    kept.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    kept.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    kept.git("push", "-q", "origin", "HEAD")
    return kept


def test_artifacts_go_with_push_and_come_when_asked_for(shared: Project, tmp_path: Path) -> None:
    # Without a remote for them runs go alone, and that is said.
    done = shared.gittrack("push")
    assert (done.returncode, done.stdout) == (0, "1 run went to origin\n")
    assert "large artifacts stay here" in done.stderr
    assert "gittrack remote artifacts add NAME URL" in done.stderr
    assert "stay here" not in shared.gittrack("push", "--no-artifacts").stderr
    added = shared.gittrack("remote", "artifacts", "add", "store", str(tmp_path / "remote"))
    assert added.stdout == "store gets large artifacts of this clone\n"
    assert "put into .gittrack.yaml: artifacts: {remotes: ['store=" in added.stderr
    assert shared.out("remote", "artifacts") == f"* store  {tmp_path / 'remote'}\n"
    out = shared.out("push")
    assert out == "27 objects, 4.05 MB went to store\n0 runs went to origin\n"
    assert shared.out("push", "--artifacts-only") == (
        "0 objects went to store; 27 were there\n"
    )  # fmt: skip

    shared.git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / "b"))
    b = Project(tmp_path / "b")
    b.write(".gittrack.yaml", f"artifacts: {{remotes: ['store={tmp_path / 'remote'}']}}\n")
    assert b.out("pull") == "1 run came from origin\n"
    assert b.out("artifacts", "ls", "one").splitlines()[2].split() == [
        "model.pt", "300", "kB", "not", "here",
    ]  # fmt: skip
    assert "not here: 25 files" in b.out("artifacts", "ls", "one")
    assert b.out("artifacts", "get", "one", "ckpt/sub/03.bin") == "03.bin\n"
    assert (tmp_path / "b" / "03.bin").read_bytes() == b"\x03" * 150_000
    assert b.out("pull", "--artifacts", "--run", "one", "--jobs", "2") == (
        "0 runs came from origin\n25 objects, 3.9 MB came from store; 2 were there\n"
    )
    assert b.gittrack("artifacts", "verify", "one").returncode == 0
    assert b.out("sync", "--artifacts").splitlines()[-1].endswith("27 were there")


def test_what_did_not_get_there_is_named(shared: Project, tmp_path: Path) -> None:
    shared.out("remote", "artifacts", "add", "store", str(tmp_path / "remote"))
    shared.out("push")
    objects = tmp_path / "remote" / "gittrack" / "files" / "md5"
    (large,) = [p for p in objects.rglob("*") if p.is_file() and p.stat().st_size == 300_000]
    large.unlink()
    shared.git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / "b"))
    b = Project(tmp_path / "b")
    b.out("pull")
    b.out("remote", "artifacts", "add", "store", str(tmp_path / "remote"))
    done = b.gittrack("pull", "--artifacts")
    assert done.returncode == 1
    assert "model.pt of run one: it is neither here nor there" in done.stderr
    assert "26 objects" in done.stdout
    # Who has it sends it again.
    assert shared.out("push").startswith("1 object, 300 kB went to store; 26 were there\n")
    assert b.gittrack("pull", "--artifacts").returncode == 0


def test_what_is_damaged_on_either_side_is_replaced_when_asked(
    shared: Project, tmp_path: Path
) -> None:
    shared.out("remote", "artifacts", "add", "store", str(tmp_path / "remote"))
    shared.out("push")
    for top, command in (
        (tmp_path / "remote" / "gittrack", ("push", "--artifacts-only")),
        (Path(shared.path, ".git", "gittrack", "odb"), ("pull", "--artifacts-only")),
    ):
        found = [p for p in top.rglob("*") if p.is_file() and p.stat().st_size == 300_000]
        (large,) = found
        large.chmod(0o644)
        large.write_bytes(b"x" * 300_000)
        assert shared.out(*command).startswith("0 objects")  # of the right size
        assert shared.out(*command, "--repair").startswith("1 object, 300 kB")
        assert large.read_bytes() == b"m" * 300_000


def test_a_remote_that_is_lost_does_not_keep_runs_back(shared: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    shared.out("remote", "artifacts", "add", "store", str(tmp_path / "file"))
    done = shared.gittrack("push")
    assert done.returncode == 1
    assert done.stdout == "1 run went to origin\n"
    assert "error: " in done.stderr
    assert "store" in done.stderr
    done = shared.gittrack("push", "--artifacts-only")
    assert done.returncode == 1
    assert done.stdout == ""
    shared.out("remote", "artifacts", "remove", "store")
    assert shared.gittrack("remote", "artifacts", "remove", "store").returncode == 1


def test_secrets_of_a_remote_are_not_shown(empty: Project) -> None:
    empty.out("remote", "artifacts", "add", "s", "https://ada:hush@example.org/x")
    done = subprocess.run(
        [sys.executable, "-m", "gittrack", "remote", "artifacts", "set", "s", "password", "-"],
        cwd=empty.path, input="very hush\n", capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout == "s has another password in this clone\n"
    assert "very hush" in empty.git("config", "--list")
    for args in (("config",), ("config", "--format", "json"), ("remote", "artifacts")):
        assert "hush" not in empty.out(*args)


@pytest.mark.parametrize(
    "args",
    [
        ("remote", "artifacts", "add", "x"),
        ("remote", "artifacts", "what"),
        ("remote", "artifacts", "add", "a b", "s3://x"),
        ("remote", "share", "origin", "more"),
        ("push", "--jobs", "0"),
        ("push", "--artifacts-only", "--no-artifacts"),
        ("pull", "--no-artifacts"),
    ],
)
def test_what_no_remote_can_be_told(empty: Project, args: tuple[str, ...]) -> None:
    assert empty.gittrack(*args).returncode == 2


def test_a_progress_bar_is_for_those_who_watch(shared: Project, tmp_path: Path) -> None:
    shared.out("remote", "artifacts", "add", "store", str(tmp_path / "remote"))
    watcher, stderr = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "gittrack", "push", "--artifacts-only"],
        cwd=shared.path, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        stdout=subprocess.PIPE, stderr=stderr, check=True,
    )  # fmt: skip
    os.close(stderr)
    said = os.read(watcher, 1 << 16).decode()
    os.close(watcher)
    assert re.search(r"\[#*\.*\] sent 27 of 27 objects, 4\.05 MB of 4\.05 MB", said)
    assert done.stdout == b"27 objects, 4.05 MB went to store\n"


def test_a_plain_git_push_says_once_that_it_carries_no_large_ones(shared: Project) -> None:
    shared.out("remote", "share", "origin")

    def push(branch: str) -> str:
        done = subprocess.run(
            ["git", "push", "-q", "origin", f"HEAD:refs/heads/{branch}"], cwd=shared.path,
            capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        return done.stderr

    said = "gittrack: large artifacts do not go along with git push; next: gittrack push\n"
    assert said in push("one")
    shared.out("run", "--name", "two", "--", "true")
    assert "large" not in push("two")
