from __future__ import annotations

import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest

from tests import conftest
from tests.support import GitRepo


def test_git_sees_the_sealed_identity_and_date_alone(repo: GitRepo, sealed: Path) -> None:
    repo.write("a/b.txt", "x\n")
    repo.commit("first")
    shown = repo.git("log", "-1", "--format=%an|%ae|%cn|%ad|%s|%D", "--date=raw")
    assert shown == f"Ada Tester|ada@example.com|Ada Tester|{conftest.DATE}|first|HEAD -> main"
    origins = repo.git("config", "--list", "--show-origin", "--name-only").splitlines()
    files = {line.split("\t")[0] for line in origins}
    assert files == {f"file:{sealed}/.gitconfig", "file:.git/config"}


def test_a_script_stops_at_its_first_failure(repo: GitRepo) -> None:
    assert repo.sh("echo one; echo two") == "one\ntwo"
    with pytest.raises(AssertionError, match="ended with 1"):
        repo.sh("false; echo never")
    with pytest.raises(AssertionError, match="unset"):
        repo.sh('echo "$unset"')


def test_opening_the_real_home_fails_even_if_the_error_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = conftest.GUARD
    monkeypatch.setattr(guard, "home", f"{tmp_path}/ada/")
    monkeypatch.setattr(guard, "allowed", (f"{tmp_path}/ada/src/",))
    # Paths in pytest's own temporary folder are let through until here.
    for touch in (
        lambda: Path(f"{tmp_path}/ada/.gitconfig").read_text(),
        lambda: os.mkdir(f"{tmp_path}/ada/.gittrack"),
        lambda: os.listdir(f"{tmp_path}/ada"),
        lambda: os.replace(f"{tmp_path}/x", f"{tmp_path}/ada/x"),
    ):
        with pytest.raises(conftest.RealHomeTouched):
            touch()
    with pytest.raises(FileNotFoundError):
        Path(f"{tmp_path}/ada/src/x.py").read_text()
    with pytest.raises(FileNotFoundError):
        Path(f"{tmp_path}/adam").read_text()
    assert len(guard.touched) == 4
    guard.touched.clear()


def test_the_guard_knows_the_home_of_this_user() -> None:
    home = pwd.getpwuid(os.getuid()).pw_dir
    assert conftest.real_home() == home
    assert conftest.GUARD.home == home + "/"
    assert conftest.GUARD.active


def test_libgit2_reads_the_sealed_home_whenever_it_was_imported(repo: GitRepo) -> None:
    import pygit2

    conftest._seal_libgit2(Path(os.environ["HOME"]))
    config = pygit2.Repository(repo.path).config
    assert config["user.email"] == conftest.EMAIL
    assert config["init.defaultBranch"] == "main"


def test_programs_started_by_a_test_live_in_the_sealed_world(sealed: Path) -> None:
    code = "import os, time; print(os.path.expanduser('~'), time.tzname[0])"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert printed == f"{sealed} UTC\n"
