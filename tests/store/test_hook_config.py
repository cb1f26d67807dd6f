"""Hooks that git's configuration names, where `core.hooksPath` leads elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gittrack.repo.hints import COMMIT, REWRITE, read_hints
from gittrack.store import hookconfig, hooks
from gittrack.store.git import Git
from gittrack.store.hooks import Hook
from gittrack.store.paths import RepoPaths
from tests.store.desk import NAME, Desk, git_of, hook_of, make_program
from tests.support import GitRepo

IS_REAL = hookconfig.is_supported(Git(RepoPaths("/", "/", None)))


@pytest.fixture
def elsewhere(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A clone whose hooks lie in its worktree, and a git that runs those of its configuration."""
    monkeypatch.setattr(hookconfig, "is_supported", lambda git: True)
    desk.repo.git("config", "core.hooksPath", "team-hooks")
    return desk


def states(repo: GitRepo) -> dict[str, str]:
    return {hook.name: hook.state for hook in hooks.status(*git_of(repo))}


def started(desk: Desk, name: str, *args: str) -> subprocess.CompletedProcess[bytes]:
    """Start what stands in the configuration as git does; source: run-command.c."""
    command = desk.repo.git("config", f"hook.gittrack-{name}.command")
    return subprocess.run(
        ["sh", "-c", f'{command} "$@"', command, *args], cwd=desk.repo.path,
        input=b"HEAD 1 refs/heads/main 2\n", capture_output=True, check=False,
    )  # fmt: skip


def test_they_are_named_there_and_nothing_is_left_of_it(elsewhere: Desk) -> None:
    repo = elsewhere.repo
    config = Path(repo.path, ".git/config")
    before = config.read_bytes()
    assert set(states(repo).values()) == {"elsewhere"}
    planned = hooks.install(*git_of(repo), dry_run=True)
    assert config.read_bytes() == before
    found = hooks.install(*git_of(repo))
    assert found == planned
    assert {hook.state for hook in found} == {"written"}
    assert "core.hooksPath is team-hooks" in found[0].why
    assert [hook.name for hook in found] == repo.git(
        "config", "--get-regexp", r"^hook\.gittrack-.*\.event$"
    ).split()[1::2]  # fmt: skip
    assert set(states(repo).values()) == {"installed"}
    assert {hook.state for hook in hooks.install(*git_of(repo))} == {"installed"}
    assert repo.git("status", "--porcelain") == ""
    assert not elsewhere.hook.exists()

    done = started(elsewhere, NAME, "origin", "a url")
    assert (done.returncode, done.stdout) == (0, b"")
    words, said = elsewhere.ours.read_text().split("\n", 1)
    assert words.endswith(" origin a url ") and said == "HEAD 1 refs/heads/main 2\n"
    done = started(elsewhere, "post-commit")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [hint.kind for hint in read_hints(f"{repo.path}/.git")[0]] == [COMMIT]

    assert {hook.state for hook in hooks.uninstall(*git_of(repo))} == {"removed"}
    assert config.read_bytes() == before
    assert not Path(repo.path, ".git/gittrack/hooks").exists()
    assert {hook.state for hook in hooks.uninstall(*git_of(repo))} == {"missing"}


def test_where_the_script_is_gone_git_goes_on(elsewhere: Desk) -> None:
    repo = elsewhere.repo
    hooks.install(*git_of(repo))
    shutil.move(repo.path, f"{repo.path} 'moved'")
    repo.path = f"{repo.path} 'moved'"
    done = started(elsewhere, NAME, "origin", "url")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert set(states(repo).values()) == {"stale"}
    hooks.install(*git_of(repo))
    assert set(states(repo).values()) == {"installed"}
    assert started(elsewhere, NAME, "origin", "url").returncode == 0
    assert "hook pre-push" in elsewhere.ours.read_text()
    repo.git("config", "hook.gittrack-post-merge.enabled", "false")
    assert states(repo)["post-merge"] == "disabled"
    # What the user wrote stays.
    hooks.uninstall(*git_of(repo))
    left = repo.git("config", "--local", "--get-regexp", "^hook")
    assert left == "hook.gittrack-post-merge.enabled false"


def test_no_hook_is_started_twice(elsewhere: Desk) -> None:
    repo = elsewhere.repo
    hooks.install(*git_of(repo))
    # The user adds the line to a hook of the team's: that is enough.
    make_program(
        Path(repo.write("team-hooks/post-commit", "")), "#!/bin/sh\ngittrack hook post-commit\n"
    )
    found = {hook.name: hook for hook in hooks.install(*git_of(repo))}
    path = f"{repo.path}/team-hooks/post-commit"
    assert found["post-commit"] == Hook("post-commit", path, "installed")
    assert "hook.gittrack-post-commit" not in repo.git("config", "--local", "--list")
    assert states(repo)["post-commit"] == "installed"
    # git looks for hooks here again.
    repo.git("config", "--unset", "core.hooksPath")
    hooks.install(*git_of(repo))
    assert "gittrack" not in repo.git("config", "--local", "--list")
    assert elsewhere.hook.exists()
    assert not Path(repo.path, ".git/gittrack/hooks").exists()


@pytest.mark.parametrize(
    ("said", "expected"),
    [("git version 2.53.9", False), ("git version 2.54.0.rc1", True), ("git version 3.0 (x)", True),
     ("git version 2.39.5 (Apple Git-154)", False), ("?", False)],
)  # fmt: skip
def test_which_git_runs_them(said: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    make_program(tmp_path / "git", f"#!/bin/sh\necho '{said}'\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert hookconfig.is_supported(Git(RepoPaths(str(tmp_path), str(tmp_path), None))) == expected


@pytest.mark.skipif(not IS_REAL, reason="git 2.54 is the first that runs them")
def test_git_itself_runs_them_beside_those_of_the_team(elsewhere: Desk) -> None:
    repo = elsewhere.repo
    theirs = Path(repo.write("team-hooks/post-rewrite", ""))
    theirs.write_bytes(hook_of("cat >theirs"))
    theirs.chmod(0o755)
    hooks.install(*git_of(repo))
    first = repo.commit("first")
    repo.git("commit", "-q", "--amend", "-m", "second")
    second = repo.git("rev-parse", "HEAD")
    found, _ = read_hints(f"{repo.path}/.git")
    assert [(hint.kind, hint.oid) for hint in found] == [
        (COMMIT, first), (COMMIT, second), (REWRITE, second)
    ]  # fmt: skip
    assert repo.read("theirs") == f"{first} {second}\n".encode()
    repo.git("worktree", "add", "-q", "../linked")
    assert GitRepo(f"{repo.path}/../linked").commit("linked") == read_hints(f"{repo.path}/.git")[0][-1].oid  # fmt: skip
    elsewhere.assert_called(elsewhere.push("one")[1], "one")
