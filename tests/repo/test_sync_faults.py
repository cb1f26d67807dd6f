"""A disk that takes nothing, a store that cannot be written, a process that dies: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.repo import Repo
from tests.repo.test_remotes_go_wrong import shared
from tests.repo.test_sync import REF, ROOT, names, record, tip
from tests.support import GitRepo


def limited(repo: GitRepo, blocks: int, *args: str) -> subprocess.CompletedProcess[str]:
    """A gittrack command on a disk that takes no file of more than so many blocks of 1 KB."""
    command = f'ulimit -f {blocks}; exec "{sys.executable}" -m gittrack {" ".join(args)}'
    return subprocess.run(
        ["bash", "-c", command], cwd=repo.path, env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def whole(repo: GitRepo) -> None:
    """git finds nothing wrong, and nothing half-written lies about once git has tidied up."""
    repo.git("prune")
    assert repo.git("fsck", "--strict", "--no-dangling") == ""
    pack = Path(repo.path, ".git", "objects", "pack")
    assert [path.name for path in pack.iterdir() if path.name.startswith("tmp_")] == []


@pytest.mark.parametrize("blocks", [pytest.param(0, marks=pytest.mark.deep), 1])
def test_a_full_disk_refuses_a_pull_and_leaves_ours_as_it_was(tmp_path: Path, blocks: int) -> None:
    a, b = shared(tmp_path)
    record(b, "mine")
    for number in range(20):
        record(a, f"more{number}")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    before = tip(b)
    done = limited(b, blocks, "pull", "origin")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert tip(b) == before
    with Repo.find(b.path, {}) as two:
        assert two.pull("origin").received == 20
    assert len(names(b)) == 23
    whole(b)


def test_a_full_disk_refuses_the_join_of_what_was_fetched(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    record(a, "theirs")
    record(b, "mine")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    b.git("fetch", "-q")
    before = tip(b)
    done = limited(b, 0, "sync", "origin")
    assert done.returncode == 1 and "error: " in done.stderr
    assert tip(b) == before
    # Reading shows both all the same, though it can write nothing down.
    done = limited(b, 0, "log", "--format", "%s")
    assert set(done.stdout.split()) == {"one", "two", "theirs", "mine"}
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
    assert names(b) == {"one", "two", "theirs", "mine"}
    whole(b)


def test_a_repository_that_cannot_be_written_shows_what_was_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = shared(tmp_path)
    record(a, "theirs")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    b.git("fetch", "-q")
    before = b.git("for-each-ref")
    monkeypatch.setattr(Repo, "_can_write", lambda self: False)
    assert names(b) == {"one", "two", "theirs"}
    assert b.git("for-each-ref") == before


SYNC = """
import sys
from gittrack.repo import Repo
with Repo.find() as repo:
    print("go", flush=True)
    for _ in range(50):
        repo.pull("origin")
        repo.set_tags([repo.get_run("one")], {"n": str(_)})
        repo.push("origin")
"""


@pytest.mark.parametrize("seed", range(4))
def test_a_sync_that_is_killed_anywhere_is_taken_up_again(tmp_path: Path, seed: int) -> None:
    a, b = shared(tmp_path)
    record(a, "mine")
    process = subprocess.Popen(
        [sys.executable, "-c", SYNC], cwd=a.path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": ROOT}, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "go\n"
    try:
        process.wait(0.15 + 0.13 * seed)
    except subprocess.TimeoutExpired:
        # With its git, as a machine that goes down.
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for lock in Path(a.path, ".git", "refs", "gittrack").rglob("*.lock"):
        lock.unlink()  # git's own, of a git that was killed: git says so, and what to do
    with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
        one.push("origin")
        two.pull("origin")
        assert one.get_run("one").tags == two.get_run("one").tags
    assert names(a) == names(b) == {"one", "two", "mine"}
    assert tip(a) == tip(b) == GitRepo(tmp_path / "hub.git").git("rev-parse", REF)
