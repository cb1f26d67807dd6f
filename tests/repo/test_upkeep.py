"""The object store is checked, measured and freed, and nothing that a run needs goes."""

from __future__ import annotations

import os
import shutil
from hashlib import md5
from pathlib import Path

import pytest

import gittrack
from gittrack.errors import ArtifactError
from gittrack.repo import Repo
from gittrack.repo.upkeep import DAMAGED, MISSING
from gittrack.store import layout
from gittrack.store.odb import Odb
from gittrack.store.write import Tree, commit, read_ref
from tests.repo.conftest import close
from tests.repo.fsck import ADA
from tests.repo.test_artifacts import BIG, data_of, fill
from tests.support import GitRepo


@pytest.fixture
def runs(here: GitRepo, tmp_path: Path) -> dict[str, str]:
    """A run with a file, one with a folder kept as one, and one that shares the file."""
    fill(tmp_path, ["model.pt", *(f"ckpt/{n}" for n in range(30))])
    found = {}
    for name in ("file", "folder", "same"):
        with gittrack.start_run(run_name=name) as run:
            found[name] = run.id
            if name == "folder":
                gittrack.log_artifacts(tmp_path / "ckpt", "ckpt")
            else:
                gittrack.log_artifact(tmp_path / "model.pt")
            gittrack.log_text("small", "small.txt")
    close()
    return found


def md5_of(name: str) -> str:
    return md5(data_of(name)).hexdigest()


def damage(repo: Repo, name: str) -> None:
    place = Path(repo.objects.path(md5_of(name)))
    place.chmod(0o644)
    place.write_bytes(b"rubbish")


def test_an_honest_store(runs: dict[str, str], opened: Repo) -> None:
    done = opened.verify_artifacts()
    assert (done.objects, done.troubles) == (32, ())
    usage = {u.run_name: u for u in opened.artifact_usage()}
    size = len(data_of("model.pt"))
    assert usage["same"][2:] == (2, 5, size, size)
    total = sum(len(data_of(f"ckpt/{n}")) for n in range(30))
    assert usage["folder"][2:] == (31, 5, total, total)
    assert opened.artifact_usage()[0].run_name == "folder"
    assert opened.collect_garbage(grace_s=0) == (0, 0, 0)


def test_damage_is_named_with_every_run(runs: dict[str, str], opened: Repo) -> None:
    damage(opened, "model.pt")
    damage(opened, "ckpt/7")
    Path(opened.objects.path(md5_of("ckpt/8"))).unlink()
    done = opened.verify_artifacts()
    assert {(t.run_name, t.path, t.what) for t in done.troubles} == {
        ("file", "model.pt", DAMAGED), ("same", "model.pt", DAMAGED), ("folder", "ckpt/7", DAMAGED),
    }  # fmt: skip
    # That one is not here is a fault only of a run that is asked for: others came without theirs.
    done = opened.verify_artifacts([opened.get_run("folder")])
    assert {(t.path, t.what) for t in done.troubles} == {("ckpt/7", DAMAGED), ("ckpt/8", MISSING)}
    assert opened.verify_artifacts(repair=True).repaired == 0


def test_a_good_copy_repairs_a_damaged_one(
    runs: dict[str, str], opened: Repo, here: GitRepo
) -> None:
    name = md5_of("model.pt")
    cache = Path(here.path, ".dvc", "cache", "files", "md5", name[:2])
    cache.mkdir(parents=True)
    (cache / name[2:]).write_bytes(data_of("model.pt"))
    damage(opened, "model.pt")
    done = opened.verify_artifacts(repair=True)
    assert (done.repaired, done.troubles) == (1, ())
    assert opened.read_artifact(runs["file"], "model.pt") == data_of("model.pt")
    # A copy that is damaged too repairs nothing, and is not taken.
    (cache / name[2:]).write_bytes(b"worse")
    damage(opened, "model.pt")
    done = opened.verify_artifacts(repair=True)
    assert (done.repaired, len(done.troubles)) == (0, 2)
    assert Path(opened.objects.path(name)).read_bytes() == b"rubbish"


def test_a_damaged_object_is_written_anew_by_who_has_it(
    runs: dict[str, str], opened: Repo, tmp_path: Path
) -> None:
    damage(opened, "model.pt")
    with gittrack.start_run():
        gittrack.log_artifact(tmp_path / "model.pt")
    close()
    assert opened.read_artifact(runs["file"], "model.pt") == data_of("model.pt")


def test_what_no_run_needs_is_freed(runs: dict[str, str], opened: Repo) -> None:
    stray = opened.objects.put_bytes(b"stray" * BIG)
    folder = Path(opened.objects.folder, "tmp")
    folder.mkdir(exist_ok=True)
    (folder / "0123456789abcdef.new").write_bytes(b"half")
    assert opened.collect_garbage() == (0, 0, 0)  # all of it is young
    assert opened.collect_garbage(grace_s=0, dry_run=True) == (1, 5 * BIG, 1)
    assert opened.objects.has(stray.md5)
    assert opened.collect_garbage(grace_s=0) == (1, 5 * BIG, 1)
    assert not opened.objects.has(stray.md5)
    assert os.listdir(folder) == []
    assert opened.verify_artifacts(opened.search_runs()).troubles == ()


def test_hidden_and_running_runs_need_theirs_and_purged_ones_do_not(
    runs: dict[str, str], opened: Repo, tmp_path: Path
) -> None:
    opened.delete_runs([opened.get_run("folder")])
    assert opened.collect_garbage(grace_s=0).objects == 0
    fill(tmp_path, ["new.pt"])
    with gittrack.start_run():
        gittrack.log_artifact(tmp_path / "new.pt")
        with Repo.find() as other:
            assert other.collect_garbage(grace_s=0).objects == 0
    close()
    with Repo.find() as other:
        other.purge_runs([other.get_run("file")])
        assert other.collect_garbage(grace_s=0).objects == 0  # `same` has it too
        other.purge_runs([other.get_run(runs["folder"])])
        assert other.collect_garbage(grace_s=0).objects == 31
        assert other.verify_artifacts(other.search_runs(include_deleted=True)).troubles == ()


def test_what_was_fetched_and_is_not_joined_needs_its_objects(
    runs: dict[str, str], here: GitRepo, tmp_path: Path
) -> None:
    tip = here.git("rev-parse", "refs/gittrack/store/main")
    here.git("update-ref", "refs/gittrack/remote/origin/store/main", tip)
    here.git("config", "remote.origin.url", str(tmp_path / "hub"))
    here.git(
        "config", "remote.origin.fetch",
        "+refs/gittrack/store/*:refs/gittrack/remote/origin/store/*",
    )  # fmt: skip
    here.git("update-ref", "-d", "refs/gittrack/store/main")
    shutil.rmtree(Path(here.path, ".git", "gittrack", "index.sqlite"), ignore_errors=True)
    with Repo.find() as other:
        assert len(other.search_runs()) == 3
        assert other.collect_garbage(grace_s=0).objects == 0


@pytest.mark.parametrize("what", ["a damaged run", "a damaged listing"])
def test_nothing_is_freed_when_it_is_not_known_what_is_needed(
    runs: dict[str, str], here: GitRepo, what: str
) -> None:
    """Deleting is no place for guesses."""
    with Repo.find() as opened:
        opened.objects.put_bytes(b"stray")
        if what == "a damaged run":
            path = f"{layout.run_dir(runs['file'])}/artifacts.yaml"
            tip = read_ref(opened.git, layout.STORE_REF)
            tree = Tree({path: b"[1"}, "damage\n")
            commit(opened.git, layout.STORE_REF, tip, tree, ADA, 2_000_000_000, fsync=False)
        else:
            (listing,) = [item.md5 for item in opened.objects if item.md5.endswith(".dir")]
            os.chmod(opened.objects.path(listing), 0o644)
            Path(opened.objects.path(listing)).write_bytes(b"[")
    with Repo.find() as opened:
        count = len(list(opened.objects))
        with pytest.raises(ArtifactError, match="nothing was deleted"):
            opened.collect_garbage(grace_s=0)
        assert len(list(opened.objects)) == count


def test_an_object_that_is_stored_again_is_young_again(tmp_path: Path) -> None:
    objects = Odb(str(tmp_path))
    stored = objects.put_bytes(b"x" * BIG)
    os.utime(objects.path(stored.md5), (0, 0))
    assert next(iter(objects)).mtime == 0
    objects.put_bytes(b"x" * BIG)
    assert next(iter(objects)).mtime > 1_000_000
