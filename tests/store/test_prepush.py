"""What a push was asked to do: what git itself does with the same words decides."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.store import prepush
from tests.store.desk import make_program
from tests.support import GitRepo

#: Behind `git`; True if it is a dry run. `NEW` is a refspec that makes a branch.
COMMANDS = [
    ("push origin NEW", False),
    ("push -n origin NEW", True),
    ("push --dry-run origin NEW", True),
    ("push origin NEW --dry-run", True),
    ("push origin -n NEW", True),
    ("push -nv origin NEW", True),
    ("push -vn origin NEW", True),
    ("push -fnu origin NEW", True),
    ("push -vo n origin NEW", False),
    ("push -o n origin NEW", False),
    ("push -on origin NEW", False),
    ("push -no n origin NEW", True),
    ("push -nov origin NEW", True),
    ("push -o -n origin NEW", False),
    ("push --push-option -n origin NEW", False),
    ("push --push-opt -n origin NEW", False),
    ("push --push-option=-n origin NEW", False),
    ("push --push-option --dry-run origin NEW", False),
    ("push --recurse-submodules no origin NEW", False),
    ("push --recurse-submodules no -n origin NEW", True),
    ("push --repo -n origin NEW", False),
    ("push --receive-pack git-receive-pack -n origin NEW", True),
    ("push --exec git-receive-pack origin NEW", False),
    ("push --dr origin NEW", True),
    ("push --dry origin NEW", True),
    ("push --dry-run --no-dry-run origin NEW", False),
    ("push --no-dry-run --dry-run origin NEW", True),
    ("push --no-dry --dry-run origin NEW", True),
    ("push -n --no-dry-run origin NEW", False),
    ("push -- origin NEW", False),
    ("push -n -- origin NEW", True),
    ("push -q --follow-tags --no-thin origin NEW", False),
    ("push --no-progress --no-follow-tags origin NEW", False),
    ("push --force-with-lease -n origin NEW", True),
    ("-C . push origin NEW", False),
    ("-C . push -n origin NEW", True),
    ("-c push.default=nothing --no-pager push -n origin NEW", True),
    ("-c core.abbrev=9 push origin NEW", False),
    ("--git-dir .git push -n origin NEW", True),
    ("--git-dir=.git --work-tree . push origin NEW", False),
    ("--no-replace-objects -p push -n origin NEW", True),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> GitRepo:
    folder = tmp_path_factory.mktemp("clone")
    repo = GitRepo(folder / "repo")
    for name, options in (("hub.git", ["--bare"]), ("repo", [])):
        subprocess.run(["git", "init", "-q", *options, folder / name], check=True)
    subprocess.run(
        ["git", "config", "receive.advertisePushOptions", "true"],
        cwd=folder / "hub.git",
        check=True,
    )
    return repo


@pytest.mark.parametrize(("words", "dry"), COMMANDS)
def test_a_dry_run_is_what_git_takes_for_one(clone: GitRepo, words: str, dry: bool) -> None:
    if "origin" not in clone.git("remote"):
        clone.commit()
        clone.git("remote", "add", "origin", "../hub.git")
    branch = f"refs/heads/b{COMMANDS.index((words, dry))}"
    argv = words.replace("NEW", f"HEAD:{branch}").split()
    clone.git(*argv)
    assert (clone.git("ls-remote", "origin", branch) == "") == dry
    for program in ("git", "/usr/lib/git-core/git", "C:/git/bin/git.exe"):
        assert prepush.is_dry_run([program, *argv]) == dry
    assert prepush.is_dry_run(["git-push", *argv[argv.index("push") + 1 :]]) == dry


def test_what_is_no_push_is_no_dry_run() -> None:
    for argv in (
        [], [""], ["git"], ["git", "-C"], ["git", "commit", "-n"], ["sh", "push", "-n"],
        ["git", "-c", "push", "commit", "-n"], ["git", "stash", "push", "-n"],
    ):  # fmt: skip
        assert not prepush.is_dry_run(argv), argv


def test_refs_of_ours_are_seen_behind_whatever_was_typed() -> None:
    ids = b"a" * 40, b"b" * 40
    for local, remote, ours in (
        (b"refs/heads/main", b"refs/heads/main", False),
        (b"refs/gittrack/store/main", b"refs/gittrack/store/main", True),
        (b"HEAD^{/two words} refs/gittrack/x", b"refs/heads/main", False),
        (b"HEAD^{/two words}", b"refs/gittrack/store/main", True),
        (b"(delete)", b"refs/gittrack/inbox/x", True),
        (b"refs/heads/refs/gittrack/x", b"refs/heads/refs/gittrack/x", False),
        (b"refs/gittrackers", b"refs/gittrackers", False),
    ):
        line = b"%b %b %b %b" % (local, ids[0], remote, ids[1])
        other = b"refs/heads/x %b refs/heads/x %b\n" % ids
        for lines in ([line], [line + b"\n"], [other, line], [line, other]):
            assert prepush.pushes_below("refs/gittrack/", lines) == ours, line
    for lines in ([], [b""], [b"\n"], [b"nonsense"], [b"refs/gittrack/ two"]):
        assert not prepush.pushes_below("refs/gittrack/", lines)


@pytest.mark.parametrize("proc", ["/proc", "/nonexistent"])
def test_the_push_is_found_above_whatever_stands_between(
    clone: GitRepo, tmp_path: Path, proc: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if proc != "/proc" and shutil.which("ps") is None:
        pytest.skip("without ps nothing tells of other processes")
    find = tmp_path / "find.py"
    find.write_text(
        "import json, os; from gittrack.store import prepush\n"
        f"prepush.PROC = {proc!r}\n"
        f"open({str(tmp_path / 'found')!r}, 'w').write(json.dumps(prepush.find_push(os.getppid())))\n"
    )
    hook = Path(clone.path, ".git", "hooks", "pre-push")
    command = f"{sys.executable} {find}"
    for depth in range(3):
        make_program(hook, f"#!/bin/sh\n{command}\n")
        words = ["push", "-q", "--dry-run", "--no-thin", "origin", f"HEAD:refs/heads/depth{depth}"]
        clone.git(*words, env={"PYTHONPATH": str(Path(__file__).parents[2])})
        found = json.loads((tmp_path / "found").read_text())
        assert found[1:] == words
        # The colon keeps the shell from becoming what it starts.
        command = f"sh -c {shlex.quote(command + '; :')}"
    hook.unlink()
    monkeypatch.setattr(prepush, "PROC", proc)
    assert prepush.find_push(os.getpid()) == []
    assert prepush.find_push(2**22 + 1) == []
