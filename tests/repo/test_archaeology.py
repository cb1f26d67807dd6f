"""Bisect and blame over real histories with merges, from runs that are recorded there."""

from __future__ import annotations

import math
import os

import pytest

import gittrack
from gittrack.errors import GittrackError, RunNotFoundError, UndecidedError, UsageError
from gittrack.repo import Repo
from gittrack.repo.archaeology import split_changed
from gittrack.store.git import Git
from gittrack.store.linked import laid_out, sweep
from gittrack.store.paths import find_paths
from tests.repo.conftest import close, record
from tests.support import GitRepo

LOW = "metrics.acc < 0.85"


def work(here: GitRepo, name: str, acc: float | None = None, **more: str) -> str:
    """A commit that changes a file, and a run there if it has a value; the commit's id."""
    here.write("n.txt", name)
    commit = here.commit(name)
    if acc is not None:
        record(name, acc=acc, **more)  # type: ignore[arg-type]
    return commit


def test_the_commit_of_a_branch_that_was_merged_is_named(here: GitRepo, opened: Repo) -> None:
    """The main line is good until a branch comes in, in which the third commit is bad."""
    start = work(here, "start", 0.9)
    here.git("checkout", "-q", "-b", "side")
    for at in range(4):
        here.write("side.txt", f"{at}")
        last = here.commit(f"side {at}")
        if at in (1, 2):
            record(f"side {at}", acc=0.9 if at < 2 else 0.8)
    here.git("checkout", "-q", "main")
    work(here, "main 1", 0.9)
    here.git("merge", "-q", "--no-ff", "-m", "merge side", "side")
    merged = here.git("rev-parse", "HEAD")
    record("merged", acc=0.8)
    found = opened.bisect([f"{start}..{merged}"], LOW)
    assert found.first_bad is not None and found.first_bad.subject == "side 2"
    assert (found.history, found.known) == (6, 4)
    assert found.before is not None and found.before.name == "side 1"
    assert [(v.field.key, v.before, v.after) for v in found.values] == [("acc", 0.9, 0.8)]
    assert [(f.path, f.kind, f.added, f.removed) for f in found.files] == [
        ("side.txt", "changed", 1, 1)
    ]
    assert not found.back and not found.apart
    # Below the branch's end nothing bad is left: then the merge itself is to blame.
    found = opened.bisect([merged, f"^{last}"], LOW)
    assert found.first_bad is not None and found.first_bad.subject == "merge side"


def test_only_runs_that_can_judge_do(here: GitRepo, opened: Repo) -> None:
    start = work(here, "start", 0.9)
    middle = work(here, "middle")
    record("other", experiment="else", acc=0.1)
    record("silent", loss=1.0)
    record("diverged", acc=math.nan)
    with pytest.raises(ZeroDivisionError), gittrack.start_run(run_name="failed"):
        gittrack.log_metric("acc", 0.1)
        raise ZeroDivisionError
    close()
    opened.delete_runs([opened.get_run(record("deleted", acc=0.1))])
    end = work(here, "end", 0.8)
    span = [f"{start}..{end}"]
    found = opened.bisect(span, LOW, experiment="default")
    assert found.first_bad is None and found.next is not None and found.next.id == middle
    assert [commit.id for commit in found.suspects] == [end, middle]
    # What these speak of, a run there has: of the other experiment, the silent and the failed one.
    for where in (
        LOW,
        "metrics.loss > 0.5 and metrics.acc is null",
        "metrics.acc < 0.85 and (status = 'failed' or experiment = 'default')",
    ):
        found = opened.bisect(span, where)
        assert found.first_bad is not None and found.first_bad.id == middle, where
    record("later", acc=0.95)
    assert opened.get_run("later").commit == end
    with pytest.raises(UndecidedError, match="does not hold at the bad commit"):
        opened.bisect(span, LOW)


def test_runs_of_changed_code_say_nothing_about_their_commit(here: GitRepo, opened: Repo) -> None:
    commits = [work(here, str(at), 0.9) for at in range(3)]
    commits.append(work(here, "3"))
    here.write("n.txt", "not committed yet")
    record("changed", acc=0.5)
    assert opened.get_run("changed").commit == commits[3]
    found = opened.blame("acc")
    assert (found.commits, found.changed, found.count) == (3, 1, 0)
    answer = opened.bisect([f"{commits[0]}..{work(here, '4')}"], LOW)
    assert answer.first_bad is None and answer.changed == (commits[3],)
    # A commit of exactly what ran would be judged by it.
    runs = {
        commits[2]: [
            opened.get_run("changed")._replace(tree=here.git("rev-parse", f"{commits[2]}^{{tree}}"))
        ]
    }
    assert split_changed(opened.git, runs) == (runs, {})


def test_runs_of_an_amended_commit_say_nothing_about_what_it_became(here: GitRepo) -> None:
    with Repo.find() as repo:
        repo.init()
        repo.install_hooks()
    start = work(here, "start", 0.9)
    work(here, "typo", 0.1)
    record("again", acc=0.1)
    here.git("commit", "--quiet", "--amend", "--message", "the same files")
    with Repo.find() as repo:
        assert len(repo.get_runs("HEAD")) == 2
        assert (repo.blame("acc").runs, repo.blame("acc").changed) == (3, 0)
    here.write("n.txt", "fixed")
    here.git("commit", "--quiet", "--all", "--amend", "--message", "fixed")
    record("fixed", acc=0.9)
    end = work(here, "end", 0.8)
    with Repo.find() as repo:
        assert len(repo.get_runs("HEAD~1")) == 3
        found = repo.blame("acc")
        assert (found.runs, found.changed) == (3, 2)
        answer = repo.bisect([f"{start}..{end}"], LOW)
    assert answer.first_bad is not None and answer.first_bad.id == end


def test_a_function_can_make_the_runs(here: GitRepo, opened: Repo) -> None:
    commits = [work(here, str(at)) for at in range(5)]
    seen = []

    def execute(folder: str) -> int:
        with open(os.path.join(folder, "n.txt")) as file:
            seen.append(int(file.read()))
        return 125 if seen[-1] == 2 else 4

    found = opened.bisect([f"{commits[0]}..{commits[4]}"], LOW, execute=execute, max_runs=3)
    assert sorted(seen) == [1, 2, 3]
    assert found.skipped == {
        commits[1]: "its run ended with 4",
        commits[2]: "its run ended with 125",
        commits[3]: "its run ended with 4",
    }
    assert found.next is None and found.first_bad is None
    with pytest.raises(GittrackError, match="ended with 139"):
        opened.bisect([f"{commits[0]}..{commits[4]}"], LOW, execute=lambda folder: 139)
    assert here.git("worktree", "list").count("\n") == 0


def test_what_cannot_be_asked_is_said(here: GitRepo, opened: Repo) -> None:
    work(here, "one", 0.9)
    with pytest.raises(UsageError, match="git knows no revision 'nowhere'"):
        opened.bisect(["nowhere"], LOW)
    with pytest.raises(UsageError, match="names no bad commits"):
        opened.bisect(["^HEAD"], LOW)
    with pytest.raises(UndecidedError, match="holds at the good commit"):
        opened.bisect([f"HEAD~1..{work(here, 'two', 0.95)}"], "metrics.acc > 0.85")
    with pytest.raises(RunNotFoundError, match="no run has a metric 'accc'"):
        opened.blame("accc")
    with pytest.raises(UsageError, match="git knows no revision 'nowhere'"):
        opened.blame("acc", ["nowhere"])


def test_blame_names_the_commit_and_what_changed(here: GitRepo, opened: Repo) -> None:
    for at in range(8):
        here.write("train.py", f"print({at // 5})\n")
        here.write("n.txt", str(at))
        here.commit(f"work {at}")
        for seed in range(1 + at % 2):
            with gittrack.start_run(run_name=f"try {at}.{seed}"):
                gittrack.log_params({"rate": 0.1 if at < 5 else 0.3, "seed": 1})
                gittrack.log_metrics({"acc": (0.9 if at < 5 else 0.8) + seed / 1000})
        close()
    record("diverged", acc=math.nan)
    found = opened.blame("acc")
    (shift,) = found.shifts
    assert (shift.before.commit.subject, shift.after.commit.subject) == ("work 4", "work 5")
    assert (found.commits, found.runs, found.left_out, found.history) == (8, 12, 1, 9)
    assert (shift.better, shift.is_weak, shift.between) == (False, False, 0)
    assert (shift.before.commits, shift.before.runs, shift.after.runs) == (5, 7, 5)
    assert [(c.key, c.a, c.b) for c in shift.params] == [("rate", 0.1, 0.3)]
    assert [f.path for f in shift.files] == ["n.txt", "train.py"]
    assert shift.after.here[0].name == "try 5.1"
    assert opened.blame("acc", ["HEAD~3"]).shifts == ()
    assert opened.blame("acc", where="run_name like 'try 7%'").is_short
    # A single run at the very end is named, and said to be one.
    work(here, "last", 0.5)
    (shift,) = opened.blame("acc", ["HEAD~4..HEAD"]).shifts
    assert shift.after.commit.subject == "last" and shift.is_weak
    found = opened.blame("max(metrics.acc)", every=True)
    assert found.count == len(found.shifts) == 2


def test_a_commit_is_laid_out_without_hooks_and_taken_away(here: GitRepo) -> None:
    here.write("sub/run.sh", "#!/bin/sh\n")
    os.chmod(os.path.join(here.path, "sub/run.sh"), 0o755)
    commit = here.commit("script")
    git = Git(find_paths(here.path, {}))
    before = here.git("for-each-ref")
    with laid_out(git, commit) as folder:
        inside = GitRepo(folder)
        assert inside.git("rev-parse", "HEAD") == commit
        assert inside.git("status", "--porcelain") == ""
        assert os.access(os.path.join(folder, "sub/run.sh"), os.X_OK)
        assert sweep(git) == 0 and os.path.isdir(folder)
        inside.write("made", "by the program")
    assert not os.path.exists(folder)
    assert here.git("for-each-ref") == before
    assert not os.path.exists(os.path.join(here.path, ".git", "worktrees"))
    git.close()
