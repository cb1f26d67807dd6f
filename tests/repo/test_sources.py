"""What a run stands on stays, and gets to those who want to see it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gittrack.errors import SourceError
from gittrack.repo import Repo
from gittrack.store import layout
from gittrack.store.chain import join_chain, keep
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from tests.repo.test_sync import clones, record, tip
from tests.support import GitRepo

SOURCE = layout.SOURCE_REF


def drop_what_no_ref_holds(repo: GitRepo) -> None:
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "-q", "--prune=now")


def has(repo: GitRepo, commit: str) -> bool:
    return repo.sh(f"git cat-file -e {commit}^{{commit}} 2>/dev/null && echo yes || true") == "yes"


def unpublished(tmp_path: Path) -> tuple[GitRepo, GitRepo, str]:
    """Two clones of a hub without branches, and a commit of the first that no branch holds."""
    GitRepo.create(tmp_path / "hub.git", "--bare")
    a = GitRepo.create(tmp_path / "a")
    a.git("remote", "add", "origin", "../hub.git")
    a.write("train.py", "v1\n")
    commit = a.commit()
    record(a, "first")
    a.git("clone", "-q", "../hub.git", str(tmp_path / "b"))
    return a, GitRepo(tmp_path / "b"), commit


def test_a_commit_that_was_rebased_away_and_pruned_is_checked_out_elsewhere(tmp_path: Path) -> None:
    a, b, commit = unpublished(tmp_path)
    with Repo.find(a.path, {}) as one:
        one.share_remote()
        one.push("origin")
    a.write("train.py", "v2\n")
    a.git("commit", "-q", "--amend", "-a", "-m", "other")
    a.git("push", "-q", "origin", "HEAD:main")
    drop_what_no_ref_holds(a)
    with Repo.find(b.path, {}) as two:
        two.share_remote()
        two.pull("origin")
        # A pull brings runs, not other people's unfinished code.
        assert not has(b, commit)
        done = two.checkout(two.get_run("first"), str(tmp_path / "out"))
    assert done.tree == a.git("rev-parse", f"{commit}^{{tree}}")
    assert (tmp_path / "out" / "train.py").read_text() == "v1\n"
    # And the first still has it, too.
    with Repo.find(a.path, {}) as one:
        one.checkout(one.get_run("first"), str(tmp_path / "again"))
    assert b.git("status", "--porcelain") == "" and not (Path(b.path) / ".git/FETCH_HEAD").exists()


@pytest.mark.parametrize("by_id", [True, False])
def test_hosts_that_give_no_commits_by_their_ids_give_the_chain(
    tmp_path: Path, by_id: bool
) -> None:
    a, b, commit = unpublished(tmp_path)
    # Protocol 0 asks for what is advertised only.
    b.git("config", "protocol.version", "2" if by_id else "0")
    with Repo.find(a.path, {}) as one:
        one.share_remote()
        one.push("origin")
    with Repo.find(b.path, {}) as two:
        two.share_remote()
        two.pull("origin")
        two.checkout(two.get_run("first"), str(tmp_path / "out"))
    tracking = b.git("for-each-ref", "--format=%(refname)", "refs/gittrack/remote/origin/source")
    assert (tracking == "") is by_id
    assert has(b, commit)


def test_unfinished_code_stays_at_home_where_that_is_wished(tmp_path: Path) -> None:
    a, b, commit = unpublished(tmp_path)
    a.git("config", "gittrack.share.sources", "false")
    with Repo.find(a.path, {}) as one:
        one.share_remote()
        one.push("origin")
    assert "source" not in GitRepo(tmp_path / "hub.git").git("for-each-ref")
    with Repo.find(b.path, {}) as two:
        two.share_remote()
        two.pull("origin")
        with pytest.raises(SourceError, match=f"commit {commit} is not in this repository"):
            two.checkout(two.get_run("first"), str(tmp_path / "out"))
    # It is kept alive all the same.
    a.git("commit", "-q", "--amend", "-m", "other")
    drop_what_no_ref_holds(a)
    assert has(a, commit)


def test_what_a_remote_branch_holds_needs_no_chain(tmp_path: Path) -> None:
    (a,) = clones(tmp_path, 1)
    record(a, "one")
    with Repo.find(a.path, {}) as one:
        one.share_remote()
        one.push("origin")
    assert a.git("for-each-ref", SOURCE) == ""
    # Until the branch is gone, there and here.
    head = a.git("rev-parse", "HEAD")
    hub = GitRepo(tmp_path / "hub.git")
    hub.git("config", "receive.denyDeleteCurrent", "ignore")
    a.git("push", "-q", "origin", ":main")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    assert a.git("rev-list", "--parents", "-1", SOURCE).split()[1:] == [head]
    assert hub.git("rev-parse", SOURCE) == a.git("rev-parse", SOURCE)
    before = tip(a)
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    assert tip(a) == before


def test_once_a_day_any_command_keeps_what_runs_stand_on(tmp_path: Path) -> None:
    a, _, commit = unpublished(tmp_path)
    with Repo.find(a.path, {}) as one:
        one.search_runs()
    assert a.git("rev-list", "--parents", "-1", SOURCE).split()[1:] == [commit]
    a.git("update-ref", "-d", SOURCE)
    with Repo.find(a.path, {}) as one:
        one.search_runs()
    assert a.git("for-each-ref", SOURCE) == ""
    os.utime(Path(a.path, ".git", "gittrack", "kept"), (1, 1))
    with Repo.find(a.path, {}) as one:
        one.search_runs()
    assert a.git("rev-list", "--parents", "-1", SOURCE).split()[1:] == [commit]


def test_chains_of_two_clones_become_one(tmp_path: Path) -> None:
    made = clones(tmp_path, 3)
    bases = []
    for number, repo in enumerate(made):
        repo.git("remote", "set-url", "origin", "../hub.git")
        repo.git("update-ref", "-d", "refs/remotes/origin/main")
        repo.sh("git update-ref -d refs/remotes/origin/HEAD || true")
        repo.write("a.txt", f"{number}\n")
        bases.append(repo.commit(f"work of {number}"))
        record(repo, f"run{number}")
        with Repo.find(repo.path, {}) as opened:
            opened.share_remote()
            opened.push("origin")
    hub = GitRepo(tmp_path / "hub.git")
    for base in bases:
        assert hub.git("merge-base", "--is-ancestor", base, SOURCE) == ""
    # An empty commit each, by nobody, whatever the parents.
    assert hub.git("log", "-1", "--format=%an %s", SOURCE) == "gittrack sources of runs [skip ci]"
    assert hub.git("ls-tree", SOURCE) == ""


def test_the_chain_grows_by_heads_alone_and_joins_alike(tmp_path: Path) -> None:
    repo = GitRepo.create(tmp_path / "r")
    commits = []
    for number in range(4):
        repo.write("a", str(number))
        commits.append(repo.commit())
    repo.git("checkout", "-q", "-b", "side", commits[1])
    repo.write("b", "")
    side = repo.commit()
    git = Git(find_paths(repo.path, {}))
    assert keep(git, [commits[0], commits[2], "1" * 40], []) == 1
    first = repo.git("rev-parse", SOURCE)
    assert repo.git("rev-list", "--parents", "-1", first).split()[1:] == [commits[2]]
    assert keep(git, [commits[1]], []) == 0
    assert keep(git, [side], [], published=[side]) == 0
    assert keep(git, [side, commits[3]], []) == 2
    ours = repo.git("rev-parse", SOURCE)
    # The same two chains, joined by two clones.
    repo.git("update-ref", "-d", SOURCE)
    keep(git, [side], [])
    theirs = repo.git("rev-parse", SOURCE)
    assert join_chain(git, first) not in (first, theirs)
    joined = repo.git("rev-parse", SOURCE)
    repo.git("update-ref", SOURCE, first)
    assert join_chain(git, theirs) == joined
    assert join_chain(git, theirs) == joined
    repo.git("update-ref", SOURCE, first)
    assert join_chain(git, ours) == ours
    assert keep(git, [f"{n:040x}" for n in range(500)], []) == 0
    git.close()
