"""Standard streams that are full, closed or read by nobody."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Project, environment

COMMAND = f"'{sys.executable}' -m gittrack"


@pytest.fixture
def project(project: Project) -> Project:
    project.out("run", "--name", "one", "--", "true")
    return project


def shell(project: Project, script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script], cwd=project.path, env=environment(), capture_output=True, encoding="utf-8",
        check=False, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize("words", ["log", "log --format jsonl", "show one", "--version"])
def test_a_full_disk_behind_standard_output_is_an_error(project: Project, words: str) -> None:
    done = shell(project, f"{COMMAND} {words} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == (
        "error: standard output could not be written\n"
        "why:   No space left on device\n"
        "next:  df -h\n"
    )


@pytest.mark.parametrize("how", ["2>/dev/full", "2>&-"])
def test_what_cannot_be_said_changes_no_exit_code(project: Project, how: str) -> None:
    assert shell(project, f"{COMMAND} log {how}").returncode == 0
    assert shell(project, f"{COMMAND} nonsense {how}").returncode == 2
    assert shell(project, f"{COMMAND} show nosuch {how}").returncode == 1
    assert shell(project, f"{COMMAND} run -- sh -c 'exit 7' {how}").returncode == 7


def test_a_closed_standard_output_takes_everything(project: Project) -> None:
    done = shell(project, f"{COMMAND} log >&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_who_has_seen_enough_is_no_error(project: Project) -> None:
    done = shell(project, f"{COMMAND} log | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")
