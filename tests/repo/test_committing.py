"""Commits that become runs by themselves: exactly what they hold, once, the same everywhere."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import gittrack
from gittrack.core.model import Run
from gittrack.errors import CommitError, UsageError
from gittrack.repo import Repo
from gittrack.repo.select import Selection
from gittrack.store import layout
from tests.repo.conftest import close
from tests.support import GitRepo


def runs(where: str | None = None, *revisions: str) -> list[Run]:
    """What `gittrack log [REVISIONS]` shows, newest first."""
    with Repo.find(where) as repo:
        return repo.select_runs(Selection(revisions=revisions))


def only() -> Run:
    (run,) = runs()
    return run


def values(run: Run) -> dict[str, float]:
    return {key: summary.last for key, summary in run.metrics.items()}


@pytest.fixture
def lab(here: GitRepo) -> Iterator[GitRepo]:
    """A repository in which commits are recorded by themselves; one commit, without an experiment."""
    begin(here.path)
    yield here


def begin(path: str) -> None:
    with Repo.find(path) as repo:
        repo.init()
        repo.install_hooks()


def experiment(repo: GitRepo, lr: float, acc: float, message: str = "try") -> str:
    repo.write("params.yaml", f"lr: {lr}\nmodel: {{depth: 3}}\n")
    repo.write("metrics.json", json.dumps({"acc": acc, "val": {"loss": 1 - acc}}))
    return repo.commit(message)


def test_a_commit_is_recorded_as_it_is_not_as_the_worktree_is(lab: GitRepo) -> None:
    head = experiment(lab, 0.1, 0.5, "raise lr\n\nbecause")
    lab.write("metrics.json", '{"acc": 0.99}')
    run = only()
    assert (run.name, run.commit, run.dirty, run.status) == ("raise lr", head, False, "finished")
    assert dict(run.params) == {"lr": 0.1, "model.depth": 3}
    assert values(run) == {"acc": 0.5, "val.loss": 0.5}
    assert run.start_ms == run.end_ms == int(lab.git("show", "-s", "--format=%ct")) * 1000
    assert run.author == lab.git("show", "-s", "--format=%an <%ae>")
    assert run.tree == lab.git("rev-parse", "HEAD^{tree}") and run.host == "" and not run.argv
    with Repo.find() as repo:
        assert not repo.fsck().findings


def test_commits_of_one_second_are_in_gits_order(lab: GitRepo) -> None:
    names = [f"try {number}" for number in range(6)]
    for number, name in enumerate(names):
        lab.write("metrics.json", json.dumps({"acc": number}))
        lab.git("add", ".")
        lab.git("commit", "-qm", name, env={"GIT_COMMITTER_DATE": "@7 +0000"})
    names.reverse()
    assert [run.name for run in runs()] == names
    with Repo.find() as repo:
        for limit in (1, 2, 5):
            newest = repo.select_runs(Selection(limit=limit))
            assert [run.name for run in newest] == names[:limit]
        assert [repo.get_run(f"@{{-{back}}}").name for back in range(1, 6)] == names[1:]
        assert [run.name for run in repo.search_runs("metrics.acc > 2")] == names[:3]


def test_once_however_often_anybody_looks(lab: GitRepo) -> None:
    experiment(lab, 0.1, 0.5)
    before = only()
    Path(lab.path, ".git/gittrack/seen.json").unlink()
    Path(lab.path, ".git/gittrack/hints").write_text(f"commit {before.commit}\n" * 3)
    assert only() == before
    with Repo.find() as repo:
        assert repo.record_commits(["HEAD"]).known == (before.id,)
    assert only() == before


def test_two_clones_record_the_same_run(lab: GitRepo, tmp_path: Path) -> None:
    experiment(lab, 0.1, 0.5)
    lab.sh("git clone -q . ../other; git -C ../other config user.name Somebody")
    with Repo.find(f"{lab.path}/../other") as other:
        other.init()
        other.record_commits(["HEAD"])
        (theirs,) = other.search_runs()
    assert theirs == only()
    folder = layout.run_dir(theirs.id)
    trees = [
        GitRepo(path).git("rev-parse", f"{layout.STORE_REF}:{folder}")
        for path in (lab.path, f"{lab.path}/../other")
    ]
    assert trees[0] == trees[1]


def test_only_commits_that_change_a_file_are_recorded(lab: GitRepo) -> None:
    first = experiment(lab, 0.1, 0.5)
    lab.write("other.txt", "x")
    lab.commit("notes")
    second = experiment(lab, 0.2, 0.6)
    assert [run.commit for run in runs(None, "HEAD")] == [second, first]


def test_a_commit_that_was_thrown_away_is_an_experiment_too(lab: GitRepo) -> None:
    head = experiment(lab, 0.1, 0.5, "a dead end")
    lab.git("reset", "--quiet", "--hard", "HEAD~1")
    assert (only().name, only().commit) == ("a dead end", head)


def test_an_amended_message_makes_no_second_run(lab: GitRepo) -> None:
    old = experiment(lab, 0.1, 0.5, "typo")
    assert only().commit == old
    lab.git("commit", "--quiet", "--amend", "--message", "better")
    new = lab.git("rev-parse", "HEAD")
    assert only().commits == (old, new)
    lab.git("commit", "--quiet", "--amend", "--message", "best")
    assert [run.id for run in runs(None, "HEAD")] == [only().id]


def test_an_amended_result_is_another_run_and_takes_the_place_of_the_first(lab: GitRepo) -> None:
    experiment(lab, 0.1, 0.5)
    assert values(only())["acc"] == 0.5
    lab.write("metrics.json", '{"acc": 0.7}')
    lab.git("commit", "--quiet", "--all", "--amend", "--no-edit")
    assert [values(run)["acc"] for run in runs(None, "HEAD")] == [0.7]
    assert len(runs()) == 2


@pytest.mark.parametrize("looks_between", [False, True])
def test_picked_and_squashed_commits_are_the_same_experiment(
    lab: GitRepo, looks_between: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab.git("switch", "--quiet", "--create", "feature")
    experiment(lab, 0.1, 0.5, "one")
    experiment(lab, 0.2, 0.6, "two")
    if looks_between:
        assert len(runs()) == 2
    monkeypatch.setenv("GIT_COMMITTER_DATE", "1795449000 +0000")
    lab.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    lab.sh("git cherry-pick feature~1; git cherry-pick feature")
    lab.sh("git switch -q --create release main~2; git merge -q --squash feature")
    lab.sh("git commit -qm 'feature (#1)'")
    assert [run.name for run in runs(None, "main")] == ["two", "one"]
    assert [run.name for run in runs(None, "release")] == ["two"]
    assert len(runs()) == 2


def test_what_a_program_recorded_and_somebody_committed_is_recorded_once(lab: GitRepo) -> None:
    lab.write("params.yaml", "lr: 0.5\n")
    lab.write("metrics.json", "{}")
    lab.commit("before")
    assert len(runs()) == 1
    lab.write("params.yaml", "lr: 0.1\n")
    with gittrack.start_run(run_name="trained"):
        gittrack.log_param("lr", 0.1)
        gittrack.log_metric("acc", 0.75)
    close()
    lab.write("metrics.json", '{"acc": 0.75}')
    lab.commit("with results")
    assert [run.name for run in runs(None, "HEAD~1..HEAD")] == ["trained"]
    assert list(runs()[0].links.values()) == ["differs in metrics.json"]
    assert len(runs()) == 2


def test_results_of_a_program_that_ran_on_a_clean_tree(lab: GitRepo) -> None:
    lab.write("params.yaml", "lr: 0.1\n")
    lab.commit("before")
    for name, acc in (("first", 0.5), ("second", 0.75)):
        with gittrack.start_run(run_name=name):
            gittrack.log_param("lr", 0.1)
            gittrack.log_metric("acc", acc)
        close()
    lab.write("metrics.json", '{"acc": 0.75}')
    lab.commit("with results")
    (run,) = runs(None, "HEAD~1..HEAD")
    assert (run.name, list(run.links.values())) == ("second", ["results"])
    lab.write("metrics.json", '{"acc": 0.75, "f1": 0.5}')
    lab.git("commit", "-qam", "more than any run has")
    assert [run.name for run in runs(None, "HEAD~1..HEAD")] == ["more than any run has"]


def test_a_merge_brings_no_experiment_of_its_own(lab: GitRepo) -> None:
    lab.git("switch", "--quiet", "--create", "feature")
    experiment(lab, 0.1, 0.5, "one")
    lab.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    lab.sh("git merge -q --no-edit feature")
    assert only().name == "one"


def test_what_came_without_hooks_is_found(lab: GitRepo) -> None:
    lab.sh("git clone -q . ../other")
    other = GitRepo(f"{lab.path}/../other")
    experiment(other, 0.3, 0.7, "theirs")
    lab.sh("git remote add other ../other; git fetch -q other")
    assert [run.name for run in runs()] == ["theirs"]


def test_history_from_before_is_recorded_when_asked_for(here: GitRepo) -> None:
    for number in range(3):
        experiment(here, number, number / 10, f"old {number}")
        here.commit("nothing")
    begin(here.path)
    assert runs() == []
    with Repo.find() as repo:
        assert [r.name for r in repo.record_commits(["HEAD~3..HEAD"], dry_run=True).recorded]
    assert runs() == []
    with Repo.find() as repo:
        done = repo.record_commits(["HEAD~3..HEAD"])
        assert [item.name for item in done.recorded] == ["old 2"]
        assert len(repo.record_commits(all_branches=True).recorded) == 2
    assert [run.name for run in runs(None, "HEAD")] == ["old 2", "old 1", "old 0"]
    with Repo.find() as repo:
        # One that is named alone is recorded in any case.
        assert [r.name for r in repo.record_commits(["HEAD"]).recorded] == ["nothing"]


def test_nothing_to_record(lab: GitRepo) -> None:
    with Repo.find() as repo:
        with pytest.raises(CommitError, match="holds nothing to record"):
            repo.record_commits(["HEAD"])
        with pytest.raises(UsageError, match="knows no revision 'nowhere'"):
            repo.record_commits(["nowhere"])
        assert repo.record_commits(["HEAD..HEAD"]).recorded == ()


def test_a_commit_of_which_nothing_can_be_read_is_told_of_once(
    lab: GitRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.write("metrics.json", "<<<<<<< HEAD\n")
    head = lab.commit()
    said = f"commit {head[:12]} was not recorded: metrics.json was not taken in: Expecting value"
    assert runs() == runs() == []
    assert capsys.readouterr().err.count(said) == 1
    with Repo.find() as repo:
        with pytest.raises(CommitError) as caught:
            repo.record_commits(["HEAD"])
        assert caught.value.why.startswith("metrics.json was not taken in: Expecting value")
        assert repo.record_commits(["HEAD~1..HEAD"]).empty == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["metrics.json", "params.yaml", ".gittrack.yaml", "a.txt"])
def test_a_commit_whose_files_are_not_all_here_is_not_recorded_by_halves(
    lab: GitRepo, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    lab.write(".gittrack.yaml", "commits: {artifacts: [a.txt]}\n")
    lab.write("a.txt", "kept\n")
    experiment(lab, 0.1, 0.5)
    oid = lab.git("rev-parse", f"HEAD:{name}")
    file = Path(lab.path, ".git", "objects", oid[:2], oid[2:])
    file.rename(lab.path + "/away")  # as a partial clone has it while its remote is not reached
    assert runs() == []
    assert f"the file with the id {oid[:12]} is not in this clone" in capsys.readouterr().err
    os.rename(lab.path + "/away", file)
    with Repo.find() as repo:
        assert len(repo.record_commits(["HEAD"]).recorded) == 1
    run = only()
    assert (run.params["lr"], values(run)["acc"], list(run.artifacts)) == (0.1, 0.5, ["a.txt"])


def test_a_purged_run_does_not_come_back(lab: GitRepo) -> None:
    experiment(lab, 0.1, 0.5)
    with Repo.find() as repo:
        repo.purge_runs(repo.search_runs())
        assert repo.record_commits(["HEAD"]).recorded == ()
    assert runs() == []


SETTINGS = """\
commits:
  params: ["conf/*.toml", "train.yaml:model.net", "old.ini", ".env"]
  metrics: ["out/*.json", "dvclive/plots/metrics/**/*.tsv", "logs/metrics.csv"]
  artifacts: ["report.md", "big.bin", "key.pem", "model.pkl"]
  plots: ["figures/*.svg"]
  experiment: commits
artifacts:
  max_file_bytes: 1000
"""


def test_every_kind_of_file(lab: GitRepo) -> None:
    for path, text in {
        ".gittrack.yaml": SETTINGS,
        "conf/a.toml": 'lr = 0.1\n[opt]\nname = "adam"\n',
        "conf/b.toml": "lr = 0.2\n",
        "train.yaml": "model:\n  net: {depth: 3}\n  other: 1\n",
        "old.ini": "[data]\nseed = 7\nfast = true\n",
        ".env": "PASSWORD=hunter2hunter2\n",
        "out/m.json": '{"acc": 0.5, "loss": 0.25, "name": "x"}',
        "dvclive/plots/metrics/train/loss.tsv": "step\tloss\n0\t0.5\n1\t0.25\n",
        "logs/metrics.csv": "epoch,step,loss,val\n0,1,0.5,\n0,2,0.25,0.75\n",
        "report.md": "# fine\n",
        "big.bin": "x" * 2000,
        "key.pem": "-----BEGIN RSA PRIVATE KEY-----\n",
        "figures/roc.svg": "<svg/>",
        # DVC tracks it: what the commit holds of it is this.
        "model.pkl.dvc": "outs:\n- md5: 0cc175b9c0f1b6a831c399e269772661\n  path: model.pkl\n",
    }.items():
        lab.write(path, text)
    lab.commit("all of it")
    run = only()
    assert run.experiment == "commits"
    assert dict(run.params) == {
        "lr": 0.1, "opt.name": "adam", "conf/b.toml:lr": 0.2, "model.net.depth": 3,
        "data.seed": 7, "data.fast": True,
    }  # fmt: skip
    assert values(run) == {"acc": 0.5, "loss": 0.25, "train/loss": 0.25, "val": 0.75, "epoch": 0.0}
    # The series ends with what the summary says, so that is no further step.
    assert run.metrics["loss"].count == 2
    assert sorted(run.artifacts) == [
        "big.bin", "model.pkl.dvc", "plots/figures/roc.svg", "report.md",
    ]  # fmt: skip
    assert run.artifacts["big.bin"].md5 and run.artifacts["report.md"].blob
    assert any(".env was not taken in" in text for text in run.warnings)
    assert any("key.pem was not kept" in text for text in run.warnings)
    with Repo.find() as repo:
        assert Path(repo.get_artifact(run.id, "big.bin")).read_text() == "x" * 2000
        assert repo.read_run_file(run, "report.md") == b"# fine\n"
        assert not repo.fsck().findings


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "params.yaml was not taken in"), (BOMB, "more than 20,000 values"),
     ("- 1\n", "it is no mapping"), ("a: " + "[" * 3000, "nested too deeply"),
     ("a: \x00", "params.yaml was not taken in")],
    ids=["broken", "bomb", "list", "deep", "binary"],
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_said_and_the_rest_recorded(
    lab: GitRepo, text: str, said: str
) -> None:
    lab.write("params.yaml", text)
    lab.write("metrics.json", '{"acc": 0.5}')
    lab.commit("half")
    run = only()
    assert values(run) == {"acc": 0.5} and not run.params
    assert any(said in warning for warning in run.warnings), run.warnings


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("metrics.json", '{"a": ' + "9" * 400 + "}"),
        ("metrics.jsonl", '{"step": ' + "9" * 400 + ', "a": 1}'),
        ("metrics.jsonl", "[" * 100_000),
        ("metrics.csv", "step,a\n1e300,1\n"),
        ("metrics.csv", "time_ms,a\n1e300,1\ninf,1\n"),
        ("metrics.csv", "a\n" + "x" * 200_000),
        ("params.yaml", "a: &x [*x]"),
        ("params.yaml", "a: !!bool x"),
        ("params.yaml", 'a: !!int ""'),
        ("params.yaml", "a: " + "9" * 400),
        ("params.yaml", "a: 1\n" + "# much\n" * 200_000),
    ],
)
def test_what_somebody_else_commits_stops_no_command(lab: GitRepo, name: str, text: str) -> None:
    lab.write(".gittrack.yaml", "commits:\n  metrics: [metrics.*, sound.json]\n")
    lab.write("sound.json", '{"sound": 1}')
    lab.write(name, text)
    lab.commit()
    assert values(only())["sound"] == 1
    with Repo.find() as repo:
        assert not repo.fsck().findings


def test_secrets_are_taken_out_before_the_first_write(lab: GitRepo) -> None:
    secret = "ghp_" + "a1B2c3D4" * 5
    lab.write("params.yaml", f"api_token: {secret}\nlr: 1\ndb: [{{password: hunter22}}]\n")
    lab.commit(f"use {secret}")
    run = only()
    assert secret not in repr(run) and run.params["lr"] == 1
    assert run.params["db"] == ["{'password': '<redacted>'}"]
    assert any("api_token was redacted" in text for text in run.warnings)


def test_a_value_that_is_no_number_is_the_same_value_in_two_files(lab: GitRepo) -> None:
    lab.write(".gittrack.yaml", "commits: {params: [a.yaml, b.toml], metrics: [m.csv, m.json]}\n")
    lab.write("a.yaml", "lr: .nan\n")
    lab.write("b.toml", "lr = nan\n")
    lab.write("m.csv", "loss\n1\nnan\n")
    lab.write("m.json", '{"loss": NaN}')
    lab.commit()
    run = only()
    assert list(run.params) == ["lr"]
    assert run.metrics["loss"].count == 2


@pytest.mark.parametrize(
    ("settings", "recorded"),
    [
        ("record: never", []),
        ("record: always", ["third [exp]", "second [skip gittrack]", "first"]),
        ('marker: "[exp]"', ["third [exp]"]),
        ('skip: "[exp]"', ["second [skip gittrack]", "first"]),
        ('branches: ["exp/*"]', []),
        ('branches: ["ma*"]', ["third [exp]", "first"]),
    ],
)
def test_which_commits_are_recorded(lab: GitRepo, settings: str, recorded: list[str]) -> None:
    lab.write(".gittrack.yaml", f"commits:\n  {settings}\n")
    if "always" in settings:
        lab.write(".gittrack.yaml", f"commits:\n  {settings}\n  skip: none\n")
    for number, message in enumerate(("first", "second [skip gittrack]", "third [exp]")):
        if "always" not in settings or not number:
            experiment(lab, number, 0.5, message)
        else:
            lab.commit(message)
    assert [run.name for run in runs(None, "main")] == recorded


@pytest.mark.parametrize("merge", ["--ff-only", "--no-ff"])
def test_commits_of_another_branch_are_recorded_when_they_are_merged(
    lab: GitRepo, merge: str
) -> None:
    lab.write(".gittrack.yaml", "commits:\n  branches: [main]\n")
    experiment(lab, 0.1, 0.5, "first")
    assert [run.name for run in runs()] == ["first"]
    lab.git("switch", "--quiet", "--create", "feature")
    experiment(lab, 0.2, 0.6, "second")
    experiment(lab, 0.3, 0.7, "third")
    # Somebody looks before it is merged.
    assert [run.name for run in runs()] == ["first"]
    lab.git("switch", "--quiet", "main")
    lab.git("merge", "--quiet", merge, "feature")
    assert {run.name for run in runs(None, "main")} == {"third", "second", "first"}


def test_branches_that_are_named_later_bring_no_history(lab: GitRepo) -> None:
    lab.git("config", "gittrack.commits.branches", "main")
    lab.git("switch", "--quiet", "--create", "feature")
    experiment(lab, 0.1, 0.5, "old")
    assert runs() == []
    lab.git("config", "gittrack.commits.branches", "feature")
    experiment(lab, 0.2, 0.6, "new")
    assert [run.name for run in runs()] == ["new"]


def test_a_commit_brings_its_own_settings(lab: GitRepo) -> None:
    lab.write(".gittrack.yaml", "commits:\n  metrics: [result.json]\n")
    lab.write("result.json", '{"acc": 0.25}')
    lab.commit("with settings")
    lab.git("config", "gittrack.commits.experiment", "mine")
    lab.git("rm", "--quiet", "--force", ".gittrack.yaml")
    run = only()
    assert (values(run), run.experiment) == ({"acc": 0.25}, "mine")


def test_settings_that_cannot_be_used_are_said(lab: GitRepo) -> None:
    lab.write(".gittrack.yaml", "commits:\n  metrics: 3\n  no_such: 1\n")
    experiment(lab, 0.1, 0.5)
    lab.git("rm", "--quiet", "--force", ".gittrack.yaml")
    run = only()
    assert values(run)["acc"] == 0.5
    assert any("the present settings were used" in text for text in run.warnings)


def test_nothing_of_an_unfinished_rebase_is_recorded(lab: GitRepo) -> None:
    lab.git("switch", "--quiet", "--create", "feature")
    experiment(lab, 0.1, 0.5, "one")
    lab.write("metrics.json", '{"acc": 0.6}')
    lab.commit("two")
    assert len(runs()) == 2
    lab.sh("git switch -q main; echo x >c.py; git add c.py; git commit -qm main")
    lab.sh("git switch -q feature; GIT_SEQUENCE_EDITOR='sed -i 2s/pick/break\\\\npick/' \\\n"
           "  git rebase -q -i main")  # fmt: skip
    assert lab.git("rev-list", "--count", "main..HEAD") == "1"
    before = [run.id for run in runs()]
    assert len(before) == 2
    lab.git("rebase", "--continue")
    assert [run.name for run in runs(None, "main..feature")] == ["two", "one"]
    assert [run.id for run in runs()] == before


def test_a_bare_repository_and_an_unborn_branch(tmp_path: Path, here: GitRepo) -> None:
    experiment(here, 0.1, 0.5)
    here.sh("git clone -q --bare . ../bare.git; git init -q ../empty")
    with Repo.find(str(tmp_path / "bare.git")) as bare:
        assert [item.name for item in bare.record_commits(["main"]).recorded] == ["try"]
    with Repo.find(str(tmp_path / "empty")) as empty:
        empty.init()
        assert empty.search_runs() == []
        with pytest.raises(UsageError):
            empty.record_commits(["HEAD"])


def test_many_at_once_are_left_to_whoever_asks(
    lab: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("gittrack.repo.catchup._MOST_AT_ONCE", 2)
    first, _, last = (experiment(lab, n, n / 10) for n in range(3))
    assert runs() == []
    assert f"gittrack record {first[:12]}^..{last[:12]}" in capsys.readouterr().err
    with Repo.find() as repo:
        assert len(repo.record_commits([f"{first}^..{last}"]).recorded) == 3


def test_what_is_left_to_whoever_asks_can_be_asked_for(
    lab: GitRepo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """History without a beginning here, and of several branches, has no range."""
    monkeypatch.setattr("gittrack.repo.catchup._MOST_AT_ONCE", 2)
    lab.git("switch", "--quiet", "--orphan", "other")
    for number in range(3):
        experiment(lab, number, number / 10)
    assert runs() == []
    assert "gittrack record --all\n" in capsys.readouterr().err
    for branch in ("one", "two"):
        lab.git("switch", "--quiet", "--create", branch, "other")
        for number in range(2):
            experiment(lab, number + len(branch), 0.5, branch)
    assert runs() == []
    assert "gittrack record --all\n" in capsys.readouterr().err


def test_processes_that_look_at_once_record_everything_once(lab: GitRepo) -> None:
    for number in range(5):
        experiment(lab, number, number / 10)
    script = f"for n in 1 2 3 4; do {sys.executable} -m gittrack log --oneline & done; wait"
    shown = lab.sh(script).splitlines()
    assert len(shown) == 20
    assert len(runs()) == 5
    with Repo.find() as repo:
        assert not repo.fsck().findings


@pytest.mark.parametrize(
    "state",
    [
        "",
        "[]",
        "{",
        '{"tips": 3}',
        '{"look": 1, "tips": [1]}',
        '{"look": [1, 2], "tips": [1], "offset": 0}',
    ],
)
def test_a_state_that_cannot_be_read_begins_anew(lab: GitRepo, state: str) -> None:
    Path(lab.path, ".git/gittrack/seen.json").write_text(state)
    assert runs() == []
    experiment(lab, 0.1, 0.5)
    assert len(runs()) == 1


def test_a_crash_between_recording_and_remembering_does_no_harm(
    lab: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment(lab, 0.1, 0.5)
    with monkeypatch.context() as patch:
        patch.setattr("gittrack.repo.seen.State.write", lambda *_: None)
        assert len(runs()) == 1
    store = lab.git("rev-parse", layout.STORE_REF)
    assert len(runs()) == 1
    assert lab.git("rev-parse", layout.STORE_REF) == store


def test_what_cannot_be_written_is_said_and_found_the_next_time(
    lab: GitRepo, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment(lab, 0.1, 0.5)
    # Nobody gets at a ref that somebody else has locked.
    lock = Path(lab.path, f".git/{layout.STORE_REF}.lock")
    lock.touch()
    assert runs() == []
    assert "new commits were not recorded" in capsys.readouterr().err
    lock.unlink()
    assert len(runs()) == 1
