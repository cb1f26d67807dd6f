"""What git does is noted by our hooks, and nothing else happens; every commit here is a real one."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.repo.hints import COMMIT, REWRITE, Hint, hints_file, read_hints
from gittrack.store import hookfile, hooks
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from tests.store.desk import fill, git_of, hook_of, make_program
from tests.support import GitRepo

GIT = str(shutil.which("git"))


class Noted:
    """A repository with our hooks, and what they have noted since it was last asked."""

    def __init__(self, repo: GitRepo) -> None:
        self.repo = repo
        self.common = Git(find_paths(repo.path, {})).common_dir
        Path(self.common, "gittrack").mkdir(exist_ok=True)
        hooks.install(*git_of(repo))
        self._offset = read_hints(self.common)[1]

    def do(self, *args: str, at: GitRepo | None = None, **env: str) -> list[Hint]:
        """Run git, which must succeed and say nothing; what was noted of it."""
        done = subprocess.run(
            [GIT, *args], cwd=(at or self.repo).path, env={**os.environ, **env},
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b""), args
        return self.new()

    def new(self) -> list[Hint]:
        """What was noted since."""
        found, self._offset = read_hints(self.common, self._offset)
        return found

    def commit(self, name: str, *options: str, at: GitRepo | None = None, **env: str) -> list[Hint]:
        """Commit a file of that name, which holds it."""
        repo = at or self.repo
        repo.write(name, f"{name}\n")
        repo.git("add", name)
        return self.do("commit", "-qm", name, *options, at=repo, **env)


def ids(repo: GitRepo, *revisions: str) -> list[str]:
    return repo.git("rev-parse", *revisions).split()


def head(repo: GitRepo) -> list[Hint]:
    return [Hint(COMMIT, repo.git("rev-parse", "HEAD"))]


@pytest.fixture
def noted(repo: GitRepo) -> Noted:
    repo.commit("first")
    return Noted(repo)


def test_commits_and_merges(noted: Noted) -> None:
    repo = noted.repo
    assert noted.commit("a") == head(repo)
    (old,) = ids(repo, "HEAD")
    assert noted.do("commit", "--amend", "-qm", "b") == [
        *head(repo), Hint(REWRITE, *ids(repo, "HEAD"), old, "amend")
    ]  # fmt: skip
    assert noted.do("switch", "-qc", "side", "HEAD~") == []
    side = noted.commit("c")
    assert side == head(repo)
    # A fast-forward moves to a commit that is known, and is noted all the same.
    assert noted.do("switch", "-q", "-c", "ff", "HEAD~") == []
    assert noted.do("merge", "-q", "--no-stat", "side") == side
    noted.do("switch", "-q", "main")
    assert noted.do("merge", "-q", "--no-edit", "--no-stat", "side") == head(repo)
    assert len(ids(repo, "HEAD^@")) == 2
    # --squash makes no commit; that comes later.
    noted.do("switch", "-qc", "squashed", "HEAD^1")
    repo.git("merge", "--squash", "side")
    assert noted.new() == []
    assert noted.do("commit", "-qm", "squashed") == head(repo)
    assert noted.commit("off", GITTRACK="0") == []


def test_picks_and_patches(noted: Noted) -> None:
    repo = noted.repo
    noted.do("switch", "-qc", "side")
    noted.commit("a")
    noted.commit("b")
    repo.git("format-patch", "-o", "../patches", "-2")
    repo.git("switch", "-q", "main")
    noted.new()
    repo.git("cherry-pick", "side")
    assert noted.new() == head(repo)
    repo.git("revert", "--no-edit", "HEAD")
    assert noted.new() == head(repo)
    # Each patch is a commit of its own that stays.
    repo.git("checkout", "-q", "--detach", "side~2")
    repo.sh("git am -q ../patches/*.patch")
    assert noted.new() == [Hint(COMMIT, oid) for oid in ids(repo, "HEAD~", "HEAD")]
    # What is committed while bisecting does not stay.
    repo.git("bisect", "start", "HEAD", "HEAD~2")
    assert noted.commit("tried") == []
    repo.git("bisect", "reset")
    assert noted.new() == []


@pytest.mark.parametrize("backend", ["--merge", "--apply"])
def test_a_rebase_is_noted_when_it_is_over(noted: Noted, backend: str) -> None:
    repo = noted.repo
    noted.do("switch", "-qc", "side")
    for name in "ab":
        noted.commit(name)
    noted.do("switch", "-q", "main")
    noted.commit("onto")
    noted.do("switch", "-q", "side")
    old = ids(repo, "HEAD~", "HEAD")
    repo.git("rebase", "-q", backend, "main")
    new = ids(repo, "HEAD~", "HEAD")
    assert noted.new() == [Hint(REWRITE, n, o, "rebase") for n, o in zip(new, old, strict=True)]


def test_an_autosquash_leads_from_every_commit_to_what_it_became(noted: Noted) -> None:
    repo = noted.repo
    for name in "ab":
        noted.commit(name)
    repo.write("a", "better\n")
    noted.do("commit", "-qa", "--fixup", "HEAD~")
    a, b, fixup = ids(repo, "HEAD~2", "HEAD~", "HEAD")
    repo.git("rebase", "-q", "-i", "--autosquash", "HEAD~3", env={"GIT_SEQUENCE_EDITOR": "true"})
    found = noted.new()
    # Nothing is noted of the commits on the way.
    assert {hint.kind for hint in found} == {REWRITE}
    became = {hint.old: hint.oid for hint in found if hint.how == "rebase"}
    squashed, last = ids(repo, "HEAD~", "HEAD")
    assert (became[a], became[b], became[fixup]) == (squashed, last, squashed)


def test_wherever_commits_are_made(noted: Noted, tmp_path: Path) -> None:
    repo = noted.repo
    linked = GitRepo(tmp_path / "a linked 'one'")
    repo.git("worktree", "add", "-q", "-b", "linked", linked.path)
    assert noted.commit("linked", at=linked) == head(linked)
    # A rebase in one worktree is none in another.
    Path(noted.common, "rebase-merge").mkdir()
    assert noted.commit("main") == []
    assert noted.commit("more", at=linked) == head(linked)
    Path(noted.common, "rebase-merge").rmdir()
    Path(repo.path, "deep").mkdir()
    assert noted.do("commit", "-q", "--allow-empty", "-m", "x", at=GitRepo(f"{repo.path}/deep")) == head(repo)  # fmt: skip
    assert noted.do("checkout", "-q", "--detach") == []
    assert noted.commit("detached") == head(repo)

    top = GitRepo.create(tmp_path / "top")
    top.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", repo.path, "sub")
    sub = Noted(GitRepo(tmp_path / "top" / "sub"))
    assert sub.common == f"{top.path}/.git/modules/sub"
    assert sub.commit("of sub") == head(sub.repo)
    assert noted.new() == []

    repo.git("init", "-q", "--separate-git-dir", "../elsewhere")
    apart = Noted(repo)
    assert apart.common == str(tmp_path / "elsewhere")
    assert apart.commit("apart") == head(repo)


def test_where_refs_are_no_files_the_note_names_no_commit(tmp_path: Path) -> None:
    for option in ("--object-format=sha256", "--ref-format=reftable"):
        try:
            repo = GitRepo.create(tmp_path / option, option)
        except AssertionError:
            continue  # this git is too old for it
        found = Noted(repo).commit("a")
        assert found == ([Hint(COMMIT)] if "reftable" in option else head(repo))


TROUBLES: dict[str, Callable[[Path], object]] = {
    "no folder of ours": lambda ours: shutil.rmtree(ours),
    "a file in its place": lambda ours: (shutil.rmtree(ours), ours.write_text("")),
    # Not a mode: root would write all the same.
    "nothing can be written": lambda ours: (ours / "hints").mkdir(),
    "nobody reads": lambda ours: (ours / "hints").symlink_to("/dev/full"),
}


@pytest.mark.parametrize("trouble", [*TROUBLES, "a full disk", "no PATH", "no home"])
def test_trouble_is_silent_and_stops_nothing(
    noted: Noted, trouble: str, tiny_disk: Callable[[Path], None], tmp_path: Path
) -> None:
    ours = Path(noted.common, "gittrack")
    env = {"PATH": str(tmp_path / "none")} if trouble == "no PATH" else {}
    if trouble == "a full disk":
        tiny_disk(ours)
        fill(ours)
    elif trouble in TROUBLES:
        TROUBLES[trouble](ours)
    elif trouble == "no home":
        env = {"HOME": "/nonexistent", "TMPDIR": "/nonexistent"}
    found = noted.commit("a", **env)
    # Nothing is started, so nothing is missed.
    assert found == (head(noted.repo) if env else [])
    again = noted.do("commit", "--amend", "-qm", "b", **env)
    assert [hint.kind for hint in again] == ([COMMIT, REWRITE] if env else [])


def test_half_a_line_on_a_full_disk_costs_that_line_alone(noted: Noted) -> None:
    path = Path(hints_file(noted.common))
    path.write_text("commit 1234")
    noted.commit("a")
    assert noted.commit("b") == head(noted.repo)


#: Hooks of the user's, of every event that we have one for.
THEIRS = {
    "sh": hook_of('{ echo "${0##*/} $*"; cat; } >>"$THEIRS"', "#!/bin/sh -eu"),
    "unread": hook_of('echo "${0##*/} $*" >>"$THEIRS"; exit 1', "#!/usr/bin/env bash"),
    # With an option that we do not know of it is renamed, as one of another language is.
    "renamed": hook_of('{ echo "${0##*/} $*"; cat; } >>"$THEIRS"; exit 3', "#!/bin/sh -C"),
}


@pytest.mark.parametrize("kind", THEIRS)
def test_the_user_s_hooks_do_what_they_did_and_come_back(
    repo: GitRepo, kind: str, tmp_path: Path
) -> None:
    repo.commit("first")
    folder = Path(repo.path, ".git/hooks")
    shutil.rmtree(folder)
    folder.mkdir()
    names = [name for name in hooks.NAMES if name != "pre-push"]
    for name in names:
        make_program(folder / name, THEIRS[kind].decode())
    theirs = tmp_path / "theirs"
    script = """
        git switch -qc "$1" start && echo x >"x" && git add x && git commit -qm x
        git commit -q --amend -m y && git format-patch -q -o "../patches-$1" -1
        git switch -qc "$1-am" start && git am -q "../patches-$1/"*
        git switch -qc "$1-merge" start && git merge -q --no-stat "$1"
        git commit -q --allow-empty -m more && git rebase -q --force-rebase start
    """

    def act(name: str) -> str:
        theirs.write_text("")
        done = subprocess.run(
            ["sh", "-ec", script, "-", name], cwd=repo.path, capture_output=True, text=True,
            env={**os.environ, "THEIRS": str(theirs)}, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        # A hook that was renamed is called so.
        return theirs.read_text().replace(hookfile.LEGACY, "")

    repo.git("tag", "start")
    before = act("before")
    assert before.count("post-rewrite amend\n") == before.count("post-rewrite rebase\n") == 1
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    noted = Noted(repo)
    renamed = {path.name for path in folder.iterdir()} - {*names, "pre-push"}
    assert renamed == ({name + hookfile.LEGACY for name in names} if kind == "renamed" else set())
    # Dates are fixed: the same commits are made again.
    assert act("after") == before
    assert {hint.kind for hint in noted.new()} == {COMMIT, REWRITE}
    hooks.uninstall(*git_of(repo))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    assert act("last") == before
    assert noted.new() == []


def test_a_bare_repository_is_left_alone(tmp_path: Path) -> None:
    bare = GitRepo.create(tmp_path / "bare.git", "--bare")
    Path(bare.path, "gittrack").mkdir()
    for name in hooks.NAMES:
        shutil.copy(hooks.__file__.replace("store/hooks.py", f"hooks/{name}"), f"{bare.path}/hooks")
    source = GitRepo.create(tmp_path / "source")
    source.commit()
    source.git("push", "-q", "../bare.git", "HEAD:refs/heads/main")
    bare.git("update-ref", "refs/heads/other", "refs/heads/main")
    assert os.listdir(f"{bare.path}/gittrack") == []
