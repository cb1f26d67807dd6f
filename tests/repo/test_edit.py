"""Tags, names, descriptions and deletion after the fact, and who did it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import gittrack
from gittrack.errors import ExperimentNotFoundError, InvalidNameError
from gittrack.repo import Repo
from gittrack.repo.history import CHANGED, RECORDED
from tests.repo.conftest import close, record
from tests.support import GitRepo

STORE = "refs/gittrack/store/main"


def names(repo: Repo, **more: object) -> list[str]:
    return [run.name for run in repo.search_runs(**more)]  # type: ignore[arg-type]


def test_what_may_change_changes_in_one_commit(here: GitRepo, opened: Repo) -> None:
    first, second = record("one"), record("two")
    before = int(here.git("rev-list", "--count", STORE))
    runs = [opened.get_run(first), opened.get_run(second)]
    edits = opened.set_tags(runs, {"team": "vision", "n": 1}, delete=["never-set"])
    assert {(edit.entity, edit.key, edit.old, edit.new) for edit in edits} == {
        (id, key, None, value)
        for id in (first, second)
        for key, value in (("tags.team", "vision"), ("tags.n", "1"))
    }
    assert int(here.git("rev-list", "--count", STORE)) == before + 1
    assert opened.get_run(first).tags == {"team": "vision", "n": "1"}
    opened.set_tags([opened.get_run(first)], {}, delete=["team"])
    assert opened.get_run(first).tags == {"n": "1"}
    opened.set_description(opened.get_run(first), "why\nit was run")
    opened.rename_run(opened.get_run(first), "uno")
    found = opened.get_run("uno")
    assert (found.id, found.description) == (first, "why\nit was run")
    opened.set_description(found, "  ")
    assert opened.get_run(first).description == ""


def test_what_is_so_already_is_not_written(here: GitRepo, opened: Repo) -> None:
    run = opened.get_run(record("one"))
    opened.set_tags([run], {"a": "b"})
    tip = here.git("rev-parse", STORE)
    assert opened.set_tags([run], {"a": "b"}) == ()
    assert opened.rename_run(run, "one") == ()
    assert opened.restore_runs([run]) == ()
    assert here.git("rev-parse", STORE) == tip


def test_a_dry_run_tells_and_writes_nothing(here: GitRepo, opened: Repo) -> None:
    run = opened.get_run(record("one"))
    record("two", "iris")
    tip = here.git("rev-parse", STORE)
    iris = opened.get_experiment("iris")
    assert opened.set_tags([run], {"a": "b"}, dry_run=True)[0].key == "tags.a"
    assert opened.rename_run(run, "uno", dry_run=True)[0].new == "uno"
    assert opened.set_description(run, "x", dry_run=True)
    assert opened.delete_runs([run], dry_run=True)
    assert opened.rename_experiment(iris, "flowers", dry_run=True)
    assert opened.delete_experiment(iris, dry_run=True)
    assert opened.set_experiment_tags(iris, {"a": "b"}, dry_run=True)
    opened.create_experiment("new", dry_run=True)
    assert here.git("rev-parse", STORE) == tip


def test_a_deleted_run_is_hidden_not_lost(here: GitRepo, opened: Repo) -> None:
    record("one")
    record("two")
    opened.delete_runs([opened.get_run("one")])
    assert names(opened) == ["two"]
    assert sorted(names(opened, include_deleted=True)) == ["one", "two"]
    assert opened.get_run("one").deleted
    record("one", loss=1.0)
    assert not opened.get_run("one").deleted, "a deleted run gives way to one that is not"
    deleted = next(run for run in opened.search_runs(include_deleted=True) if run.deleted)
    opened.restore_runs([deleted])
    assert sorted(names(opened)) == ["one", "one", "two"]


def test_a_later_edit_wins_whatever_the_clock_says(here: GitRepo, opened: Repo) -> None:
    run = opened.get_run(record("one"))
    slow, fast = opened._editor(), opened._editor()
    slow._now, fast._now = (lambda: 1.0), (lambda: 4e9)
    fast.edit_runs([run], {"name": "fast"}, "t", dry_run=False)
    slow.edit_runs([run], {"name": "slow"}, "t", dry_run=False)
    assert opened.get_run(run.id).name == "slow"


def test_a_running_run_is_edited_in_a_journal_of_its_own(here: GitRepo) -> None:
    run = gittrack.start_run(run_name="going")
    run.log_metric("loss", 1.0)
    script = (
        "from gittrack.repo import Repo\n"
        "with Repo.find() as repo:\n"
        "    repo.set_tags([repo.get_run('going')], {'seen': 'yes'})\n"
        "    repo.rename_run(repo.get_run('going'), 'renamed')\n"
    )
    env = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(gittrack.__file__))}
    subprocess.run([sys.executable, "-c", script], check=True, env=env)
    for _ in range(2):
        # The second look comes after the editing process's journal could be taken over.
        with Repo.find() as repo:
            found = repo.get_run("renamed")
            assert (found.status, found.tags, found.warnings) == ("running", {"seen": "yes"}, ())
    gittrack.end_run()
    close()
    for _ in range(2):
        with Repo.find() as repo:
            found = repo.get_run("renamed")
            assert (found.status, found.tags) == ("finished", {"seen": "yes"})
            assert found.metrics["loss"].last == 1.0
    assert "notes.yaml" in here.git("ls-tree", "-r", "--name-only", STORE)
    with Repo.find() as repo:
        assert repo.status().unsealed == 0, "the edit's journal went into the store with the run"


def test_bad_names_are_refused(here: GitRepo, opened: Repo) -> None:
    run = opened.get_run(record("one"))
    for bad in ("", " ", "a\nb", "x" * 501):
        with pytest.raises(InvalidNameError):
            opened.rename_run(run, bad)
    with pytest.raises(InvalidNameError):
        opened.set_tags([run], {"": "x"})
    with pytest.raises(InvalidNameError):
        opened.set_tags([run], {}, delete=["a\tb"])


# -- experiments -------------------------------------------------------------------------


def test_experiments_are_created_renamed_tagged_deleted_and_restored(
    here: GitRepo, opened: Repo
) -> None:
    made = opened.create_experiment("iris", {"team": "vision"})
    assert opened.get_experiment("iris").id == made.id
    first = record("one", "iris")
    assert opened.get_run(first).experiment_id == made.id
    opened.rename_experiment(opened.get_experiment("iris"), "flowers")
    assert opened.get_run(first).experiment == "flowers"
    assert opened.get_experiment("flowers").tags == {"team": "vision"}
    opened.set_experiment_tags(opened.get_experiment("flowers"), {"a": "b"}, delete=["team"])
    assert opened.get_experiment("flowers").tags == {"a": "b"}
    # The old name is free, and means another experiment from here on.
    record("two", "iris")
    assert opened.get_experiment("iris").id != made.id
    opened.delete_experiment(opened.get_experiment("flowers"))
    assert names(opened) == ["two"]
    assert names(opened, include_deleted=True) == ["two", "one"]
    assert [row.experiment.name for row in opened.experiments()] == ["iris", "default"]
    assert opened.get_experiment("flowers").deleted
    opened.restore_experiment(opened.get_experiment("flowers"))
    assert names(opened) == ["two", "one"]


def test_a_name_that_is_taken_and_the_default_are_refused(here: GitRepo, opened: Repo) -> None:
    record("one", "iris")
    opened.create_experiment("other")
    with pytest.raises(InvalidNameError, match="already"):
        opened.create_experiment("iris")
    with pytest.raises(InvalidNameError, match="already"):
        opened.rename_experiment(opened.get_experiment("iris"), "other")
    for change in (opened.delete_experiment, opened.restore_experiment):
        with pytest.raises(InvalidNameError, match="default"):
            change(opened.get_experiment("default"))
    with pytest.raises(InvalidNameError, match="default"):
        opened.rename_experiment(opened.get_experiment("default"), "x")
    opened.delete_experiment(opened.get_experiment("other"))
    with pytest.raises(InvalidNameError) as caught:
        opened.create_experiment("other")
    assert "restore" in caught.value.next
    with pytest.raises(ExperimentNotFoundError, match="'iriss'"):
        opened.get_experiment("iriss")


# -- history -----------------------------------------------------------------------------


def test_history_tells_who_changed_what(here: GitRepo, opened: Repo) -> None:
    with gittrack.start_run(run_name="one"):
        gittrack.log_params({"lr": 0.1})
        gittrack.log_metric("loss", 0.5)
        gittrack.log_text("hi", "out.txt")
    close()
    run = opened.get_run("one")
    here.git("config", "user.name", "Bob Tester")
    with Repo.find() as repo:
        repo.set_tags([run], {"team": "vision"})
        repo.rename_run(run, "uno")
        repo.delete_runs([run])
        entries = repo.get_history(run)
    assert [entry.kind for entry in entries] == [CHANGED, CHANGED, CHANGED, RECORDED]
    assert entries[0].author == "Bob Tester <ada@example.com>"
    assert entries[-1].author == "Ada Tester <ada@example.com>"
    assert [(c.key, c.a, c.b) for c in entries[1].changes] == [("name", "one", "uno")]
    assert [(c.key, c.kind, c.b) for c in entries[0].changes] == [("deleted", "added", True)]
    recorded = {change.key: change.b for change in entries[-1].changes}
    assert recorded["params.lr"] == 0.1
    assert recorded["metrics.loss"] == 0.5
    assert recorded["status"] == "finished"
    assert "artifacts.out.txt" in recorded
    assert entries[0].commit == here.git("rev-parse", STORE)


def test_a_running_run_has_no_history_yet(here: GitRepo, opened: Repo) -> None:
    gittrack.start_run(run_name="going")
    assert opened.get_history(opened.get_run("going")) == []
