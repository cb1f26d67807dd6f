"""Runs are found again after every way in which git rewrites history."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import gittrack
from gittrack.core.commits import Commit
from gittrack.core.model import Run
from gittrack.repo import Repo, linking
from gittrack.repo.sources import Sources
from gittrack.store.git import Git
from tests.repo.conftest import close
from tests.support import GitRepo


def run_at_head(name: str, **metrics: float) -> str:
    """What a training script does; the id of its run."""
    with gittrack.start_run(run_name=name) as run:
        gittrack.log_metrics(metrics or {"acc": 0.5})
    close()
    return run.id


def names(*revisions: str) -> list[str]:
    """The names of the runs that `gittrack log REVISIONS` shows."""
    from gittrack.repo.select import Selection

    with Repo.find() as repo:
        return [run.name for run in repo.select_runs(Selection(revisions=revisions))]


def shown(name: str) -> list[str]:
    """The names of the runs that `gittrack show NAME` finds."""
    with Repo.find() as repo:
        return [run.name for run in repo.get_runs(name)]


def how(name: str) -> list[str]:
    """Why a run is linked to the commits that it is linked to."""
    with Repo.find() as repo:
        return list(repo.get_run(name).links.values())


@pytest.fixture
def work(here: GitRepo) -> Iterator[GitRepo]:
    """A repository with hooks, on a branch `feature` that parts from `main` at its first commit."""
    with Repo.find() as repo:
        repo.init()
        repo.install_hooks()
    here.git("switch", "--quiet", "--create", "feature")
    yield here


def change(repo: GitRepo, path: str, text: str, message: str) -> str:
    repo.write(path, text)
    return repo.commit(message)


def test_amend(work: GitRepo) -> None:
    old = change(work, "a.py", "1\n", "one")
    run_at_head("run")
    work.write("a.py", "2\n")
    work.git("commit", "--quiet", "--all", "--amend", "--message", "one, better")
    new = work.git("rev-parse", "HEAD")
    assert names("main..feature") == shown(new) == shown(old) == ["run"]
    assert how("run") == ["amend"]


def test_amend_twice_before_anybody_looks(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    for text in ("2\n", "3\n"):
        work.write("a.py", text)
        work.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    assert names("main..feature") == ["run"]
    assert how("run") == ["amend"]


def test_rebase(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run one")
    change(work, "b.py", "1\n", "two")
    run_at_head("run two")
    work.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    work.sh("git switch -q feature; git rebase -q main")
    assert names("main..feature") == ["run two", "run one"]
    assert how("run one") == how("run two") == ["rebase"]


def test_rebase_by_somebody_without_hooks_is_known_by_the_changes(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    work.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    work.sh("git switch -q feature; git -c core.hooksPath=/dev/null rebase -q main")
    assert names("main..feature") == ["run"]
    assert how("run") == ["patch"]


def test_a_value_that_goes_back_and_forth(work: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change is that of half of the others; all are in one history, so none became another."""
    for number in range(16):
        change(work, "params.yaml", f"lr: 0.{number % 2}\n", "lr")
        change(work, "a.py", f"{number}\n", "code")
    started: list[str] = []
    start = Git.start

    def counted(git: Git, *args: Any, **options: Any) -> Any:
        started.append(args[0])
        return start(git, *args, **options)

    monkeypatch.setattr(Git, "start", counted)
    assert names("main..feature") == ["lr"] * 16
    assert len(started) < 50
    with Repo.find() as repo:
        assert repo.record_commits(["main..feature"]).links == ()


def test_a_commit_that_is_gone_is_still_known_by_its_changes(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    # Somebody looks, so that the change is known.
    change(work, "b.py", "1\n", "two")
    assert shown("HEAD~1") == ["run"]
    work.git("switch", "--quiet", "--create", "again", "main")
    work.sh("echo x >c.py; git add c.py; git commit -qm main; git cherry-pick feature~1")
    work.sh("git branch -D feature; git reflog expire --expire=now --all; git gc -q --prune=now")
    assert names("main..again") == ["run"]
    assert how("run") == ["patch"]


def test_autosquash(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("first")
    work.write("a.py", "2\n")
    work.git("commit", "--quiet", "--all", "--fixup", "HEAD")
    run_at_head("fixed")
    work.sh("GIT_SEQUENCE_EDITOR=: git rebase -q -i --autosquash main")
    assert work.git("rev-list", "--count", "main..feature") == "1"
    assert sorted(names("main..feature")) == ["first", "fixed"]
    assert set(how("first")) == {"rebase"}


def test_cherry_pick(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    work.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    work.git("cherry-pick", "feature")
    assert names("main") == ["run"]
    assert how("run") == ["patch"]


def test_squash_merge_and_the_branch_is_deleted(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run one")
    change(work, "b.py", "1\n", "two")
    run_at_head("run two")
    work.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    work.sh("git merge -q --squash feature; git commit -qm 'feature (#1)'; git branch -qD feature")
    assert names("main") == ["run two", "run one"]
    assert how("run one") == how("run two") == ["squash"]
    assert shown("main") == ["run two", "run one"]


def test_squash_merge_beside_newer_commits_of_a_branch_that_parts_earlier(work: GitRepo) -> None:
    work.sh("git switch -q main; git branch other; echo x >c.py; git add c.py; git commit -qm main")
    work.sh("git switch -q feature; git merge -q --ff-only main")
    change(work, "a.py", "1\n", "one")
    run_at_head("run one")
    change(work, "b.py", "1\n", "two")
    run_at_head("run two")
    # One fetch brings both.
    work.sh("git switch -q main; echo y >c.py; git commit -qam more; git merge -q --squash feature")
    work.sh("git commit -qm 'feature (#1)'; git switch -q other")
    change(work, "o.py", "1\n", "newer")
    assert names("main~1..main") == ["run two", "run one"]
    assert how("run one") == how("run two") == ["squash"]


def test_squash_merge_of_a_branch_that_goes_on_from_there(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run one")
    change(work, "b.py", "1\n", "two")
    run_at_head("run two")
    work.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    work.sh("git merge -q --squash feature; git commit -qm 'feature (#1)'")
    work.sh("git switch -q feature; git merge -q --no-edit main")
    change(work, "a.py", "2\n", "three")
    assert names("main") == ["run two", "run one"]
    assert how("run one") == how("run two") == ["squash"]


def test_a_second_squash_merge_of_the_same_branch_is_known_by_its_message(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run one")
    work.sh("git switch -q main; git merge -q --squash feature; git commit -qm 'feature (#1)'")
    work.sh("git switch -q feature; echo 2 >a.py; git commit -qam two")
    run_at_head("run two")
    change(work, "a.py", "3\n", "three")
    work.sh("git switch -q main; echo x >a.py; git commit -qam main")
    work.sh("git merge -q --squash feature || git checkout -q --theirs a.py; git add a.py")
    work.sh("git commit -q --no-edit")
    assert names("main~1..main") == ["run two", "run one"]
    assert how("run two") == ["squash"]


def test_a_commit_in_a_long_history_is_looked_for_on_no_branch(
    work: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(8):
        change(work, "params.yaml", f"lr: {number}\n", "lr")
    assert len(names("main..feature")) == 8
    change(work, "a.py", "1\n", "code")
    asked: list[str] = []
    start = Git.start

    def noted(git: Git, *args: Any, **options: Any) -> Any:
        asked.append(args[0])
        return start(git, *args, **options)

    monkeypatch.setattr(Git, "start", noted)
    assert names("HEAD~1..HEAD") == []
    assert "merge-base" not in asked and len(asked) < 12


def test_merge_of_a_branch_that_was_ahead(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    work.sh("git switch -q main; git merge -q --no-ff --no-edit feature")
    assert shown("main") == ["run"]
    assert how("run") == ["tree"]


def test_a_dirty_run_belongs_to_the_commit_that_holds_what_ran(work: GitRepo) -> None:
    work.write("train.py", "print(2)\n")
    run_at_head("run")
    head = work.commit("as it ran")
    assert names("main..feature") == shown(head) == ["run"]
    assert how("run") == ["tree"]


def test_a_dirty_run_is_marked_with_what_differs(work: GitRepo) -> None:
    change(work, "b.py", "1\n", "b")
    work.write("train.py", "print(2)\n")
    work.write("b.py", "2\n")
    run_at_head("run")
    work.write("b.py", "3\n")
    work.commit("not quite")
    assert shown("HEAD") == ["run"]
    assert how("run") == ["differs in b.py"]


def test_dirty_runs_of_the_same_files_are_looked_at_once(
    work: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(work, "a.py", "1\n", "one")
    work.write("a.py", "2\n")
    for number in range(3):
        run_at_head(f"run {number}")
    change(work, "b.py", "1\n", "two")
    asked: list[str] = []
    files_otherwise = linking._files_otherwise

    def noted(sources: Sources, run: Run, commit: Commit) -> str | None:
        asked.append(run.id)
        return files_otherwise(sources, run, commit)

    monkeypatch.setattr(linking, "_files_otherwise", noted)
    assert len(names("HEAD~1..HEAD")) == 3
    assert {how(f"run {number}")[0] for number in range(3)} == {"differs in b.py"}
    assert len(asked) == 1


def test_a_dirty_run_whose_changes_were_thrown_away_belongs_nowhere(work: GitRepo) -> None:
    work.write("train.py", "print(2)\n")
    run_at_head("run")
    work.git("restore", ".")
    change(work, "b.py", "1\n", "another idea")
    assert names("main..feature") == []
    assert how("run") == []


def test_a_dirty_run_that_ends_after_the_commit(work: GitRepo) -> None:
    work.write("train.py", "print(2)\n")
    run = gittrack.start_run(run_name="long")
    work.commit("as it ran")
    assert names("main") == ["long"]
    run.end()
    close()
    assert names("main..feature") == ["long"]


def test_filter_repo(work: GitRepo) -> None:
    change(work, "big.bin", "1\n", "one")
    run_at_head("run")
    old = work.git("rev-parse", "HEAD")
    subprocess.run(
        [sys.executable, "-m", "git_filter_repo", "--force", "--quiet", "--invert-paths",
         "--path", "big.bin", "--prune-empty", "never"],
        cwd=work.path, check=True,
    )  # fmt: skip
    assert work.git("rev-parse", "HEAD") != old
    assert names("main..feature") == ["run"]
    assert how("run") == ["filter-repo"]
    # What ran is gone from the repository; the file is followed in what took its place.
    from gittrack.repo.select import Selection

    with Repo.find() as repo:
        assert not repo.has_commit(old)
        assert [run.name for run in repo.select_runs(Selection(follow="train.py"))] == ["run"]


def test_a_trailer_names_a_run(work: GitRepo) -> None:
    run = run_at_head("run")
    change(work, "a.py", "1\n", f"publish\n\nGittrack-Run: {run.rpartition('-')[2]}")
    assert names("main..feature") == ["run"]
    assert how("run") == ["trailer"]


def test_links_go_to_other_clones(work: GitRepo, tmp_path: object) -> None:
    work.sh("git init -q --bare ../hub.git; git remote add origin ../hub.git")
    with Repo.find() as repo:
        repo.share_remote("origin")
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    work.git("commit", "--quiet", "--amend", "--message", "one, better")
    work.git("push", "--quiet", "origin", "feature", "main")
    work.sh("git clone -q ../hub.git ../other")
    with Repo.find(f"{work.path}/../other") as other:
        other.discover()
        assert [run.name for run in other.get_runs("origin/feature")] == ["run"]
        assert list(other.get_run("run").links.values()) == ["amend"]


def test_an_old_commit_is_not_taken_for_one_that_does_the_same_again(work: GitRepo) -> None:
    change(work, "a.py", "1\n", "one")
    run_at_head("run")
    work.git("revert", "--no-edit", "HEAD")
    work.git("revert", "--no-edit", "HEAD")
    assert shown("HEAD~2") == ["run"]
    # The same files are the same code, whatever came between.
    assert how("run") == ["tree"]
    assert names("HEAD~1") == ["run"]
