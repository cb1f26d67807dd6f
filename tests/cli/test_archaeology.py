"""`blame` and `bisect` as people use them: their pages, and what they leave behind."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gittrack.store.linked import FOLDER
from tests.cli.conftest import Project, environment
from tests.cli.stores import build_history
from tests.cli.test_golden import call
from tests.support import started

#: Two levels, an outlier, a value that is none, commits without runs.
VALUES = [
    [0.91, 0.92],
    [0.91],
    [0.90],
    [0.2],
    [0.91],
    [],
    [0.84],
    [0.83, 0.84],
    [float("nan")],
    [0.84],
]
NOT_MUCH = [[0.91], [], [], [], [0.84]]
PAGES: dict[str, list[list[str]]] = {
    "levels": [
        ["blame", "acc"],
        ["blame", "acc", "--format", "json"],
        ["blame", "acc", "HEAD~4"],
        ["blame", "acc", "--where", "params.rate < 0.2"],
        ["bisect", "HEAD~9..HEAD", "--where", "metrics.acc < 0.9"],
        ["bisect", "HEAD~9..HEAD", "--where", "metrics.acc < 0.9 and params.rate > 0.2"],
        ["bisect", "HEAD~9..HEAD", "--where", "metrics.acc < 0.9", "--format", "json"],
        ["bisect", "HEAD..HEAD~9", "--where", "metrics.acc < 0.9"],
        ["bisect", "HEAD~9..HEAD", "--where", "metrics.acc > 0.9"],
        ["bisect", "HEAD", "HEAD~1", "--where", "metrics.acc > 0.9"],
        ["bisect", "nowhere..HEAD", "--where", "metrics.acc > 0.9"],
        ["bisect", "try-1..HEAD", "--where", "metrics.acc > 0.9"],
        ["bisect", "HEAD~9..HEAD", "--where", "metrics.accc < 0.9"],
        ["bisect", "HEAD~9..HEAD", "--where", " "],
        ["bisect", "HEAD~9..HEAD", "--where", "metrics.acc < 0.9", "--run"],
    ],
    "gaps": [
        ["blame", "acc"],
        ["bisect", "HEAD~4..HEAD", "--where", "metrics.acc < 0.9"],
        ["bisect", "HEAD~4..HEAD", "--where", "metrics.acc < 0.9", "-n", "--run", "make", "-5"],
    ],
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_pages(
    page: str,
    tmp_path: Path,
    golden: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = VALUES if page == "levels" else NOT_MUCH
    project = build_history(tmp_path / "repo", values)
    monkeypatch.chdir(project.path)
    monkeypatch.setenv("COLUMNS", "80")

    def sections() -> Iterator[str]:
        for args in PAGES[page]:
            code, out, err = call(args, monkeypatch)
            # A command to type is never cut.
            cut = [line for line in out.splitlines() if "next: " not in line and "json" not in args]
            assert all(len(line) <= 80 for line in cut), out
            said = "".join(f"[stderr] {line}\n" for line in err.splitlines())
            yield f"$ gittrack {' '.join(args)}\n{out}{said}[exit {code}]\n\n"

    golden(f"archaeology-{page}.txt", "".join(sections()))


# -- with --run ------------------------------------------------------------------------------

TRAIN = """\
import gittrack
with gittrack.start_run():
    gittrack.log_metric("acc", {acc})
"""


@pytest.fixture
def history(empty: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Five commits; from work 3 on `acc` is lower. Some of the user's own work lies about."""
    monkeypatch.setenv("GITTRACK_ENVIRONMENT_CAPTURE", "false")
    for at in range(5):
        empty.write("train.py", TRAIN.format(acc=0.9 if at < 3 else 0.8) + f"# {at}\n")
        empty.commit(f"work {at}")
    empty.write("train.py", "my edit\n")
    empty.write("staged.py", "mine\n")
    empty.git("add", "staged.py")
    for hook in ("post-checkout", "post-commit"):
        path = empty.write(f".git/hooks/{hook}", f"#!/bin/sh\ntouch '{empty.path}/hook-fired'\n")
        os.chmod(path, 0o755)
    return empty


def state(project: Project) -> str:
    """All of the user's that must stay as it is."""
    return project.sh(
        "git status --porcelain=v2 --branch; git worktree list; git branch -a; git stash list;"
        " git ls-files --stage; cat train.py; ls -A; ls .git"
    ).replace("\ngittrack\n", "\n")  # fmt: skip


RANGE = ["HEAD~4..HEAD", "--where", "metrics.acc < 0.85"]


def bisect(project: Project, *more: str, **env: str) -> subprocess.CompletedProcess[str]:
    return project.gittrack("bisect", *RANGE, *more, **env)


def left_behind(project: Project) -> list[str]:
    folder = os.path.join(project.path, ".git", FOLDER)
    return os.listdir(folder) if os.path.isdir(folder) else []


def test_what_is_missing_is_run_and_nothing_is_left(history: Project) -> None:
    before = state(history)
    done = bisect(history, "--format", "json", "--run", sys.executable, "train.py")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["first_bad"]["subject"] == "work 3"
    assert found["values"] == {"metrics.acc": {"before": 0.9, "after": 0.8}}
    assert [item["path"] for item in found["files"]] == ["train.py"]
    assert found["tried"] == 2 and "is good\n" in done.stderr
    # A program that logs by itself, and `gittrack run` around it, are one run.
    runs = [json.loads(line) for line in history.out("log", "--format", "jsonl").splitlines()]
    assert len(runs) == 2 and not any(run["dirty"] for run in runs)
    assert {run["commit"] for run in runs} <= {*history.git("rev-list", "HEAD").split()}
    assert state(history) == before and not left_behind(history)
    # Now all is known: nothing is run, and whatever would be does not matter.
    again = bisect(history, "--run", "false")
    assert again.returncode == 0 and "work 3" in again.stdout and not again.stderr


def test_results_in_files_count_and_output_goes_to_standard_error(history: Project) -> None:
    script = "grep -o '0\\.[0-9]' train.py | sed 's/.*/{\"acc\": &}/' > metrics.json; echo noise"
    done = bisect(history, "--", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    assert "noise" in done.stderr and "noise" not in done.stdout
    assert "    work 3" in done.stdout


def test_what_cannot_be_tried_is_skipped(history: Project) -> None:
    done = bisect(history, "--run", "sh", "-c", "grep -q '# [13]' train.py && exit 125; exit 3")
    assert done.returncode == 5, done.stderr
    assert "any of 4 may be the first bad commit" in done.stdout
    assert done.stdout.count("skipped: its run ended with 125") == 2
    assert done.stdout.count("skipped: its run ended with 3") == 1
    assert "next:" not in done.stdout
    done = bisect(history, "--max-runs", "1", "--run", "true")
    assert "its run has no metric acc" in done.stderr
    assert "--run true" in done.stdout and "next:" in done.stdout


@pytest.mark.parametrize("command, code", [(["nowhere"], 127), (["sh", "-c", "exit 200"], 200)])
def test_some_ends_stop_the_search(history: Project, command: list[str], code: int) -> None:
    before = state(history)
    done = bisect(history, "--run", *command)
    assert done.returncode == 1
    assert f"error: the program ended with {code} at" in done.stderr
    assert state(history) == before and not left_behind(history)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_search_leaves_nothing(history: Project, number: int) -> None:
    before = state(history)
    script = "git rev-parse --show-toplevel >&2; echo up >&2; exec sleep 60"
    with started(
        [sys.executable, "-m", "gittrack", "bisect", *RANGE, "--run", "sh", "-c", script],
        cwd=history.path, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        lines = list(itertools.takewhile(lambda line: line != b"up\n", process.stderr))
        assert any(b"laid-out" in line for line in lines)
        assert len(history.git("worktree", "list").splitlines()) == 2
        process.send_signal(number)
        assert process.wait(30) == (130 if number == signal.SIGINT else -number)
    assert state(history) == before and not left_behind(history)
    assert json.loads(history.out("log", "--format", "jsonl"))["status"] == "killed"


def test_what_a_killed_search_leaves_is_taken_away_by_the_next(history: Project) -> None:
    before = state(history)
    script = "mkdir locked; touch locked/a; chmod 500 locked; kill -9 $(ps -o ppid= $PPID)"
    assert bisect(history, "--run", "sh", "-c", script).returncode == -9
    assert left_behind(history)
    assert bisect(history, "--max-runs", "0", "--run", "true").returncode == 5
    assert state(history) == before and not left_behind(history)


def test_it_works_in_a_bare_repository_and_from_a_linked_worktree(
    history: Project, tmp_path: Path
) -> None:
    bare = Project(tmp_path / "bare.git")
    history.git("clone", "-q", "--bare", ".", bare.path)
    done = bisect(bare, "--run", sys.executable, "train.py")
    assert done.returncode == 0 and "    work 3" in done.stdout, done.stderr
    assert len(bare.git("worktree", "list").splitlines()) == 1
    history.git("worktree", "add", "-q", "--detach", "../linked")
    linked = Project(tmp_path / "linked")
    done = bisect(linked, "--run", sys.executable, "train.py", GITTRACK_REPO=history.path)
    assert done.returncode == 0 and "    work 3" in done.stdout, done.stderr
    assert len(history.git("worktree", "list").splitlines()) == 2


def test_options_of_the_program_are_its_own(history: Project) -> None:
    done = bisect(history, "--max-runs", "1", "--run", "echo", "-5", "--where", "--", "--help")
    assert "-5 --where -- --help\n" in done.stderr


def test_without_commits_there_is_nothing_to_ask(tmp_path: Path) -> None:
    project = Project(Project.create(tmp_path / "repo").path)
    project.python("import gittrack\nwith gittrack.start_run(): gittrack.log_metric('acc', 1)\n")
    for args in (["blame", "acc"], ["bisect", "HEAD", "--where", "metrics.acc < 1"]):
        done = project.gittrack(*args)
        assert (done.returncode, done.stderr.splitlines()[0]) == (
            1,
            "error: there is no commit yet",
        )


def test_a_shallow_clone_says_so(tmp_path: Path) -> None:
    project = build_history(tmp_path / "repo", VALUES)
    clone = Project(tmp_path / "clone")
    project.git("clone", "-q", "--depth", "4", f"file://{project.path}", clone.path)
    clone.git("fetch", "-q", "origin", "refs/gittrack/store/*:refs/gittrack/store/*")
    done = clone.gittrack("blame", "acc")
    assert "acc shows no shift" in done.stdout
    assert "6 runs were recorded at commits that are not in this repository" in done.stderr
    assert "git fetch --unshallow" in done.stderr
