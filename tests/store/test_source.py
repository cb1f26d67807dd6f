"""What ran comes back byte by byte, whatever state the worktree was in; nothing is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.core.model import Source
from gittrack.errors import SourceError
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from gittrack.store.rebuild import changed_files, rebuild
from gittrack.store.source import (
    Snapshot,
    head_state,
    overlay_id,
    snapshot,
)
from tests.support import GitRepo

START = """
printf 'a\\n' > a.txt; printf 'b\\n' > b.txt; mkdir -p d; printf 'c\\n' > d/c.sh
printf 'gone\\n' > gone; ln -s a.txt link
git add -A; git commit -qm one
"""


@pytest.fixture
def start(repo: GitRepo) -> GitRepo:
    repo.sh(START)
    return repo


def take(
    repo: GitRepo,
    scratch: Path,
    *,
    untracked: tuple[str, ...] = (),
    max_bytes: int = 1_000_000,
    withhold: Callable[[str, bytes], str | None] = lambda path, data: None,
) -> Snapshot:
    git = Git(find_paths(repo.path, {}))
    scratch.mkdir()
    found = snapshot(
        git, head_state(git), str(scratch), untracked=untracked, max_bytes=max_bytes,
        withhold=withhold,
    )  # fmt: skip
    git.close()
    return found


def listing(folder: str) -> dict[str, tuple[str, bytes]]:
    """Every file: its kind and its bytes."""
    found = {}
    for top, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != ".git"]
        for name in [*files, *(f for f in folders if os.path.islink(os.path.join(top, f)))]:
            path = os.path.join(top, name)
            key = os.path.relpath(path, folder)
            if os.path.islink(path):
                found[key] = ("link", os.fsencode(os.readlink(path)))
            else:
                executable = os.stat(path).st_mode & stat.S_IXUSR
                found[key] = ("x" if executable else "-", Path(path).read_bytes())
    return found


def laid_out(repo: GitRepo, shot: Snapshot, into: Path) -> dict[str, tuple[str, bytes]]:
    git = Git(find_paths(repo.path, {}))
    rebuilt = rebuild(git, shot.source, shot.overlay, str(into))
    git.close()
    assert rebuilt.tree == (shot.source.rebuilds or shot.source.tree)
    return listing(str(into))


CASES = {
    "edited": "printf 'A2\\n' > a.txt",
    "staged": "printf 's\\n' > s.txt; git add s.txt",
    "staged and edited again": "printf 's\\n' > s; git add s; printf 's2\\n' > s",
    "deleted": "rm gone",
    "deleted from the staging area": "git rm -q gone",
    "renamed": "git mv a.txt 'new name.txt'",
    "mode": "chmod +x a.txt",
    "mode and content": "chmod +x a.txt; printf 'x\\n' >> a.txt",
    "symlink changed": "rm link; ln -s b.txt link",
    "file becomes symlink": "rm a.txt; ln -s b.txt a.txt",
    "file becomes folder": "rm a.txt; mkdir a.txt; printf 'in\\n' > a.txt/f; git add -A",
    "folder becomes file": "rm -r d; printf 'd\\n' > d; git add -A",
    "odd names": "for n in 'q\"uote' 'back\\\\slash' 'ünï' ' space ' '.dvc' 'x.dvc' 'CON'; "
    "do printf \"$n\" > \"$n\"; done; git add -A",
    "newline in a name": "printf 'n' > \"$(printf 'a\\nb')\"; git add -A",
    "empty file": ": > empty; git add empty",
    "binary": "head -c 3000 /dev/urandom > bin; git add bin",
    "intent to add": "printf 'i\\n' > i; git add -N i",
    "no change of content": "touch a.txt",
    "line ends": "printf 'l.txt text eol=crlf\\n' > .gitattributes; git add .gitattributes; "
    "printf 'l\\r\\n' > l.txt; git add l.txt",
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_ran_comes_back(start: GitRepo, tmp_path: Path, case: str) -> None:
    start.sh(CASES[case])
    shot = take(start, tmp_path / "scratch")
    tracked = listing(start.path)
    assert laid_out(start, shot, tmp_path / "out") == tracked


def test_a_clean_worktree_is_its_commit(start: GitRepo, tmp_path: Path) -> None:
    shot = take(start, tmp_path / "scratch")
    assert shot.overlay == {}
    assert shot.source.tree == start.git("rev-parse", "HEAD^{tree}")
    assert (shot.source.dirty, shot.source.branch, shot.source.base) == (
        False,
        "main",
        start.git("rev-parse", "HEAD"),
    )


def test_an_edit_of_the_same_size_in_the_same_second_is_seen(
    start: GitRepo, tmp_path: Path
) -> None:
    for number in range(5):
        # git trusts an entry unless its file is as young as the index that it is in.
        start.sh("printf '%s\\n' x > a.txt; git add a.txt; printf '%s\\n' y > a.txt")
        shot = take(start, tmp_path / f"scratch{number}")
        assert shot.overlay["a.txt"] == b"y\n"


def test_nothing_of_the_repository_is_written(start: GitRepo, tmp_path: Path) -> None:
    start.sh("printf 'A2\\n' > a.txt; printf 's\\n' > s; git add s; git stash; git stash apply -q")
    git = Path(start.path, ".git")

    def look() -> dict[str, tuple[int, int, bytes]]:
        return {
            # git makes an object young again when it would write the same one.
            str(path): (
                0 if "objects" in path.parts else path.stat().st_mtime_ns,
                path.stat().st_ino,
                path.read_bytes(),
            )
            for path in git.rglob("*")
            if path.is_file()
        }

    before = look()
    shot = take(start, tmp_path / "scratch")
    laid_out(start, shot, tmp_path / "out")
    assert look() == before


def test_a_merge_in_progress(start: GitRepo, tmp_path: Path) -> None:
    start.sh(
        """
        git checkout -qb other; printf 'other\\n' > a.txt; git commit -qam other
        git checkout -q main; printf 'main\\n' > a.txt; git commit -qam main
        git merge other >/dev/null || true
        """
    )
    before = start.git("ls-files", "--stage")
    shot = take(start, tmp_path / "scratch")
    assert shot.source.state == "merging"
    assert b"<<<<<<<" in shot.overlay["a.txt"]
    assert laid_out(start, shot, tmp_path / "out") == listing(start.path)
    assert start.git("ls-files", "--stage") == before


def test_an_unborn_branch(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("a", "1")
    repo.git("add", "a")
    shot = take(repo, tmp_path / "scratch")
    assert (shot.source.commit, shot.source.base) == (None, None)
    assert laid_out(repo, shot, tmp_path / "out") == listing(repo.path)


def test_a_sparse_checkout_is_whole_again(start: GitRepo, tmp_path: Path) -> None:
    whole = listing(start.path)
    start.git("sparse-checkout", "set", "--no-cone", "/b.txt")
    start.write("b.txt", "changed\n")
    assert not os.path.exists(os.path.join(start.path, "a.txt"))
    shot = take(start, tmp_path / "scratch")
    assert shot.source.deleted == ()
    whole["b.txt"] = ("-", b"changed\n")
    assert laid_out(start, shot, tmp_path / "out") == whole


def test_a_submodule_is_its_commit_and_its_dirt_is_named(start: GitRepo, tmp_path: Path) -> None:
    inner = GitRepo.create(tmp_path / "inner")
    inner.write("i", "1")
    inner.commit()
    start.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", inner.path, "sub")
    start.git("commit", "-qm", "submodule")
    sub = GitRepo(os.path.join(start.path, "sub"))
    sub.write("i", "2")
    assert take(start, tmp_path / "s1").source.submodules_dirty == ("sub",)
    moved = sub.commit()
    shot = take(start, tmp_path / "s2")
    assert shot.source.gitlinks == {"sub": moved}
    assert shot.source.tree != start.git("rev-parse", "HEAD^{tree}")


def test_a_clean_filter_stores_what_git_would(start: GitRepo, tmp_path: Path) -> None:
    start.git("config", "filter.rot.clean", "tr a-z n-za-m")
    start.git("config", "filter.rot.smudge", "tr a-z n-za-m")
    start.sh("printf '*.rot filter=rot\\n' > .gitattributes; printf 'abc\\n' > x.rot; git add -A")
    shot = take(start, tmp_path / "scratch")
    assert shot.overlay["x.rot"] == b"nop\n"
    assert laid_out(start, shot, tmp_path / "out") == listing(start.path)


def test_untracked_files_only_by_glob_and_never_ignored_ones(
    start: GitRepo, tmp_path: Path
) -> None:
    start.sh("printf 'u' > u.py; printf 'i' > i.py; printf 'n' > n.txt; printf 'i.py' > .gitignore")
    assert take(start, tmp_path / "s1").overlay == {}
    shot = take(start, tmp_path / "s2", untracked=("*.py",))
    assert shot.overlay == {"u.py": b"u"}
    assert shot.source.dirty


def test_withheld_files_are_left_out_whole_and_named(start: GitRepo, tmp_path: Path) -> None:
    start.sh("printf 'SECRET=1\\n' > .env; printf 'ok\\n' > ok; git add -A; printf 'A2\\n' > a.txt")

    def withhold(path: str, data: bytes) -> str | None:
        return "looks like .env" if path == ".env" else None

    shot = take(start, tmp_path / "scratch", withhold=withhold)
    assert dict(shot.source.withheld) == {".env": "looks like .env"}
    assert set(shot.overlay) == {"ok", "a.txt"}
    assert shot.source.rebuilds not in (None, shot.source.tree)
    out = laid_out(start, shot, tmp_path / "out")
    assert out == {k: v for k, v in listing(start.path).items() if k != ".env"}


def test_the_largest_files_are_withheld_when_all_is_too_much(
    start: GitRepo, tmp_path: Path
) -> None:
    start.write("big", b"x" * 5000)
    start.write("small", b"y" * 100)
    start.git("add", "-A")
    shot = take(start, tmp_path / "scratch", max_bytes=1000)
    assert list(shot.source.withheld) == ["big"]
    assert "5000" in shot.source.withheld["big"]
    assert set(shot.overlay) == {"small"}


def test_the_base_is_the_nearest_commit_that_a_remote_holds(start: GitRepo, tmp_path: Path) -> None:
    remote = GitRepo.create(tmp_path / "remote", "--bare")
    start.git("remote", "add", "origin", remote.path)
    start.git("push", "-q", "origin", "main")
    pushed = start.git("rev-parse", "HEAD")
    assert take(start, tmp_path / "s0").source.base == pushed
    start.write("local.py", "1\n")
    start.commit("not pushed")
    shot = take(start, tmp_path / "s1")
    assert (shot.source.base, shot.overlay) == (pushed, {"local.py": b"1\n"})
    assert shot.source.commit == start.git("rev-parse", "HEAD")
    assert not shot.source.dirty
    # A clone that has the pushed commit alone can rebuild it.
    clone = GitRepo(tmp_path / "clone")
    start.git("clone", "-q", remote.path, clone.path)
    assert laid_out(clone, shot, tmp_path / "out") == listing(start.path)
    # Too much to carry: then HEAD is the base after all.
    assert take(start, tmp_path / "s2", max_bytes=1).source.base == start.git("rev-parse", "HEAD")


def test_a_base_that_is_not_here_is_named(start: GitRepo, tmp_path: Path) -> None:
    git = Git(find_paths(start.path, {}))
    source = Source(commit="1" * 40, base="1" * 40, tree="2" * 40)
    with pytest.raises(SourceError) as caught:
        rebuild(git, source, {}, str(tmp_path / "out"))
    git.close()
    assert "1" * 40 in caught.value.message
    assert caught.value.next.startswith("git fetch")
    assert not (tmp_path / "out").exists()


def test_a_checkout_writes_only_into_new_folders_outside(start: GitRepo, tmp_path: Path) -> None:
    shot = take(start, tmp_path / "scratch")
    git = Git(find_paths(start.path, {}))
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine").write_text("mine")
    inside = [os.path.join(start.path, "new"), os.path.join(start.path, ".git", "new")]
    for into in [str(full), str(full / "mine"), start.path, *inside]:
        with pytest.raises(SourceError):
            rebuild(git, shot.source, shot.overlay, into)
    git.close()
    assert os.listdir(full) == ["mine"]


@pytest.mark.parametrize("path", ["../evil", "/tmp/evil", ".git/hooks/post-commit", "a/../../evil"])
@pytest.mark.parametrize("how", ["file", "symlink", "gitlink"])
def test_paths_that_lead_elsewhere_are_refused(
    start: GitRepo, tmp_path: Path, path: str, how: str
) -> None:
    head = start.git("rev-parse", "HEAD")
    source = Source(commit=head, base=head, tree="1" * 40)
    if how == "file":
        source = source._replace(files=(path,))
    elif how == "symlink":
        source = source._replace(symlinks={path: "/etc/passwd"})
    else:
        source = source._replace(gitlinks={path: head})
    git = Git(find_paths(start.path, {}))
    with pytest.raises(SourceError):
        rebuild(git, source, {path: b"evil"}, str(tmp_path / "out"))
    git.close()
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "out").exists()


def test_a_tree_that_does_not_come_out_is_an_error(start: GitRepo, tmp_path: Path) -> None:
    start.write("a.txt", "changed\n")
    shot = take(start, tmp_path / "scratch")
    git = Git(find_paths(start.path, {}))
    with pytest.raises(SourceError, match="does not come out"):
        rebuild(git, shot.source, {"a.txt": b"tampered\n"}, str(tmp_path / "out"))
    git.close()


def test_files_that_differ_between_two_sources(start: GitRepo, tmp_path: Path) -> None:
    old = take(start, tmp_path / "s1")
    start.sh("printf 'A2\\n' > a.txt; rm gone; printf 'n\\n' > new; git add new")
    new = take(start, tmp_path / "s2")
    git = Git(find_paths(start.path, {}))
    found = changed_files(git, old.source, old.overlay, new.source, new.overlay)
    git.close()
    assert found == [("changed", "a.txt"), ("removed", "gone"), ("added", "new")]


def test_an_overlay_is_named_by_its_content() -> None:
    one = overlay_id({"a": b"1", "b": b"2"})
    assert one == overlay_id({"b": b"2", "a": b"1"})
    assert len({one, overlay_id({"a": b"12", "b": b""}), overlay_id({"a": b"1"})}) == 3


def test_few_calls_of_git_when_nothing_has_changed(start: GitRepo, tmp_path: Path) -> None:
    git = Git(find_paths(start.path, {}))
    calls: list[tuple[str, ...]] = []
    real = git.start

    def counted(*args: str, **options: object):
        calls.append(args)
        return real(*args, **options)  # type: ignore[arg-type]

    git.start = counted  # type: ignore[method-assign]
    (tmp_path / "s").mkdir()
    snapshot(
        git,
        head_state(git),
        str(tmp_path / "s"),
        untracked=(),
        max_bytes=1,
        withhold=lambda p, d: None,
    )
    git.close()
    assert len(calls) == 2
