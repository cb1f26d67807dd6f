"""Recording and reading through one repository, in every kind of place git knows."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gittrack
from gittrack import journal
from gittrack.capture import process
from gittrack.errors import (
    ExperimentNotFoundError,
    InvalidNameError,
    InvalidValueError,
    NotARepositoryError,
    ParamChangedError,
    QueryError,
    RunNotFoundError,
    StoreFormatError,
    UsageError,
)
from gittrack.repo import Repo
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STORE = "refs/gittrack/store/main"


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch):
    """A repository with one commit, as the current folder; closed at the end."""
    repo.write("train.py", "print(1)\n")
    repo.commit("first")
    monkeypatch.chdir(repo.path)
    yield repo
    while gittrack.active_run() is not None:
        gittrack.end_run()
    close()


def close() -> None:
    from gittrack.tracking import fluent

    if fluent._session.repo is not None:
        fluent._session.repo.close()
        fluent._session.repo = None
    fluent._session.experiment = None


def script(folder: str, text: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import gittrack\n{text}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": ROOT, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


ONE = "with gittrack.start_run(run_name='one'): gittrack.log_metric('m', 0.5)"


# -- what is recorded --------------------------------------------------------------------


def test_a_run_reads_back_as_it_was_logged(here: GitRepo) -> None:
    with gittrack.start_run("one", tags={"k": 1}, description="why") as run:
        gittrack.log_params({"lr": 0.1, "deep": {"n": 3, "on": True}, "none": None, "l": [1, "a"]})
        gittrack.log_metric("loss", 0.5)
        gittrack.log_metric("loss", math.nan)
        gittrack.log_metrics({"acc": 1, "inf": -math.inf}, step=7)
        gittrack.set_tags({"a": "b", "gone": "x"})
        gittrack.delete_tag("gone")
        before = gittrack.get_run(run.info.run_id)
    after = gittrack.get_run(run.info.run_id)
    for found in (before, after):
        assert found.data.params == {
            "lr": 0.1, "deep.n": 3, "deep.on": True, "none": None, "l": [1, "a"],
        }  # fmt: skip
        assert type(found.data.params["deep.on"]) is bool
        assert found.data.tags == {"k": "1", "a": "b"}
        assert math.isnan(found.data.metrics["loss"])
        assert found.data.metrics["acc"] == 1.0
        assert found.data.metrics["inf"] == -math.inf
        assert found.description == "why"
        assert found.info.run_name == "one"
        assert found.info.experiment_name == "default"
    assert before.info.status == "RUNNING"
    assert after.info.status == "FINISHED"
    assert after.info.end_time >= after.info.start_time


def test_the_facts_come_by_themselves(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        pass
    found = gittrack.get_run(run.id)
    assert found.author == "Ada Tester <ada@example.com>"
    assert found.author_source == "git"
    assert found.commit == here.git("rev-parse", "HEAD")
    assert found.tree == here.git("rev-parse", "HEAD^{tree}")
    assert found.branch == "main"
    assert found.dirty is False
    assert found.host
    assert found.argv
    assert found.name.count("-") == 1


def test_no_git_identity_is_no_failure(here: GitRepo, sealed: Path) -> None:
    (sealed / ".gitconfig").write_text("")
    done = script(here.path, ONE)
    assert done.returncode == 0, done.stderr
    (found,) = gittrack.search_runs()
    assert found.author_source == "host"
    assert "@" in found.author


def test_credentials_of_the_remote_are_not_recorded(here: GitRepo) -> None:
    here.git("remote", "add", "origin", "https://ada:hunter2" + "@example.com/x.git")
    done = script(here.path, ONE)
    assert done.returncode == 0, done.stderr
    (found,) = gittrack.search_runs()
    assert found.remote is not None
    assert "hunter2" not in here.git("log", "-p", STORE)
    assert "example.com/x.git" in found.remote


def test_metric_history_is_ordered_by_step_then_time(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        gittrack.log_metric("m", 1.0, step=5, timestamp=2000)
        gittrack.log_metric("m", 2.0, step=1, timestamp=9000)
        gittrack.log_metric("m", 3.0, step=5, timestamp=1000)
        gittrack.log_metric("m", 4.0)
    points = gittrack.get_metric_history(run.id, "m")
    assert [(p.step, p.value) for p in points] == [(1, 2.0), (5, 3.0), (5, 1.0), (6, 4.0)]
    assert gittrack.get_metric_history(run.id, "never") == []


def test_artifacts_come_back_byte_by_byte(here: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "d" / "sub").mkdir(parents=True)
    (tmp_path / "d" / "sub" / "x.bin").write_bytes(bytes(range(256)))
    (tmp_path / "d" / "CON").write_bytes(b"con")
    with gittrack.start_run() as run:
        gittrack.log_artifact(tmp_path / "d" / "CON", "up")
        gittrack.log_artifacts(str(tmp_path / "d"))
        gittrack.log_text("é", "a")
        gittrack.log_text("beside", "a/b")
        gittrack.log_dict({"x": [1, 2]}, "x.json")
        gittrack.log_dict({"x": [1, 2]}, "x.yaml")
        live = Path(gittrack.get_artifact(run.id, "sub/x.bin")).read_bytes()
    expected = {
        "up/CON": b"con",
        "CON": b"con",
        "sub/x.bin": bytes(range(256)),
        "a": "é".encode(),
        "a/b": b"beside",
    }
    assert live == expected["sub/x.bin"]
    for path, data in expected.items():
        assert Path(gittrack.get_artifact(run.id, path)).read_bytes() == data
    assert Path(gittrack.get_artifact(run.id, "x.yaml")).read_text() == "x:\n- 1\n- 2\n"
    assert set(gittrack.get_run(run.id).artifacts) == {*expected, "x.json", "x.yaml"}


def test_a_resumed_run_goes_on(here: GitRepo) -> None:
    with gittrack.start_run("first") as run:
        gittrack.log_param("a", 1)
        gittrack.log_metric("m", 1.0)
        gittrack.log_metric("m", 2.0)
    gittrack.end_run()
    text = (
        f"with gittrack.start_run(run_id='{run.id}') as r:\n"
        "    gittrack.log_metric('m', 3.0); gittrack.log_param('a', 1); gittrack.log_param('b', 2)\n"
        "    print(r.info.run_name, gittrack.get_run(r.id).status)"
    )
    close()
    done = script(here.path, text)
    assert done.stdout == "first running\n", done.stderr
    found = gittrack.get_run(run.id)
    assert found.params == {"a": 1, "b": 2}
    assert [p.step for p in gittrack.get_metric_history(run.id, "m")] == [0, 1, 2]
    assert found.metrics["m"].count == 3
    assert found.status == "finished"
    assert len(gittrack.search_runs()) == 1


def test_resuming_in_the_same_process_loses_nothing(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        gittrack.log_metric("m", 0.0)
    for number in range(1, 6):
        with gittrack.start_run(run_id=run.id):
            gittrack.log_metric("m", float(number))
    close()
    points = gittrack.get_metric_history(run.id, "m")
    assert [(p.step, p.value) for p in points] == [(n, float(n)) for n in range(6)]


def test_nested_runs_know_their_parent(here: GitRepo) -> None:
    with gittrack.start_run("outer") as outer:
        with pytest.raises(UsageError, match="still active"):
            gittrack.start_run("second")
        with gittrack.start_run("inner", nested=True) as inner:
            gittrack.log_param("where", "inner")
        gittrack.log_param("where", "outer")
    assert gittrack.get_run(inner.id).parent == outer.id
    assert gittrack.get_run(outer.id).params == {"where": "outer"}


def test_runs_that_end_together_share_a_commit(here: GitRepo) -> None:
    for number in range(20):
        with gittrack.start_run(str(number)):
            gittrack.log_metric("m", number)
    close()
    assert len(here.git("rev-list", STORE).split()) <= 3
    assert len(gittrack.search_runs()) == 20


# -- experiments -------------------------------------------------------------------------


def test_experiments_by_name(here: GitRepo) -> None:
    gittrack.set_experiment("Vision / β")
    with gittrack.start_run("a"):
        pass
    with gittrack.start_run("b", experiment="other"):
        pass
    close()
    with gittrack.start_run("c"):
        pass
    names = {run.name: run.experiment for run in gittrack.search_runs()}
    assert names == {"a": "Vision / β", "b": "other", "c": "default"}
    assert [r.name for r in gittrack.search_runs(experiment_names=["other"])] == ["b"]
    with pytest.raises(ExperimentNotFoundError, match="othre"):
        gittrack.search_runs(experiment_names=["othre"])


def test_the_same_name_is_the_same_experiment_in_every_clone(tmp_path: Path) -> None:
    ids = set()
    for name in ("one", "two"):
        repo = GitRepo.create(tmp_path / name)
        script(repo.path, "gittrack.start_run(experiment='shared')")
        with Repo.find(repo.path, {}) as opened:
            ids.add(opened.get_experiment("shared").id)
    assert len(ids) == 1


# -- places ------------------------------------------------------------------------------


def test_any_subfolder_and_any_worktree_share_one_store(here: GitRepo, tmp_path: Path) -> None:
    here.write("sub/deep/x", "x")
    here.git("worktree", "add", "--quiet", str(tmp_path / "linked"))
    for folder in ("", "sub", "sub/deep"):
        assert script(os.path.join(here.path, folder), ONE).returncode == 0
    assert script(str(tmp_path / "linked"), ONE).returncode == 0
    found = gittrack.search_runs()
    assert len(found) == 4
    assert {run.experiment_id for run in found} == {"default-37a8eec1"}
    assert {run.branch for run in found} == {"main", "linked"}


def test_unborn_branch_and_detached_head(tmp_path: Path) -> None:
    repo = GitRepo.create(tmp_path / "r")
    assert script(repo.path, ONE).returncode == 0
    repo.write("a", "a")
    repo.commit()
    repo.git("checkout", "--quiet", "--detach")
    assert script(repo.path, ONE).returncode == 0
    with Repo.find(repo.path, {}) as opened:
        detached, unborn = opened.search_runs()
    assert (unborn.commit, unborn.branch) == (None, "main")
    assert detached.commit == repo.git("rev-parse", "HEAD")
    assert detached.branch is None


def test_a_bare_clone_is_read(here: GitRepo, tmp_path: Path) -> None:
    script(here.path, ONE)
    bare = GitRepo.create(tmp_path / "bare", "--bare")
    bare.git("fetch", "--quiet", here.path, f"{STORE}:{STORE}")
    with Repo.find(bare.path, {}) as opened:
        assert opened.is_bare
        (run,) = opened.search_runs()
        assert run.metrics["m"].last == 0.5


def test_outside_a_repository_the_error_names_git_init(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARepositoryError) as caught:
        gittrack.start_run()
    assert caught.value.next == "git init"
    assert gittrack.active_run() is None


def test_gittrack_repo_records_elsewhere(here: GitRepo, tmp_path: Path) -> None:
    other = GitRepo.create(tmp_path / "other")
    assert script(here.path, ONE, GITTRACK_REPO=other.path).returncode == 0
    assert gittrack.search_runs() == []
    with Repo.find(other.path, {}) as opened:
        (run,) = opened.search_runs()
    assert run.commit == here.git("rev-parse", "HEAD")


def test_gittrack_journal_is_taken_in_later(here: GitRepo, tmp_path: Path) -> None:
    nowhere = tmp_path / "container"
    nowhere.mkdir()
    journal = str(tmp_path / "journal")
    done = script(str(nowhere), ONE, GITTRACK_JOURNAL=journal)
    assert done.returncode == 0, done.stderr
    with Repo.find(here.path, {}) as opened:
        report = opened.recover(journal)
        assert [(r.status, r.points) for r in report.recovered] == [("finished", 1)]
        (run,) = opened.search_runs()
        assert (run.name, run.status) == ("one", "finished")
        assert opened.recover(journal).recovered == ()
    assert set(os.listdir(journal)) <= {".alive", ".environments"}


def test_a_journal_of_another_machine_stays_until_it_is_asked_for(here: GitRepo) -> None:
    text = (
        "import os\ngittrack.start_run(run_name='far'); gittrack.log_metric('m', 1.0); os._exit(9)"
    )
    script(here.path, text)
    folder = Path(here.path, ".git/gittrack/journal")
    (alive,) = (folder / ".alive").iterdir()
    alive.write_text('{"host": "far", "boot": "far", "pid": 1, "locks": true}')
    with Repo.find(here.path, {}) as opened:
        assert [run.status for run in opened.search_runs()] == ["running"]
        then = alive.stat().st_mtime - 3600
        os.utime(alive, (then, then))
        assert [run.status for run in opened.search_runs()] == ["lost"]
        assert opened.recover().recovered == ()
        os.utime(alive)
        assert [run.status for run in opened.search_runs()] == ["running"]
        assert [r.status for r in opened.recover(force=True).recovered] == []
        os.utime(alive, (then, then))
        assert [r.status for r in opened.recover(force=True).recovered] == ["killed"]
        assert [run.status for run in opened.search_runs()] == ["killed"]


# -- nothing of the user's is touched ----------------------------------------------------


def test_a_process_that_died_before_its_first_word_leaves_nothing(here: GitRepo) -> None:
    with Repo.find(here.path, {}) as opened:
        opened.init(hooks=False)
        folder = opened.journal_dir
        mine = journal.own(folder, "host", process.boot_id()).writer
        empty = []
        for number, writer in enumerate(("0f64f621", mine)):
            run_id = f"20260101-00000{number}-0123456789ab"
            empty.append(os.path.join(folder, run_id, f"{writer}.log"))
            os.makedirs(os.path.dirname(empty[-1]))
            Path(empty[-1]).touch()
        # Whoever lives may be about to write to it: neither is damage.
        assert opened.fsck().is_sound
        assert not opened.recover().recovered
        assert [os.path.exists(path) for path in empty] == [False, True]
        assert journal.list_owners(folder) == [mine]
        journal.disown(folder)


def test_nothing_of_the_users_is_touched(here: GitRepo) -> None:
    here.write("stashed.txt", "1")
    here.git("add", "stashed.txt")
    here.git("stash")
    here.git("branch", "other")
    here.write("train.py", "print(2)\n")
    here.write("staged.py", "s")
    here.write("untracked.py", "u")
    here.git("add", "staged.py")
    git = Path(here.path, ".git")
    (git / "FETCH_HEAD").write_text("mine")

    def look() -> dict[str, object]:
        index = (git / "index").stat()
        return {
            "index": ((git / "index").read_bytes(), index.st_mtime_ns, index.st_ino),
            "HEAD": (git / "HEAD").read_bytes(),
            "FETCH_HEAD": (git / "FETCH_HEAD").read_bytes(),
            "refs": [
                line
                for line in here.git("for-each-ref").splitlines()
                if "refs/gittrack/" not in line
            ],
            "config": (git / "config").read_bytes(),
            "files": {
                str(path): (path.read_bytes(), path.stat().st_mtime_ns)
                for path in Path(here.path).rglob("*")
                if path.is_file() and ".git/" not in str(path)
            },
        }

    before = look()
    with gittrack.start_run() as run:
        gittrack.log_metric("m", 1)
        gittrack.log_text("x", "a.txt")
    gittrack.search_runs()
    close()
    gittrack.get_run(run.id)
    assert look() == before


def test_the_users_own_git_has_nothing_to_collect(here: GitRepo) -> None:
    loose = here.git("count-objects")
    for number in range(60):
        with gittrack.start_run(str(number)):
            gittrack.log_metric("m", number)
        close()
    assert here.git("count-objects") == loose
    packs = [name for name in os.listdir(".git/objects/pack") if name.endswith(".pack")]
    assert len(packs) < 30
    assert len(gittrack.search_runs()) == 60
    here.git("fsck", "--strict")


# -- names of runs -----------------------------------------------------------------------


def test_names_that_stand_for_a_run(here: GitRepo) -> None:
    with gittrack.start_run("one", experiment="e") as one:
        pass
    with gittrack.start_run("two") as two:
        pass
    hex_part = one.id.rpartition("-")[2]
    for name in (one.id, hex_part, hex_part[:6], "one", "e/one", "@{-1}"):
        assert gittrack.get_run(name).id == one.id, name
    assert gittrack.get_run("@").id == two.id


def test_an_unknown_or_ambiguous_name_lists_what_there_is(here: GitRepo) -> None:
    with pytest.raises(RunNotFoundError, match="no run"):
        gittrack.get_run("x")
    for _ in range(2):
        with gittrack.start_run("same") as run:
            pass
    with pytest.raises(RunNotFoundError) as caught:
        gittrack.get_run("same")
    assert run.id.rpartition("-")[2] in caught.value.why
    with pytest.raises(RunNotFoundError) as caught:
        gittrack.get_run("smae")
    assert "did you mean 'same'" in caught.value.why


# -- wrong use ---------------------------------------------------------------------------


def test_a_param_is_written_once(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        gittrack.log_param("lr", 0.1)
        gittrack.log_param("lr", 0.1)
        with pytest.raises(ParamChangedError) as caught:
            gittrack.log_params({"fresh": 1, "lr": 0.2})
        assert "0.1" in caught.value.message
        assert "0.2" in caught.value.message
    # All or nothing.
    assert gittrack.get_run(run.id).params == {"lr": 0.1}


@pytest.mark.parametrize(
    "key",
    ["a/b", "a b", "ä", "..", "a", "A", "CON", "nul.txt", ".", "a.b", "x" * 250, "日本語", "yes", "1",
     '"', "'", ":", "- x", "{", "#", "a\u202eb", "\ufeff"],
)  # fmt: skip
def test_every_legal_key_survives(here: GitRepo, key: str) -> None:
    with gittrack.start_run() as run:
        gittrack.log_param(key, "p")
        gittrack.log_metric(key, 1.5)
        gittrack.set_tag(key, "t")
    close()
    found = gittrack.get_run(run.id)
    assert found.data.params == {key: "p"}
    assert found.data.metrics == {key: 1.5}
    assert found.data.tags == {key: "t"}
    assert [p.value for p in gittrack.get_metric_history(run.id, key)] == [1.5]


@pytest.mark.parametrize("key", ["", "a\x00", "a\nb", "\x1b[31m", "x" * 251, "\ud800", 3, None])
def test_illegal_keys_are_refused(here: GitRepo, key: object) -> None:
    with gittrack.start_run():
        for log in (gittrack.log_param, gittrack.log_metric, gittrack.set_tag):
            with pytest.raises((InvalidNameError, InvalidValueError)):
                log(key, 1)  # type: ignore[operator]


@pytest.mark.parametrize("path", ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\x00"])
def test_artifact_paths_that_lead_elsewhere_are_refused(here: GitRepo, path: str) -> None:
    with gittrack.start_run(), pytest.raises(InvalidNameError):
        gittrack.log_text("x", path)


def test_text_where_a_number_belongs(here: GitRepo) -> None:
    with gittrack.start_run():
        with pytest.raises(InvalidValueError) as caught:
            gittrack.log_metric("acc", "high")  # type: ignore[arg-type]
        assert "'acc'" in caught.value.message
        assert "'high'" in caught.value.message
        with pytest.raises(InvalidValueError, match="step"):
            gittrack.log_metric("acc", 1.0, step=1.5)  # type: ignore[arg-type]
        with pytest.raises(InvalidValueError, match="step"):
            gittrack.log_metric("acc", 1.0, step=2**63)


def test_a_huge_param_is_refused_with_the_limit(here: GitRepo) -> None:
    with gittrack.start_run():
        gittrack.log_param("fits", "x" * 1_000_000)
        with pytest.raises(InvalidValueError) as caught:
            gittrack.log_param("huge", "x" * 1_048_577)
        assert "1,048,576" in caught.value.why


def test_an_ended_run_takes_nothing_more(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        pass
    for call in (
        lambda: run.log_metric("m", 1),
        lambda: run.log_metrics({"m": 1}),
        lambda: run.log_param("a", 1),
        lambda: run.set_tag("a", 1),
        lambda: run.log_text("a", "b"),
    ):
        with pytest.raises(UsageError, match="has ended"):
            call()


def test_logging_without_a_run_starts_one(here: GitRepo) -> None:
    gittrack.log_metric("m", 1)
    run = gittrack.active_run()
    assert run is not None
    gittrack.end_run()
    assert gittrack.get_run(run.id).status == "finished"


def test_a_bad_filter_is_a_query_error(here: GitRepo) -> None:
    with pytest.raises(QueryError):
        gittrack.search_runs("metrics.acc >")


# -- formats -----------------------------------------------------------------------------


def put_store(repo: GitRepo, text: str) -> None:
    blob = repo.git("hash-object", "-w", "--stdin", input=text)
    tree = repo.git("mktree", input=f"100644 blob {blob}\tstore.yaml\n")
    commit = repo.git("commit-tree", tree, "-m", "newer")
    repo.git("update-ref", STORE, commit)


def test_a_newer_store_that_can_be_read_is_never_written(here: GitRepo) -> None:
    put_store(here, "epoch: 0\nformat: 9\nmin_reader: 1\nmin_writer: 9\n")
    tip = here.git("rev-parse", STORE)
    assert gittrack.search_runs() == []
    done = script(here.path, ONE)
    assert done.returncode == 0
    assert "upgrade" in done.stderr or "format 9" in done.stderr
    assert here.git("rev-parse", STORE) == tip
    # The run is safe in its journal.
    assert [run.name for run in gittrack.search_runs()] == ["one"]


def test_a_store_that_cannot_be_read_does_not_stop_training(here: GitRepo) -> None:
    put_store(here, "epoch: 0\nformat: 9\nmin_reader: 9\nmin_writer: 9\n")
    done = script(here.path, "gittrack.set_experiment('vision')\n" + ONE)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "format 9" in done.stderr
    here.git("update-ref", "-d", STORE)
    (run,) = gittrack.search_runs()
    assert (run.name, run.experiment) == ("one", "vision")


def test_a_filter_that_fails_is_a_warning_on_the_run(here: GitRepo) -> None:
    here.sh(
        """
        git config filter.bad.clean false; git config filter.bad.required true
        printf '*.bad filter=bad\\n' > .gitattributes; git add .gitattributes; git commit -qm a
        git -c filter.bad.clean=cat -c filter.bad.required=false add -A
        """
    )
    here.write("x.bad", "1")
    here.git("-c", "filter.bad.clean=cat", "add", "x.bad")
    here.write("x.bad", "22")
    done = script(here.path, ONE)
    assert done.returncode == 0, done.stderr
    (run,) = gittrack.search_runs()
    assert "source could not be recorded" in run.warnings[0]
    assert run.dirty
    assert run.commit == here.git("rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["a\x1b[31m", "x" * 501, "a\nb"])
def test_illegal_run_names_are_refused(here: GitRepo, name: str) -> None:
    with pytest.raises(InvalidNameError):
        gittrack.start_run(name)
    assert gittrack.active_run() is None


def test_a_newer_store_that_cannot_be_read_says_so(here: GitRepo) -> None:
    put_store(here, "epoch: 0\nformat: 9\nmin_reader: 9\nmin_writer: 9\n")
    with pytest.raises(StoreFormatError) as caught:
        gittrack.search_runs()
    assert "pip install" in caught.value.next


def test_a_damaged_run_does_not_hide_the_others(here: GitRepo) -> None:
    script(here.path, ONE)
    script(here.path, ONE.replace("one", "two"))
    path = next(
        p for p in here.git("ls-tree", "-r", "--name-only", STORE).split() if "run.yaml" in p
    )
    here.sh(
        f"""
        export GIT_INDEX_FILE=/tmp/none.$$
        git read-tree {STORE}
        blob=$(printf 'a: !!python/object:x {{}}\\n' | git hash-object -w --stdin)
        git update-index --cacheinfo 100644,$blob,{path}
        tree=$(git write-tree)
        git update-ref {STORE} $(git commit-tree $tree -p {STORE} -m damage)
        rm -f $GIT_INDEX_FILE
        """
    )
    found = gittrack.search_runs()
    assert len(found) == 2
    assert [bool(run.warnings) for run in found].count(True) == 1


def test_to_pandas(here: GitRepo) -> None:
    with gittrack.start_run("one"):
        gittrack.log_metric("m", 0.5)
        gittrack.log_param("p", 3)
    frame = gittrack.search_runs().to_pandas()
    assert list(frame["metrics.m"]) == [0.5]
    assert list(frame["params.p"]) == [3]
    assert str(frame["start_time"].dtype).startswith("datetime64")


def test_init_is_idempotent(here: GitRepo) -> None:
    with Repo.find(here.path, {}) as opened:
        first, second = opened.init(), opened.init()
    assert first.created
    assert not second.created
    assert len(here.git("rev-list", STORE).split()) == 1
