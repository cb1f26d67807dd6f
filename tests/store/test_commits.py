"""Commits are read as git reads them, and their changes compared whatever is configured."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gittrack.core.commits import close_over, parse_commit
from gittrack.errors import UsageError
from gittrack.store.commits import (
    _DIFF,
    _WITHIN,
    Files,
    changed_files,
    list_revisions,
    patch_ids,
    range_patch_ids,
    read_commits,
)
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from tests.support import GitRepo


@pytest.fixture
def git(repo: GitRepo) -> Iterator[Git]:
    repo.write("a.txt", "1\n")
    repo.commit("first line\nstill the subject\n\nbody\n\nGittrack-Run: 7f3a9c1d2b4e\n")
    found = Git(find_paths(repo.path, {}))
    yield found
    found.close()


def test_a_commit_is_read_as_git_shows_it(repo: GitRepo, git: Git) -> None:
    (commit,) = read_commits(git, [repo.git("rev-parse", "HEAD"), "0" * 40])
    shown = repo.git("show", "-s", "--format=%H%n%T%n%an <%ae>%n%ct%n%s")
    assert shown.splitlines() == [
        commit.oid, commit.tree, commit.author, str(commit.time_s), commit.subject,
    ]  # fmt: skip
    assert commit.runs == ("7f3a9c1d2b4e",) and commit.parents == ()


def test_a_commit_of_another_time_encoding_or_tool_is_read_too() -> None:
    data = (
        b"tree %b\nparent %b\nauthor  <> 1 +0000\ncommitter x <y> -99999999 +0130\n"
        b"encoding ISO-8859-1\ngpgsig -----BEGIN\n author evil\n\n\xe9t\xe9\n"
    ) % (b"a" * 40, b"b" * 40)
    commit = parse_commit("c" * 40, data)
    assert (commit.message, commit.time_s, commit.parents) == ("été\n", 0, ("b" * 40,))
    data = data.replace(b"-99999999", b"99999999999999").replace(b"ISO-8859-1", b"no such")
    commit = parse_commit("c" * 40, data)
    assert (commit.time_s, commit.message) == (253_402_300_799, "\ufffdt\ufffd\n")
    # A codec that Python has, and that decodes nothing; line ends of another system.
    data = data.replace(b"no such", b"undefined") + b"\r\nGittrack-Run: 7f3a9c1d2b4e\r\n"
    assert parse_commit("c" * 40, data).runs == ("7f3a9c1d2b4e",)
    with pytest.raises(ValueError, match="is no commit"):
        parse_commit("c" * 40, b"tree x\n\nno committer")


def test_patterns_find_files_as_a_shell_does(repo: GitRepo, git: Git) -> None:
    for path in ("conf/a.yaml", "conf/b.toml", "conf/deep/er/c.yaml", ".hidden/x.yaml", "y.yaml"):
        repo.write(path, path)
    repo.sh("ln -s y.yaml link.yaml")
    tree = read_commits(git, [repo.commit()])[0].tree
    found = {
        pattern: sorted(Files(git).find(tree, [pattern]))
        for pattern in ("conf/*.yaml", "**/*.yaml", "conf/**", "*.yaml", "./y.yaml", "../y.yaml",
                        "conf", ".hidden/*", "conf/[ab].*", "no/such")
    }  # fmt: skip
    deep = ["conf/a.yaml", "conf/deep/er/c.yaml"]
    assert found == {
        "conf/*.yaml": ["conf/a.yaml"], "**/*.yaml": [*deep, "y.yaml"],
        "conf/**": ["conf/a.yaml", "conf/b.toml", "conf/deep/er/c.yaml"],
        "*.yaml": ["y.yaml"], "./y.yaml": ["y.yaml"], "../y.yaml": [], "conf": [],
        ".hidden/*": [".hidden/x.yaml"], "conf/[ab].*": ["conf/a.yaml", "conf/b.toml"],
        "no/such": [],
    }  # fmt: skip


def test_what_a_merge_takes_over_it_does_not_change(repo: GitRepo, git: Git) -> None:
    repo.sh("""
        git switch -q -c side; echo side >a.txt; echo side >s.txt; git add .; git commit -qm side
        git switch -q main; echo m >m.txt; git add .; git commit -qm main
        git merge -q --no-commit side; echo both >m.txt; git add .; git commit -qm merge
    """)
    (merge,) = read_commits(git, [repo.git("rev-parse", "HEAD")])
    trees = {commit.oid: commit.tree for commit in read_commits(git, merge.parents)}
    assert list(changed_files(Files(git), merge, trees, ["*.txt"])) == ["m.txt"]
    # In a shallow clone a parent is not here: then nothing is known to be changed.
    assert not list(changed_files(Files(git), merge, {}, ["*.txt"]))


def test_the_same_change_has_the_same_id_whatever_is_configured(repo: GitRepo, git: Git) -> None:
    repo.sh("""
        printf '%s\\n' 1 2 3 4 5 6 7 8 9 >b.txt; git add .; git commit -qm b
        git switch -q -c side; echo x >c.txt; git add .; git commit -qm c
        sed -i s/5/five/ b.txt; git commit -qam five
        git switch -q main; sed -i 1s/1/one/ b.txt; git commit -qam one
        git cherry-pick side; git merge -q --no-edit side
    """)
    oids = repo.git("rev-list", "--all").split()
    before = patch_ids(git, oids)
    picked, five = repo.git("rev-parse", "main~1", "side").split()
    assert before[picked] == before[five]
    assert repo.git("rev-parse", "main") not in before
    assert patch_ids(git, ["0" * 40]) == {}
    for key, value in (
        ("diff.external", "false"), ("diff.algorithm", "patience"), ("diff.noprefix", "true"),
        ("color.ui", "always"), ("diff.context", "0"), ("diff.renames", "copies"),
        ("diff.mnemonicPrefix", "true"), ("patchid.stable", "false"),
        ("core.bigFileThreshold", "1"),
    ):  # fmt: skip
        repo.git("config", key, value)
    repo.write(".git/info/attributes", "*.txt diff=own\n")
    repo.git("config", "diff.own.textconv", "false")
    assert patch_ids(git, oids) == before
    base = repo.git("merge-base", "main~2", "side")
    found = range_patch_ids(git, [(base, five), (five, five)])
    assert list(found) == [(base, five)] and found[base, five] != before[five]


def test_large_files_are_compared_by_their_ids(repo: GitRepo, git: Git) -> None:
    repo.sh("""
        seq 300000 >big.txt; git add .; git commit -qm big; git branch side
        sed -i s/^5$/five/ big.txt; git commit -qam five
        sed -i s/^6$/six/ big.txt; git commit -qam six
        git switch -q side; echo y >y.txt; git add .; git commit -qm y; git cherry-pick main~1
    """)
    picked, five, six = repo.git("rev-parse", "side", "main~1", "main").split()
    ids = patch_ids(git, [picked, five, six])
    assert ids[picked] == ids[five] != ids[six]
    differ = git.start(*_WITHIN, "diff-tree", *_DIFF, five, six, errors=False)
    assert len(differ.communicate()[0]) < 1000


def test_revisions_are_commits_or_ranges(repo: GitRepo, git: Git) -> None:
    first = repo.git("rev-parse", "HEAD")
    second = repo.commit("second")
    repo.git("branch", "gittrack/store", first)
    assert list_revisions(git, ["HEAD"]) == ([second], False)
    assert list_revisions(git, [f"{first}..HEAD"]) == ([second], True)
    assert list_revisions(git, ["HEAD^!"]) == ([second], True)
    assert list_revisions(git, [], all_branches=True) == ([first, second], True)
    for bad in ("nowhere", "--all", "HEAD..nowhere"):
        with pytest.raises(UsageError, match="git knows no revision"):
            list_revisions(git, [bad])


def test_rewrites_are_followed_over_many_steps_and_in_circles() -> None:
    pairs = {"d": {"c"}, "c": {"a", "b"}, "a": {"d"}}
    assert list(close_over(pairs, "d")) == ["c", "a", "b"]
