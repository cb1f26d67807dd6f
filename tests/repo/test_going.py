"""Runs that go on are committed as far as they are, and their end adds only what is new."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gittrack.core import codec
from gittrack.core.model import LOST, RUNNING
from gittrack.repo import Repo
from tests.repo.test_sync import REF, ROOT, clones, names
from tests.support import GitRepo

SCRIPT = """
import sys, gittrack
run = gittrack.start_run(run_name="long")
gittrack.log_param("a", 1)
print(run.id, flush=True)
step = 0
for line in sys.stdin:
    if line == "end\\n":
        break
    if line.startswith("param"):
        gittrack.log_param("b", 2)
    else:
        gittrack.log_metric("m", float(line)); gittrack.log_metric("n", 1)
    print("done", flush=True)
gittrack.log_text("x", "out.txt")
gittrack.end_run()
"""


class Training:
    """A script that does what it is told, a line at a time."""

    def __init__(self, repo: GitRepo, **env: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT], cwd=repo.path, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": ROOT, **env},
        )  # fmt: skip
        self.run_id = self.answer()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        if line != "end":
            assert self.answer() == "done"

    def end(self) -> None:
        self.tell("end")
        self.close()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.wait(30)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[GitRepo, GitRepo]]:
    a, b = clones(tmp_path, 2)
    for repo in (a, b):
        with Repo.find(repo.path, {}) as opened:
            opened.share_remote()
    yield a, b


def segments(repo: GitRepo) -> dict[str, list[codec.Row]]:
    listed = repo.git("ls-tree", "-r", "--name-only", REF).splitlines()
    paths = [path for path in listed if "/metrics/" in path]
    return {
        path: list(codec.decode_rows(repo.git("show", f"{REF}:{path}").encode() + b"\n"))
        for path in paths
    }


def push(repo: GitRepo) -> None:
    with Repo.find(repo.path, {}) as opened:
        opened.push("origin")


def push_what_goes_on(repo: GitRepo) -> None:
    """Push until the run is there: its environment may still be read at first."""
    for _ in range(100):
        push(repo)
        if repo.git("for-each-ref", REF) and "run" in repo.git("log", "--format=%s", REF):
            return
    raise AssertionError("the run was not committed")


def test_a_run_that_goes_on_is_shared_as_far_as_it_is(pair: tuple[GitRepo, GitRepo]) -> None:
    a, b = pair
    training = Training(a)
    for value in (1, 2, 3):
        training.tell(str(value))
    push_what_goes_on(a)
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
        run = two.get_run("long")
        # Whether it still goes on only the machine that has its journal can tell.
        assert (run.status, run.metrics["m"].last, run.params) == (LOST, 3, {"a": 1})
        two.set_tags([run], {"seen": "by b"})
        two.push("origin")
    with Repo.find(a.path, {}) as one:
        one.pull("origin")
        run = one.get_run("long")
        assert (run.status, run.metrics["m"].count, run.tags) == (RUNNING, 3, {"seen": "by b"})
        assert len(one.get_metric_history("long", "m")) == 3
    training.tell("4")
    training.tell("param")
    with Repo.find(a.path, {}) as one:
        run = one.get_run("long")
        assert (run.metrics["m"].count, run.metrics["m"].last, run.params["b"]) == (4, 4, 2)
        assert one.search_runs("metrics.m = 4 and tags.seen = 'by b'")[0].id == training.run_id
        one.push("origin")
        # Twice is the same as once.
        before = a.git("rev-parse", REF)
        one.push("origin")
        assert a.git("rev-parse", REF) == before
    training.tell("5")
    training.end()
    push(a)
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
        run = two.get_run("long")
        assert (run.status, run.metrics["m"].count, run.metrics["n"].count) == ("finished", 5, 5)
        assert (run.tags, run.conflicts, run.params) == ({"seen": "by b"}, (), {"a": 1, "b": 2})
        assert two.read_artifact("long", "out.txt") == b"x"
        assert two.get_source(run).commit is not None and run.commit is not None
    # Three commits of points, none of them twice.
    found = segments(b)
    rows = [row for some in found.values() for row in some]
    assert len(found) == 3 and len(rows) == len(set(rows)) == 10
    # Nothing of it is left here.
    assert os.listdir(os.path.join(a.path, ".git", "gittrack", "journal")) in (
        [".environments"], [".alive", ".environments"], [".environments", ".alive"],
    )  # fmt: skip


def test_a_run_that_dies_after_it_was_shared_is_recovered_whole(
    pair: tuple[GitRepo, GitRepo],
) -> None:
    a, b = pair
    training = Training(a)
    training.tell("1")
    push_what_goes_on(a)
    training.tell("2")
    training.process.send_signal(signal.SIGKILL)
    training.close()
    push(a)
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
        run = two.get_run("long")
        assert (run.status, run.metrics["m"].count) == ("killed", 2)
    rows = [row for some in segments(b).values() for row in some]
    assert len(rows) == len(set(rows)) == 4


def test_what_is_still_being_read_is_waited_for(pair: tuple[GitRepo, GitRepo]) -> None:
    """The source is written once: a run is not committed before it is known."""
    a, _ = pair
    a.write("a.txt", "changed\n")
    slow = Path(a.path).parent / "slow"
    slow.mkdir()
    # git itself is slow to hash what changed.
    (slow / "git").write_text(
        '#!/bin/sh\ncase " $* " in *" add "*) while [ ! -e go ]; do sleep 0.05; done;; esac\n'
        f'exec {subprocess.check_output(["which", "git"], text=True).strip()} "$@"\n'
    )
    (slow / "git").chmod(0o755)
    training = Training(a, PATH=f"{slow}:{os.environ['PATH']}")
    training.tell("1")
    push(a)
    assert a.git("for-each-ref", REF) == "" or "long" not in a.git("log", "--format=%s", REF)
    Path(a.path, "go").touch()
    training.tell("2")
    training.end()
    push(a)
    with Repo.find(a.path, {}) as one:
        run = one.get_run("long")
        assert run.dirty and run.conflicts == () and run.metrics["m"].count == 2
        assert one.get_source(run).files == ("a.txt",)


def test_steps_of_a_script_are_shared_too(pair: tuple[GitRepo, GitRepo]) -> None:
    a, b = pair
    env = {**os.environ, "PYTHONPATH": ROOT}

    def gittrack(*args: str) -> str:
        command = [sys.executable, "-m", "gittrack", *args]
        return subprocess.check_output(command, cwd=a.path, env=env, text=True).strip()

    env["GITTRACK_RUN_ID"] = gittrack("start", "--name", "script")
    for value in ("1", "2"):
        gittrack("metric", f"m={value}")
        push(a)
    gittrack("finish")
    push(a)
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
        run = two.get_run("script")
        assert (run.status, run.metrics["m"].count, run.metrics["m"].last) == ("finished", 2, 2)
    rows = [row for some in segments(b).values() for row in some]
    assert len(rows) == len(set(rows)) == 2


def test_a_timer_commits_a_long_run_while_it_goes_on(pair: tuple[GitRepo, GitRepo]) -> None:
    a, _ = pair
    training = Training(a, GITTRACK_SEAL_EVERY_S="0.2")
    training.tell("1")
    for _ in range(200):
        if a.sh(f"git ls-tree -r --name-only {REF} 2>/dev/null | grep metrics/ || true"):
            break
        training.tell("2")
    assert any(segments(a).values())
    count = sum(len(rows) for rows in segments(a).values())
    training.tell("3")
    training.end()
    with Repo.find(a.path, {}) as one:
        assert one.get_run("long").status == "finished"
    rows = [row for some in segments(a).values() for row in some]
    assert len(rows) == len(set(rows)) > count
    assert names(a) == {"long"}
