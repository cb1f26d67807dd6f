"""Large artifacts go to a DVC remote and come from it, between real clones."""

from __future__ import annotations

import os
import shutil
import time
from hashlib import md5
from pathlib import Path

import pytest

import gittrack
from gittrack.errors import ArtifactError, ArtifactRemoteError, UsageError
from gittrack.repo import Repo
from tests.repo.conftest import close
from tests.repo.test_artifacts import data_of, fill
from tests.support import GitRepo


@pytest.fixture
def shared(here: GitRepo, tmp_path: Path) -> GitRepo:
    """A clone with a hub for its runs, and a folder that is the remote of its artifacts."""
    here.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    here.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    here.git("push", "-q", "origin", "HEAD")
    with Repo.find() as repo:
        repo.set_artifact_remote("store", "url", str(tmp_path / "remote"))
    return here


@pytest.fixture
def runs(shared: GitRepo, tmp_path: Path) -> dict[str, str]:
    fill(tmp_path, ["model.pt", *(f"ckpt/{n}" for n in range(25))])
    found = {}
    for name in ("file", "folder"):
        with gittrack.start_run(run_name=name) as run:
            found[name] = run.id
            if name == "folder":
                gittrack.log_artifacts(tmp_path / "ckpt", "ckpt")
            else:
                gittrack.log_artifact(tmp_path / "model.pt")
    close()
    return found


def clone(shared: GitRepo, tmp_path: Path, name: str = "b") -> GitRepo:
    """A second clone, which has the runs and knows the remote."""
    shared.git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / name))
    other = GitRepo(tmp_path / name)
    other.git("config", "user.name", "B")
    other.git("config", "user.email", "b@example.org")
    with Repo.find(other.path) as repo:
        repo.share_remote("origin", hooks=False)
        repo.pull("origin")
        repo.set_artifact_remote("store", "url", str(tmp_path / "remote"))
    return other


def place(tmp_path: Path, name: str) -> Path:
    digest = md5(data_of(name)).hexdigest()
    return tmp_path / "remote" / "gittrack" / "files" / "md5" / digest[:2] / digest[2:]


def listing(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "remote").rglob("*.dir")
    return found


def push(shared: GitRepo) -> None:
    with Repo.find(shared.path) as repo:
        assert repo.push_artifacts().lacking == ()
        repo.share_remote("origin", hooks=False)
        repo.push("origin")


def test_what_is_pushed_arrives_in_another_clone(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path
) -> None:
    seen: list[tuple[int, int, int, int | None]] = []
    with Repo.find() as repo:
        done = repo.push_artifacts(progress=lambda *args: seen.append(args))
        assert (done.remote, done.sent, done.lacking) == ("store", 27, ())
        assert seen[-1][0] == seen[-1][1] == 27
        assert repo.push_artifacts()[1:] == (0, 0, 27, ())
    push(shared)
    other = clone(shared, tmp_path)
    with Repo.find(other.path) as repo:
        assert list(repo.objects) == []  # runs come without theirs
        done = repo.pull_artifacts([repo.get_run("file")])
        assert (done.sent, done.lacking) == (1, ())
        assert Path(repo.get_artifact(runs["file"], "model.pt")).read_bytes() == data_of("model.pt")
        assert repo.pull_artifacts().sent == 26
        assert repo.verify_artifacts(repo.search_runs()).troubles == ()


def test_what_is_asked_for_is_fetched_and_nothing_else(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path
) -> None:
    push(shared)
    other = clone(shared, tmp_path)
    with Repo.find(other.path) as repo:
        path = repo.get_artifact(runs["folder"], "ckpt/7")
        assert Path(path).read_bytes() == data_of("ckpt/7")
        assert len(list(repo.objects)) == 2  # the listing, and that file
        assert repo.read_artifact(runs["file"], "model.pt") == data_of("model.pt")
        places = repo.lay_out_artifacts(repo.get_run("folder"), ["ckpt"], str(tmp_path / "into"))
        assert len(places) == 25
        assert (tmp_path / "into" / "3").read_bytes() == data_of("ckpt/3")


def test_an_export_fetches_what_says_what_a_folder_holds(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path
) -> None:
    push(shared)
    other = clone(shared, tmp_path)
    with Repo.find(shared.path) as one, Repo.find(other.path) as two:
        expected = one.export_dvc(one.get_run("folder")).commit
        with (
            Repo.find(other.path, {"GITTRACK_OFFLINE": "1"}) as offline,
            pytest.raises(ArtifactError, match="not known what the folder ckpt holds"),
        ):
            offline.export_dvc(offline.get_run("folder"))
        assert two.export_dvc(two.get_run("folder")).commit == expected
        assert [item.md5.endswith(".dir") for item in two.objects] == [True]


@pytest.mark.parametrize("offline", [False, True])
def test_what_cannot_be_fetched_is_told(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path, offline: bool
) -> None:
    push(shared)
    other = clone(shared, tmp_path)
    if not offline:
        shutil.rmtree(tmp_path / "remote")
    env = {"GITTRACK_OFFLINE": "1"} if offline else {}
    with Repo.find(other.path, env) as repo, pytest.raises(ArtifactError) as caught:
        repo.get_artifact(runs["file"], "model.pt")
    assert "model.pt of run 'file' is not here" in caught.value.message
    assert ("offline" if offline else "is not there") in caught.value.why


def test_an_artifact_that_nobody_has_is_named(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path
) -> None:
    push(shared)
    place(tmp_path, "ckpt/7").unlink()
    place(tmp_path, "ckpt/8").chmod(0o644)
    place(tmp_path, "ckpt/8").write_bytes(b"rubbish")
    other = clone(shared, tmp_path)
    with Repo.find(other.path) as repo:
        done = repo.pull_artifacts()
        assert {(item.run_name, item.path) for item in done.lacking} == {
            ("folder", "ckpt/7"), ("folder", "ckpt/8"),
        }  # fmt: skip
        with pytest.raises(ArtifactError, match="neither here nor"):
            repo.get_artifact(runs["folder"], "ckpt/8")
        assert not repo.objects.has(md5(b"rubbish").hexdigest())
    # Who has it sends it again; what has other bytes there is replaced when that is asked for.
    with Repo.find(shared.path) as repo:
        done = repo.push_artifacts()
        assert {item.path for item in done.lacking} == {"ckpt/8"}
        done = repo.push_artifacts(repair=True)
        assert (done.sent, done.lacking) == (1, ())
    with Repo.find(other.path) as repo:
        assert repo.pull_artifacts().lacking == ()
        assert repo.verify_artifacts(repo.search_runs()).troubles == ()


def test_the_remote_repairs_what_is_damaged_here(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path
) -> None:
    push(shared)
    with Repo.find() as repo:
        damaged = Path(repo.objects.path(md5(data_of("model.pt")).hexdigest()))
        damaged.chmod(0o644)
        damaged.write_bytes(b"rubbish")
        # What is damaged here is not sent either, nor does it count as sent.
        shutil.rmtree(place(tmp_path, "model.pt").parent)
        done = repo.push_artifacts()
        assert [(item.path, item.run_name) for item in done.lacking] == [("model.pt", "file")]
        assert repo.repair_artifacts().repaired == 0
        place(tmp_path, "model.pt").parent.mkdir(exist_ok=True)
        place(tmp_path, "model.pt").write_bytes(data_of("model.pt"))
        done = repo.repair_artifacts()
        assert (done.repaired, done.troubles) == (1, ())
        assert damaged.read_bytes() == data_of("model.pt")


def test_without_a_remote_that_is_said(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path, ["model.pt"])
    with gittrack.start_run():
        gittrack.log_artifact(tmp_path / "model.pt")
    close()
    with Repo.find() as repo:
        with pytest.raises(ArtifactRemoteError) as caught:
            repo.push_artifacts()
        assert caught.value.next == "gittrack remote artifacts add NAME URL"
        assert repo.artifact_remotes() == (None, {})


def test_remotes_are_added_and_taken_away(here: GitRepo, tmp_path: Path) -> None:
    with Repo.find() as repo:
        repo.set_artifact_remote("a", "url", "s3://bucket/x")
        repo.set_artifact_remote("a", "region", "eu")
        repo.set_artifact_remote("a", "secret_access_key", "hush=hush")
        repo.set_artifact_remote("ab", "url", str(tmp_path))
        repo.set_artifact_remote("a", "url", "s3://bucket/y")
        assert repo.artifact_remotes()[1] == {"a": "s3://bucket/y", "ab": str(tmp_path)}
        assert repo.config.artifacts_local_remotes == (
            "a=s3://bucket/y", "a.region=eu", "a.secret_access_key=hush=hush",
            f"ab={tmp_path}",
        )  # fmt: skip
        for name, option, value in (("", "url", "x"), ("a b", "url", "x"), ("a", "b-c", "x"),
                                    ("a", "url", ""), ("a", "url", "x\ny"), ("a=b", "url", "c")):  # fmt: skip
            with pytest.raises(UsageError):
                repo.set_artifact_remote(name, option, value)
        assert repo.remove_artifact_remote("a")
        assert not repo.remove_artifact_remote("a")
        assert repo.artifact_remotes() == ("ab", {"ab": str(tmp_path)})


def test_the_remotes_of_dvc_are_used_as_they_are(here: GitRepo, tmp_path: Path) -> None:
    here.write(".dvc/config", "[core]\n    remote = team\n['remote \"team\"']\n    url = ../../r\n")
    fill(tmp_path, ["model.pt"])
    with gittrack.start_run():
        gittrack.log_artifact(tmp_path / "model.pt")
    close()
    before = here.git("status", "--porcelain")
    with Repo.find() as repo:
        assert repo.artifact_remotes() == ("team", {"team": str(tmp_path / "r")})
        assert repo.push_artifacts().sent == 1
    digest = md5(data_of("model.pt")).hexdigest()
    stored = tmp_path / "r" / "gittrack" / "files" / "md5" / digest[:2] / digest[2:]
    assert stored.read_bytes() == data_of("model.pt")
    assert here.git("status", "--porcelain") == before
    assert sorted(os.listdir(Path(here.path, ".dvc"))) == ["config"]


# -- what nobody needs there -----------------------------------------------------------------


def test_what_no_run_needs_is_swept_from_a_remote_after_two_weeks(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(shared)
    other = clone(shared, tmp_path)  # it has no object, not even the listing of the folder
    stray = tmp_path / "remote" / "gittrack" / "files" / "md5" / "00" / ("0" * 30)
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"stray")
    now = [time.time()]
    monkeypatch.setattr("time.time", lambda: now[0])
    with Repo.find(other.path) as repo:
        assert repo.sweep_remote(dry_run=True) == (0, 0, 1, 5, {})
        assert repo.sweep_remote() == (0, 0, 1, 5, {})
        now[0] += 13 * 86_400
        assert repo.sweep_remote().waiting == 1
    assert stray.exists()
    now[0] += 2 * 86_400
    with Repo.find(other.path) as repo:
        assert repo.sweep_remote(dry_run=True)[:2] == (1, 5)
        assert stray.exists()
        assert repo.sweep_remote() == (1, 5, 0, 0, {})
        assert not stray.exists()
        assert repo.pull_artifacts().lacking == ()
        repo.purge_runs([repo.get_run("file")])
        assert repo.sweep_remote(wait_s=0).objects == 1
        repo.purge_runs([repo.get_run("folder")])
        assert repo.sweep_remote(wait_s=0).objects == 26
    assert [path for path in (tmp_path / "remote").rglob("*") if path.is_file()] == []


def test_what_is_needed_again_waits_anew() -> None:
    from gittrack.repo.upkeep import ripe

    assert ripe({"a"}, {}, 100, wait_s=10) == (set(), {"a": 100})
    assert ripe({"a", "b"}, {"a": 100.0}, 109, wait_s=10) == (set(), {"a": 100, "b": 109})
    assert ripe(set(), {"a": 100.0}, 109, wait_s=10) == (set(), {})
    assert ripe({"a", "b"}, {"a": 100.0, "b": 109}, 110, wait_s=10) == ({"a"}, {"b": 109})
    assert ripe({"a"}, {}, 100, wait_s=0) == ({"a"}, {})


def test_nothing_is_swept_when_it_is_not_known_what_is_needed(
    shared: GitRepo, runs: dict[str, str], tmp_path: Path
) -> None:
    push(shared)
    other = clone(shared, tmp_path)
    listing(tmp_path).chmod(0o644)
    listing(tmp_path).write_bytes(b"[")
    with (
        Repo.find(other.path) as repo,
        pytest.raises(ArtifactError, match="nothing was deleted"),
    ):
        repo.sweep_remote(wait_s=0)
    assert len([path for path in (tmp_path / "remote").rglob("*") if path.is_file()]) == 27
