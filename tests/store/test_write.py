"""One suite over every kind of repository: plain, bare, linked worktree, packed, SHA-256."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.errors import GitError, RefMovedError
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader, PygitReader, Reader, iter_tree_changes
from gittrack.store.packs import join_small_packs
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit, list_refs, read_ref, update
from tests.support import GitRepo

REF = "refs/gittrack/store/main"
ADA = Person("Ada", "ada@example.com")


def make(kind: str, folder: Path) -> GitRepo:
    options = {"bare": ["--bare"], "sha256": ["--object-format=sha256"]}.get(kind, [])
    repo = GitRepo.create(folder / "repo", *options)
    if kind in ("worktree", "packed"):
        repo.write("a.txt", "a\n")
        repo.commit()
    if kind == "worktree":
        repo.git("worktree", "add", "--quiet", "../linked")
        return GitRepo(folder / "linked")
    if kind == "packed":
        git = open_git(repo)
        commit(git, REF, None, Tree({"old": b"old"}, "old"), ADA, 1, fsync=False)
        repo.git("gc", "--quiet", "--prune=now")
        assert os.path.exists(os.path.join(repo.path, ".git", "packed-refs"))
        git.close()
    return repo


def open_git(repo: GitRepo) -> Git:
    return Git(find_paths(repo.path, {}))


@pytest.fixture(params=["plain", "bare", "worktree", "packed", "sha256"])
def git(request: pytest.FixtureRequest, tmp_path: Path):
    git = open_git(make(request.param, tmp_path))
    yield git
    git.close()


def put(git: Git, files: dict[str, bytes | None], message: str = "m") -> str:
    tip = update(git, REF, lambda tip: Tree(files, message), ADA)
    assert tip is not None
    return tip


def test_what_is_written_is_what_plain_git_reads(git: Git) -> None:
    odd = bytes(range(256))
    tip = put(git, {"runs/x/a": odd, "store.yaml": b"format: 1\n"}, "first\n")
    assert git.run("cat-file", "blob", f"{REF}:runs/x/a") == odd
    assert git.run("log", "-1", "--format=%H %an %ae %s", REF).decode().split() == [
        tip,
        "Ada",
        "ada@example.com",
        "first",
    ]


def test_other_paths_stay_as_they_are(git: Git) -> None:
    put(git, {"a/b": b"1", "a/c": b"2"})
    put(git, {"a/b": None, "a/d": b"3"})
    names = git.run("ls-tree", "-r", "--name-only", REF).decode().split()
    assert [name for name in names if name.startswith("a/")] == ["a/c", "a/d"]


def test_a_ref_that_moved_is_not_overwritten(git: Git) -> None:
    first = put(git, {"a": b"1"})
    second = put(git, {"a": b"2"})
    with pytest.raises(RefMovedError):
        commit(git, REF, first, Tree({"a": b"3"}, "late"), ADA, 1, fsync=False)
    with pytest.raises(RefMovedError):
        commit(git, REF, None, Tree({"a": b"3"}, "unborn"), ADA, 1, fsync=False)
    assert read_ref(git, REF) == second


def test_update_plans_again_on_the_new_tip(git: Git) -> None:
    first = put(git, {"n": b"1"})
    seen = []

    def plan(tip: str | None) -> Tree:
        seen.append(tip)
        if len(seen) == 1:
            put(git, {"other": b"x"})
        return Tree({"n": b"2"}, "mine")

    update(git, REF, plan, ADA)
    assert seen[0] == first
    assert len(seen) == 2
    assert git.run("show", f"{REF}:n") == b"2"
    assert git.run("show", f"{REF}:other") == b"x"


def test_nothing_to_write_makes_no_commit(git: Git) -> None:
    tip = put(git, {"a": b"1"})
    assert update(git, REF, lambda tip: None, ADA) == tip
    assert read_ref(git, REF) == tip


def test_the_ref_has_a_reflog(git: Git) -> None:
    first = put(git, {"a": b"1"})
    put(git, {"a": b"2"})
    assert git.run("rev-parse", f"{REF}@{{1}}").decode().strip() == first


def test_no_loose_objects_are_left(git: Git) -> None:
    before = git.run("count-objects")
    for number in range(5):
        put(git, {f"runs/{number}": b"%d" % number})
    assert git.run("count-objects") == before


def test_small_packs_are_joined_and_nothing_is_lost(git: Git) -> None:
    for number in range(12):
        put(git, {f"runs/{number}": b"%d" % number})
    pack_dir = os.path.join(git.common_dir, "objects", "pack")
    before = [name for name in os.listdir(pack_dir) if name.endswith(".pack")]
    assert join_small_packs(git, 10) >= 12
    after = [name for name in os.listdir(pack_dir) if name.endswith(".pack")]
    assert len(after) <= len(before) - 11
    git.run("fsck", "--strict")
    for number in range(12):
        assert git.run("show", f"{REF}:runs/{number}") == b"%d" % number
    assert join_small_packs(git, 10) == 0


def test_packs_of_the_user_are_left_alone(repo: GitRepo) -> None:
    repo.write("a.txt", "a\n")
    repo.commit()
    repo.git("gc", "--quiet")
    folder = Path(repo.path, ".git", "objects", "pack")
    users = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    git = open_git(repo)
    for number in range(8):
        put(git, {f"runs/{number}": b"%d" % number})
    join_small_packs(git, 3)
    now = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert users.items() <= now.items()
    git.close()


def test_both_readers_see_the_same_changes(git: Git) -> None:
    first = put(git, {"runs/a/x": b"1", "runs/b/x": b"2", "same/z": b"3", "file": b"f"})
    second = put(git, {"runs/a/x": b"9", "runs/b/x": None, "runs/c/x": b"4", "file": b"g"})

    def trees(tip: str) -> str:
        return git.run("rev-parse", f"{tip}^{{tree}}").decode().strip()

    def changes(reader: Reader) -> list[tuple[str, bool, bool]]:
        found = iter_tree_changes(
            reader, trees(first), trees(second), lambda path: path.count("/") == 1
        )
        return sorted((c.path, c.old is not None, c.new is not None) for c in found)

    expected = [
        ("file", True, True),
        ("runs/a", True, True),
        ("runs/b", True, False),
        ("runs/c", False, True),
    ]
    assert changes(CatFileReader(git)) == expected
    if b"sha256" not in git.run("rev-parse", "--show-object-format"):
        assert changes(PygitReader(git)) == expected
    assert list(iter_tree_changes(CatFileReader(git), trees(first), trees(first), bool)) == []


def test_a_missing_object_is_none_in_both_readers(git: Git) -> None:
    put(git, {"a": b"1"})
    length = len(read_ref(git, REF) or "")
    assert list(CatFileReader(git).read_many(["1" * length])) == [None]
    if length == 40:
        assert list(PygitReader(git).read_many(["1" * 40])) == [None]


def test_a_stale_lock_is_named_and_nothing_is_lost(git: Git, monkeypatch) -> None:
    tip = put(git, {"a": b"1"})
    lock = Path(git.common_dir, *REF.split("/")).with_name("main.lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_bytes(b"")
    monkeypatch.setattr("gittrack.store.write._LOCK_PATIENCE_S", 0.05)
    with pytest.raises(GitError) as caught:
        put(git, {"a": b"2"})
    assert str(lock) in caught.value.why
    assert read_ref(git, REF) == tip
    lock.unlink()
    put(git, {"a": b"2"})
    assert git.run("show", f"{REF}:a") == b"2"


WRITER = """
import sys
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, update
git = Git(find_paths(sys.argv[1], {}))
for n in range(5):
    path = f"runs/{sys.argv[2]}-{n}"
    update(git, "refs/gittrack/store/main", lambda tip: Tree({path: b"1"}, path), Person("a", "b"),
           fsync=False)
git.close()
"""


def test_sixteen_processes_lose_nothing(repo: GitRepo) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, repo.path, str(number)])
        for number in range(16)
    ]
    assert [writer.wait() for writer in writers] == [0] * 16
    names = repo.git("ls-tree", "-r", "--name-only", REF).split()
    assert sorted(names) == sorted(f"runs/{i}-{n}" for i in range(16) for n in range(5))
    assert len(repo.git("rev-list", REF).split()) == 80


def test_all_refs_below_a_prefix_are_listed(repo: GitRepo) -> None:
    git = open_git(repo)
    tip = put(git, {"a": b"1"})
    repo.git("update-ref", "refs/gittrack/store/2026h1", tip)
    assert list_refs(git, "refs/gittrack/store/") == {
        "refs/gittrack/store/2026h1": tip,
        REF: tip,
    }
    git.close()


def test_a_failed_import_leaves_nothing_behind(repo: GitRepo, monkeypatch) -> None:
    git = open_git(repo)
    tip = put(git, {"a": b"1"})
    before = sorted(os.listdir(git.git_dir))
    # An import that dies in the middle: the stream names an object that is not there.
    with pytest.raises(GitError):
        commit(git, REF, "1" * 40, Tree({"a": b"x"}, "m"), ADA, 1, fsync=False)
    assert sorted(os.listdir(git.git_dir)) == before
    assert read_ref(git, REF) == tip
    git.close()
