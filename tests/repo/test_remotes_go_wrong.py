"""Remotes whose ref is deleted, rewound, forced, mirrored away or hostile: local runs survive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gittrack.core import codec
from gittrack.errors import UnsafeStoreError
from gittrack.repo import Repo
from gittrack.repo.sync import Moved
from gittrack.store import inspect as inspect_room
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import Put
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit, commit_anew
from tests.repo.test_sync import REF, clones, names, record, tip
from tests.support import GitRepo

ADA = Person("Ada", "ada@example.org")


def hub_of(repo: GitRepo) -> GitRepo:
    return GitRepo(Path(repo.path).parent / "hub.git")


def shared(tmp_path: Path, count: int = 2) -> list[GitRepo]:
    """Clones that share runs already: the first has two, all have them."""
    made = clones(tmp_path, count)
    for name in ("one", "two"):
        record(made[0], name)
        with Repo.find(made[0].path, {}) as repo:
            repo.share_remote()
            repo.push("origin")
    for other in made[1:]:
        with Repo.find(other.path, {}) as repo:
            repo.share_remote()
            repo.pull("origin")
    return made


def test_a_deleted_ref_is_told_of_and_filled_again(tmp_path: Path) -> None:
    a, _ = shared(tmp_path)
    hub = hub_of(a)
    hub.git("update-ref", "-d", REF)
    with Repo.find(a.path, {}) as one:
        done = one.pull("origin")
        assert (done.moved, done.is_empty) == (Moved.DELETED, True)
        assert names(a) == {"one", "two"}
        assert one.status().unpushed == {"origin": 2}
        assert one.push("origin").sent == 2
    assert hub.git("rev-parse", REF) == tip(a)


def test_a_push_with_mirror_from_a_clone_without_runs_takes_nothing_from_us(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    outsider = GitRepo(tmp_path / "outsider")
    a.git("clone", "-q", "../hub.git", outsider.path)
    outsider.git("push", "-q", "--mirror", "origin")
    assert hub_of(a).git("for-each-ref", "refs/gittrack/store") == ""
    with Repo.find(b.path, {}) as two:
        assert two.pull("origin").moved is Moved.DELETED
        two.push("origin")
    with Repo.find(a.path, {}) as one:
        assert one.pull("origin").moved is Moved.FORWARD
    assert names(a) == names(b) == {"one", "two"}


def test_a_mirror_push_of_an_old_clone_is_made_good(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    record(a, "three")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    b.git("push", "-q", "--mirror", "origin")
    with Repo.find(a.path, {}) as one:
        assert one.pull("origin").moved is Moved.REWOUND
        assert one.status().unpushed == {"origin": 1}
        assert one.push("origin").sent == 1
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
    assert names(a) == names(b) == {"one", "two", "three"}
    assert tip(a) == tip(b)


def test_a_forced_ref_of_another_history_is_joined(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    other = GitRepo.create(tmp_path / "other")
    other.write("a", "")
    other.commit()
    record(other, "other")
    other.git("push", "-q", "--force", hub_of(a).path, REF)
    record(a, "three")
    with Repo.find(a.path, {}) as one:
        done = one.pull("origin")
        assert (done.moved, done.received) == (Moved.REPLACED, 1)
        one.push("origin")
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
    assert names(a) == names(b) == {"one", "two", "three", "other"}
    assert tip(a) == tip(b)


def test_pruning_and_a_fetch_of_everything_leave_our_runs(tmp_path: Path) -> None:
    a, _ = shared(tmp_path)
    record(a, "mine")
    a.git("fetch", "-q", "--prune", "--prune-tags", "origin")
    a.git("remote", "prune", "origin")
    hub_of(a).git("update-ref", "-d", REF)
    a.git("fetch", "-q", "--prune", "--all")
    assert names(a) == {"one", "two", "mine"}
    a.git("remote", "remove", "origin")
    assert names(a) == {"one", "two", "mine"}
    # What was known of it goes with the next day's housekeeping.
    os.utime(Path(a.path, ".git", "gittrack", "kept"), (1, 1))
    assert names(a) == {"one", "two", "mine"}
    assert a.git("for-each-ref", "refs/gittrack/remote") == ""


def test_a_remote_that_is_renamed_goes_on_getting_runs(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    a.git("remote", "rename", "origin", "upstream")
    record(a, "mine")
    with Repo.find(a.path, {}) as one:
        assert one.shared_remotes() == ["upstream"]
        assert one.push("upstream").sent == 1
        assert one.status().unpushed == {"upstream": 0}
        assert not one.share_remote("upstream").is_new
        assert one.status().unpushed == {"upstream": 1 + 2}
        one.pull("upstream")
        assert one.status().unpushed == {"upstream": 0}
    assert "origin" not in a.git("for-each-ref", "refs/gittrack/remote")
    record(b, "theirs")
    with Repo.find(b.path, {}) as two:
        two.push("origin")
    a.git("fetch", "-q", "upstream")
    assert names(a) == {"one", "two", "mine", "theirs"}


def poisoned(repo: GitRepo, base: str | None) -> str:
    """A store commit with a YAML bomb in a run of its own."""
    git = Git(find_paths(repo.path, {}))
    path = f"{layout.run_dir('20260101-000000-0123456789ab')}/run.yaml"
    bomb = b"a: &a [x]\n" + b"".join(
        b"%c: &%c [*%c,*%c]\n" % (n + 1, n + 1, n, n) for n in range(97, 120)
    )
    made = commit(
        git, "refs/gittrack/store/evil", base, Tree({path: bomb}, "x\n"), ADA, 1, fsync=False
    )
    git.close()
    repo.git("update-ref", "-d", "refs/gittrack/store/evil")
    return made


def test_a_hostile_store_is_refused_by_every_way_in_and_looked_at_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = shared(tmp_path)
    record(a, "mine")
    before = tip(a)
    b.git("push", "-q", "origin", f"{poisoned(b, tip(b))}:{REF}")
    looked: list[str] = []
    real = inspect_room.inspect
    monkeypatch.setattr(
        "gittrack.repo.sync.inspect", lambda *args: (looked.append(args[1]), real(*args))
    )
    # Plain git brings it; a read says so once, and goes on without it.
    a.git("fetch", "-q")
    capfd.readouterr()
    assert names(a) == {"one", "two", "mine"}
    said = capfd.readouterr().err
    assert said.count("what origin has is refused") == 1
    assert "runs/2026-01/01/00/20260101-000000-0123456789ab/run.yaml" in said and "anchor" in said
    assert names(a) == {"one", "two", "mine"}
    assert capfd.readouterr().err == ""
    with Repo.find(a.path, {}) as one:
        for step in (one.pull, one.push):
            with pytest.raises(UnsafeStoreError, match="0123456789ab/run"):
                step("origin")
        assert one.status().unpushed == {"origin": 1}
        one.set_tags([one.get_run("mine")], {"a": "b"})
    assert len(looked) == 1
    assert a.git("merge-base", "--is-ancestor", before, REF) == ""
    # Once the remote is cleaned, everything goes on.
    hub_of(a).git("update-ref", REF, tip(b))
    with Repo.find(a.path, {}) as one:
        one.push("origin")
        assert one.status().unpushed == {"origin": 0}
    assert names(a) == {"one", "two", "mine"}


def test_a_remote_of_a_newer_epoch_is_taken_and_of_an_older_one_forced_away(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    record(b, "late")
    git = Git(find_paths(a.path, {}))
    store = codec.decode_mapping(git.run("cat-file", "blob", f"{REF}:store.yaml"))
    newer = {"store.yaml": Put(data=codec.encode_mapping({**store, "epoch": 1}))}
    made = commit_anew(git, REF, tip(a), newer, "anew\n", ADA, 5, fsync=False)
    git.close()
    assert tip(a) == made and a.git("rev-list", "--count", REF) == "1"
    assert a.git("for-each-ref", "refs/gittrack/scratch") == ""
    record(a, "after")
    with Repo.find(a.path, {}) as one:
        assert one.push("origin").sent >= 1
    with Repo.find(b.path, {}) as two:
        done = two.pull("origin")
        assert done.moved is Moved.REWRITTEN
        two.push("origin")
    with Repo.find(a.path, {}) as one:
        one.pull("origin")
    assert names(a) == names(b) == {"one", "two", "after", "late"}
    assert tip(a) == tip(b)
    # What was rewritten away is nobody's parent any more.
    roots = b.git("rev-list", "--max-parents=0", REF).split()
    assert roots == [made]


@pytest.mark.parametrize("how", ["mirror", "deleted", "set back"])
def test_our_own_ref_that_another_program_moved_is_told_of_and_recovered(
    tmp_path: Path, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    a, _ = shared(tmp_path)
    record(a, "mine")
    record(a, "mine too")
    assert names(a) == {"one", "two", "mine", "mine too"}
    if how == "mirror":
        a.git("fetch", "-q", "origin", "+refs/*:refs/*", "--prune", "--update-head-ok")
    elif how == "deleted":
        with Repo.find(a.path, {}) as one:
            # Else what the remote has would take its place at once.
            one.unshare_remote("origin")
        a.git("update-ref", "-d", REF)
    else:
        a.git("update-ref", REF, f"{REF}~1")
    capfd.readouterr()
    with Repo.find(a.path, {}) as one:
        one.search_runs()
    said = capfd.readouterr().err
    assert f"{REF} was {'deleted' if how == 'deleted' else 'set back'} by another program" in said
    assert "next: gittrack recover" in said
    names(a)
    assert "another program" not in capfd.readouterr().err
    with Repo.find(a.path, {}) as one:
        assert one.recover(dry_run=True).rejoined >= 1
        assert one.recover().rejoined >= 1
        assert one.recover().rejoined == 0
    assert names(a) == {"one", "two", "mine", "mine too"}


def test_what_gittrack_itself_moves_is_no_loss(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = shared(tmp_path)
    for number in range(3):
        record(a, f"more{number}")
        record(b, f"other{number}")
        with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
            one.search_runs(), two.search_runs()
            one.push("origin"), two.push("origin"), one.pull("origin")
            one.search_runs(), two.search_runs()
    with Repo.find(a.path, {}) as one:
        one.rewrite_history()
        one.search_runs()
        one.push("origin")
    with Repo.find(b.path, {}) as two:
        two.pull("origin")
        assert len(two.search_runs()) == 8
    assert "another program" not in capfd.readouterr().err
