"""Runs that travel as files: bundles, copied repositories, copied journals."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.cli import main as cli
from gittrack.errors import BundleError, UnsafeStoreError
from gittrack.repo import Repo
from tests.repo.test_remotes_go_wrong import poisoned
from tests.repo.test_sources import has
from tests.repo.test_sync import REF, ROOT, clones, names, record, tip
from tests.support import GitRepo


def apart(tmp_path: Path) -> tuple[GitRepo, GitRepo]:
    """A cluster and a home that no network joins; both have the code."""
    home, cluster = clones(tmp_path, 2)
    cluster.git("remote", "remove", "origin")
    return home, cluster


def test_runs_come_home_in_a_file_and_twice_is_once(tmp_path: Path) -> None:
    home, cluster = apart(tmp_path)
    record(home, "mine")
    record(cluster, "theirs")
    file = str(tmp_path / "-runs.bundle")
    with Repo.find(cluster.path, {}) as far, Repo.find(home.path, {}) as near:
        assert far.create_bundle(file).runs == 1
        assert near.apply_bundle(file).runs == 1
        after = tip(home)
        assert near.apply_bundle(file).runs == 0
        assert tip(home) == after
        assert names(home) == {"mine", "theirs"}
        # And back, and then nothing is left to carry.
        near.create_bundle(file)
        assert far.apply_bundle(file).runs == 1
        near.apply_bundle(file)
    assert tip(home) == tip(cluster)
    assert home.git("fsck", "--strict") == ""
    assert not os.path.exists(os.path.join(home.path, ".git", "FETCH_HEAD"))


def test_a_bundle_since_another_holds_what_is_new(tmp_path: Path) -> None:
    home, cluster = apart(tmp_path)
    for number in range(30):
        record(cluster, f"old{number}") if number < 3 else None
    first, second = str(tmp_path / "1"), str(tmp_path / "2")
    with Repo.find(cluster.path, {}) as far:
        assert far.create_bundle(first).runs == 3
        assert far.create_bundle(second, since=first).is_empty
        assert not os.path.exists(second)
    old = tip(cluster)
    record(cluster, "new")
    for since in (first, old, "1.year.ago"):
        with Repo.find(cluster.path, {}) as far:
            done = far.create_bundle(second, since=since)
            assert done.runs == (4 if since == "1.year.ago" else 1)
    with Repo.find(cluster.path, {}) as far:
        far.create_bundle(second, since=first)
    with Repo.find(home.path, {}) as near:
        with pytest.raises(BundleError, match="builds on commits that are not here"):
            near.apply_bundle(second)
        assert near.apply_bundle(first).runs == 3
        assert near.apply_bundle(second).runs == 1
    assert names(home) == {"old0", "old1", "old2", "new"}


def test_what_runs_stand_on_comes_along(tmp_path: Path) -> None:
    home, cluster = apart(tmp_path)
    cluster.write("a.txt", "other\n")
    base = cluster.commit("never pushed")
    record(cluster, "there")
    file = str(tmp_path / "runs.bundle")
    with Repo.find(cluster.path, {}) as far:
        far.create_bundle(file)
    assert not has(home, base)
    with Repo.find(home.path, {}) as near:
        near.apply_bundle(file)
        near.checkout(near.get_run("there"), str(tmp_path / "out"))
    assert (tmp_path / "out" / "a.txt").read_text() == "other\n"
    with Repo.find(cluster.path, {}) as far:
        far.create_bundle(file, sources=False)
    assert subprocess.check_output(["git", "bundle", "list-heads", file], text=True).split() == [
        tip(cluster), REF,
    ]  # fmt: skip


def test_files_that_are_no_bundle_of_runs(tmp_path: Path) -> None:
    home, cluster = apart(tmp_path)
    record(home, "mine")
    before = tip(home)
    record(cluster, "theirs")
    good = tmp_path / "good"
    with Repo.find(cluster.path, {}) as far:
        far.create_bundle(str(good))
    data = good.read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    (tmp_path / "flipped").write_bytes(data[:-200] + bytes([data[-200] ^ 1]) + data[-199:])
    (tmp_path / "text").write_text("no bundle\n")
    cluster.git("bundle", "create", "-q", str(tmp_path / "code"), "HEAD")
    with Repo.find(home.path, {}) as near:
        for name, why in (
            ("cut", "cannot be read"), ("flipped", "cannot be read"), ("text", "is no bundle"),
            ("code", "holds no runs"), ("nosuch", "there is no file"),
        ):  # fmt: skip
            with pytest.raises(BundleError, match=why):
                near.apply_bundle(str(tmp_path / name))
    evil = poisoned(cluster, tip(cluster))
    cluster.git("update-ref", REF, evil)
    cluster.git("bundle", "create", "-q", str(tmp_path / "evil"), REF)
    with Repo.find(home.path, {}) as near, pytest.raises(UnsafeStoreError):
        near.apply_bundle(str(tmp_path / "evil"))
    assert tip(home) == before and names(home) == {"mine"}


def test_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    home, cluster = apart(tmp_path)
    file = str(tmp_path / "runs.bundle")
    monkeypatch.chdir(cluster.path)
    assert cli.main(["bundle", "create", file]) == 0
    assert "nothing was written" in capfd.readouterr().err
    record(cluster, "theirs")
    assert cli.main(["bundle", "create", file]) == 0
    assert capfd.readouterr().out == f"wrote 1 run to {file}\n"
    assert cli.main(["bundle", "create", str(tmp_path / "no" / "folder")]) == 1
    assert "error:" in capfd.readouterr().err
    monkeypatch.chdir(home.path)
    assert cli.main(["bundle", "apply", file]) == 0
    assert capfd.readouterr().out == f"1 run came from {file}\n"
    assert cli.main(["bundle", "apply", file, "--since", "x"]) == 2


# -- copies ----------------------------------------------------------------------------------

GO_ON = """
import sys, gittrack
with gittrack.start_run(run_id=sys.argv[1]) as run:
    for _ in range(3):
        gittrack.log_metric("m", float(sys.argv[2]))
"""


def go_on(repo: GitRepo, run_id: str, value: int) -> None:
    subprocess.run(
        [sys.executable, "-c", GO_ON, run_id, str(value)], cwd=repo.path, check=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip


def points(repo: GitRepo, run_id: str) -> list[float]:
    with Repo.find(repo.path, {}) as opened:
        return sorted(m.value for m in opened.get_metric_history(run_id, "m"))


def test_a_run_resumed_on_two_machines_keeps_every_point_of_both(tmp_path: Path) -> None:
    home, cluster = apart(tmp_path)
    run_id = record(home, "both")
    file = str(tmp_path / "runs.bundle")
    with Repo.find(home.path, {}) as near:
        near.create_bundle(file)
    with Repo.find(cluster.path, {}) as far:
        far.apply_bundle(file)
    go_on(home, run_id, 10)
    go_on(cluster, run_id, 20)
    with Repo.find(cluster.path, {}) as far:
        far.create_bundle(file)
    with Repo.find(home.path, {}) as near:
        near.apply_bundle(file)
        run = near.get_run(run_id)
        assert (run.status, run.metrics["m"].count) == ("finished", 7)
        assert run.conflicts == ()
    assert points(home, run_id) == [1, 10, 10, 10, 20, 20, 20]


def test_a_copied_repository_goes_on_as_another_clone(tmp_path: Path) -> None:
    home, _ = apart(tmp_path)
    run_id = record(home, "one")
    shutil.copytree(home.path, tmp_path / "copy", symlinks=True)
    copy = GitRepo(tmp_path / "copy")
    go_on(home, run_id, 10)
    go_on(copy, run_id, 20)
    record(copy, "only there")
    writers = {path.split("/")[-1] for repo in (home, copy) for path in segments(repo, run_id)}
    copy.git("bundle", "create", "-q", str(tmp_path / "b"), REF)
    with Repo.find(home.path, {}) as near:
        near.apply_bundle(str(tmp_path / "b"))
    assert {path.split("/")[-1] for path in segments(home, run_id)} == writers
    assert len(writers) == 3
    assert points(home, run_id) == [1, 10, 10, 10, 20, 20, 20]
    assert names(home) == {"one", "only there"}


def segments(repo: GitRepo, run_id: str) -> list[str]:
    listed = repo.git("ls-tree", "-r", "--name-only", REF).splitlines()
    return [path for path in listed if f"{run_id}/metrics/" in path]


HANG = """
import os, signal, gittrack
run = gittrack.start_run(run_name="long")
for step in range(3):
    gittrack.log_metric("m", 100.0 + step)
print(run.id, flush=True)
signal.pause()
"""


def test_a_copied_journal_is_taken_over_there_and_the_run_goes_on_in_both(tmp_path: Path) -> None:
    """rsync of a running run's journal to another machine; the first goes on, and so does a copy."""
    home, cluster = apart(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", HANG], cwd=cluster.path, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert process.stdout is not None
    run_id = process.stdout.readline().strip()
    copied = tmp_path / "copied"
    shutil.copytree(Path(cluster.path, ".git", "gittrack", "journal"), copied)
    with Repo.find(home.path, {}) as near:
        assert [item.run_id for item in near.recover(str(copied)).recovered] == [run_id]
    go_on(home, run_id, 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    go_on(cluster, run_id, 2)
    cluster.git("bundle", "create", "-q", str(tmp_path / "b"), REF)
    with Repo.find(home.path, {}) as near:
        near.apply_bundle(str(tmp_path / "b"))
        assert near.get_run(run_id).metrics["m"].count == 9
    assert points(home, run_id) == [1, 1, 1, 2, 2, 2, 100, 101, 102]
