"""Hooks where others keep hooks as well, or git keeps them elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.errors import NotARepositoryError
from gittrack.store import frameworks, hooks
from gittrack.store.git import Git
from gittrack.store.hooks import Hook
from gittrack.store.paths import find_paths
from tests.store.desk import (
    NAME,
    NOTE,
    PYTHON_NOTE,
    Desk,
    git_of,
    install,
    make_program,
    status,
    uninstall,
)
from tests.support import GitRepo

ROOT = Path(__file__).parents[2]

# -- frameworks ------------------------------------------------------------------------------

PRE_COMMIT_CONFIG = """\
repos:
- repo: local
  hooks:
  - id: note
    name: note
    entry: sh -c 'echo pre-commit >>"$THEIRS"'
    language: system
    always_run: true
    pass_filenames: false
    stages: [pre-push]
"""


#: Before a test has moved it.
PYTHON = sys.executable


def pre_commit(desk: Desk, *words: str) -> None:
    subprocess.run(
        [PYTHON, "-m", "pre_commit", *words], cwd=desk.repo.path, capture_output=True, check=True
    )


def test_pre_commit_itself_goes_on_and_what_lasts_is_said(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.repo.write(".pre-commit-config.yaml", PRE_COMMIT_CONFIG)
    desk.repo.commit()
    pre_commit(desk, "install", "--hook-type", NAME)
    before = desk.listing()
    hook = install(desk.repo)
    assert hook.state == "written" and "pre-commit install" in hook.why
    assert hook.snippet_file == f"{desk.repo.path}/.pre-commit-config.yaml"
    arrived, ours, theirs = desk.push("one")
    assert arrived and theirs == "pre-commit\n"
    desk.assert_called(ours, "one")
    # It writes its file anew: ours is gone until it is installed again.
    pre_commit(desk, "install", "--hook-type", NAME)
    assert status(desk.repo).state == "missing"
    assert install(desk.repo).state == "written"
    uninstall(desk.repo)
    assert desk.listing() == before
    # What the report says to add there lasts.
    desk.repo.write(".pre-commit-config.yaml", PRE_COMMIT_CONFIG + hook.snippet)
    desk.repo.commit()
    assert status(desk.repo).state == install(desk.repo).state == "installed"
    assert desk.listing(NAME) == {key: it for key, it in before.items() if key.startswith(NAME)}
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    arrived, ours, theirs = desk.push("two")
    assert arrived and theirs == "pre-commit\n"
    assert ours == f"hook {NAME} \n"
    assert uninstall(desk.repo).state == "left"


@pytest.mark.parametrize("kind", [None, "python"])
def test_a_pre_commit_that_is_installed_over_ours_runs_ours(desk: Desk, kind: str | None) -> None:
    if kind:
        make_program(desk.hook, f"#!/usr/bin/env python3\n{PYTHON_NOTE.decode()}")
    before = desk.listing()
    install(desk.repo)
    desk.repo.write(".pre-commit-config.yaml", PRE_COMMIT_CONFIG)
    desk.repo.commit()
    pre_commit(desk, "install", "--hook-type", NAME)
    assert status(desk.repo) == Hook(NAME, f"{desk.hook}.legacy", "installed")
    assert install(desk.repo).state == "installed"
    arrived, ours, theirs = desk.push("one")
    noted = f"args origin ../hub.git\n{desk.lines('one')}" if kind else ""
    assert arrived and theirs == f"{noted}pre-commit\n"
    desk.assert_called(ours, "one")
    uninstall(desk.repo)
    assert desk.push("two")[1] == ""
    pre_commit(desk, "uninstall", "--hook-type", NAME)
    assert desk.listing() == before


def test_pre_commit_takes_what_is_offered_to_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = ROOT / ".pre-commit-hooks.yaml"
    pre_commit(desk, "validate-manifest", str(manifest))
    offered = re.findall(r"id: gittrack-(\S+)", manifest.read_text())
    names = [*hooks.NAMES, hooks.TRAILER]
    known = [name for name in names if name not in frameworks.PRE_COMMIT.lacks]
    assert sorted(offered) == sorted([*known, "scan"])
    # What the report says to add for each of them, in one file.
    snippets = "".join(frameworks.PRE_COMMIT.snippet.format(name=name) for name in known)
    desk.repo.write(".pre-commit-config.yaml", f"repos:\n{snippets}")
    desk.repo.commit()
    types = [word for name in known for word in ("--hook-type", name)]
    pre_commit(desk, "install", *types)
    taken = {hook.name for hook in hooks.status(*git_of(desk.repo)) if hook.state == "installed"}
    assert taken == set(known)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    desk.repo.git("commit", "-q", "--allow-empty", "-m", "one")
    assert desk.ours.read_text() == "hook prepare-commit-msg \nhook post-commit \n"


#: What `lefthook install` 2.2 writes, its search for itself cut short.
LEFTHOOK = b"""\
#!/bin/sh

if [ "$LEFTHOOK_VERBOSE" = "1" -o "$LEFTHOOK_VERBOSE" = "true" ]; then
  set -x
fi

if [ "$LEFTHOOK" = "0" ]; then
  exit 0
fi

call_lefthook()
{
  if test -n "$LEFTHOOK_BIN"
  then
    "$LEFTHOOK_BIN" "$@"
  elif lefthook -h >/dev/null 2>&1
  then
    lefthook "$@"
  else
    echo "Can't find lefthook in PATH"
  fi
}

call_lefthook run "pre-push" "$@"
"""


@pytest.mark.parametrize("settings", ["lefthook.yml", ".lefthook.yml"])
def test_a_hook_of_lefthook_gets_the_block_and_what_lasts_is_said(
    desk: Desk, settings: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_program(desk.folder / "lefthook", f"#!/bin/sh\n{NOTE}\n")
    monkeypatch.setenv("LEFTHOOK_BIN", str(desk.folder / "lefthook"))
    desk.repo.write(settings, "pre-commit:\n")
    desk.hook.write_bytes(LEFTHOOK)
    desk.hook.chmod(0o755)
    before = desk.listing()
    hook = install(desk.repo)
    assert hook.state == "written" and "lefthook install" in hook.why
    assert hook.snippet_file == f"{desk.repo.path}/{settings}"
    assert hook.snippet.startswith("pre-push:\n") and "use_stdin: true" in hook.snippet
    arrived, ours, theirs = desk.push("one")
    assert arrived and theirs == f"args run pre-push origin ../hub.git\n{desk.lines('one')}"
    desk.assert_called(ours, "one")
    uninstall(desk.repo)
    assert desk.listing() == before
    desk.repo.write(settings, hook.snippet)
    assert install(desk.repo) == Hook(NAME, f"{desk.repo.path}/{settings}", "installed")
    assert desk.hook.read_bytes() == LEFTHOOK


def test_husky_keeps_its_folder_and_is_told_the_line(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As husky 9 lays it out.
    desk.repo.write(".husky/_/pre-push", '#!/usr/bin/env sh\n. "$(dirname "$0")/h"')
    desk.repo.write(
        ".husky/_/h",
        '#!/usr/bin/env sh\nn=$(basename "$0")\ns=$(dirname "$(dirname "$0")")/$n\n\n'
        '[ ! -f "$s" ] && exit 0\n\nsh -e "$s" "$@"\nc=$?\nexit $c\n',
    )
    Path(desk.repo.path, ".husky/_/pre-push").chmod(0o755)
    desk.repo.git("config", "core.hooksPath", ".husky/_")
    desk.repo.commit()
    hook = install(desk.repo)
    file = f"{desk.repo.path}/.husky/pre-push"
    assert (hook.state, hook.snippet_file) == ("elsewhere", file)
    assert "core.hooksPath is .husky/_" in hook.why
    assert status(desk.repo) == hook
    assert desk.repo.git("status", "--porcelain", "--ignored") == ""
    assert not desk.hook.exists()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    desk.repo.write(".husky/pre-push", f'{hook.snippet}echo after >>"$THEIRS"\n')
    assert status(desk.repo) == install(desk.repo) == Hook(NAME, file, "installed")
    assert desk.push("one") == (
        True, f"hook pre-push origin ../hub.git \n{desk.lines('one')}", "after\n"
    )  # fmt: skip
    assert uninstall(desk.repo).state == "left"
    # A colleague without gittrack pushes as ever.
    monkeypatch.setenv("PATH", desk.path_without_gittrack())
    assert desk.push("two") == (True, "", "after\n")


# -- places ----------------------------------------------------------------------------------


def test_a_folder_for_the_whole_machine_is_left_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = desk.folder / "company"
    company.mkdir()
    desk.repo.git("config", "--global", "core.hooksPath", str(company))
    install_hook = install(desk.repo)
    assert (install_hook.state, install_hook.snippet_file) == ("elsewhere", str(company / NAME))
    assert install_hook.snippet.count("\n") == 1
    assert not list(company.iterdir()) and not desk.hook.exists()
    make_program(company / NAME, f"#!/bin/sh\n{install_hook.snippet}")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    assert desk.push("one")[1] == f"hook pre-push origin ../hub.git \n{desk.lines('one')}"
    assert status(desk.repo).state == "installed"


@pytest.mark.parametrize("settings", ["lefthook.yml", ".pre-commit-config.yaml"])
def test_elsewhere_the_settings_of_a_framework_come_first(desk: Desk, settings: str) -> None:
    desk.repo.git("config", "core.hooksPath", "../elsewhere")
    desk.repo.write(settings, "")
    assert install(desk.repo).snippet_file == f"{desk.repo.path}/{settings}"


def test_a_hook_that_git_no_longer_looks_at_is_shown_and_taken_away(desk: Desk) -> None:
    install(desk.repo)
    desk.repo.git("config", "core.hooksPath", "/dev/null")
    hook = status(desk.repo)
    assert (
        hook.state == "shadowed" and str(desk.hook.parent) in hook.why and "/dev/null" in hook.why
    )
    assert uninstall(desk.repo).state == "removed"
    assert not desk.hook.exists()
    assert desk.repo.git("config", "core.hooksPath") == "/dev/null"


@pytest.mark.parametrize("named", [".git/hooks", ".git/my hooks"])
def test_a_folder_inside_the_git_folder_is_ours(desk: Desk, named: str) -> None:
    desk.repo.git("config", "core.hooksPath", named)
    hook = install(desk.repo)
    assert (hook.state, hook.path) == ("written", f"{desk.repo.path}/{named}/{NAME}")
    desk.assert_called(desk.push("one")[1], "one")
    assert uninstall(desk.repo).state == "removed"


def test_a_hooks_folder_that_is_a_link_into_the_worktree_is_not(desk: Desk) -> None:
    shutil.rmtree(desk.hook.parent)
    desk.repo.write("githooks/README", "ours\n")
    desk.repo.commit()
    desk.hook.parent.symlink_to("../githooks")
    assert install(desk.repo).state == status(desk.repo).state == "elsewhere"
    assert desk.repo.git("status", "--porcelain") == ""


def test_an_empty_hooks_path_is_elsewhere(desk: Desk) -> None:
    desk.repo.git("config", "core.hooksPath", "")
    assert install(desk.repo).state == "elsewhere"
    assert desk.repo.git("status", "--porcelain") == ""


def test_a_linked_worktree_shares_the_hooks(desk: Desk) -> None:
    desk.repo.git("worktree", "add", "-q", "../linked")
    linked = GitRepo(desk.folder / "linked")
    assert install(linked).path == str(desk.hook)
    for repo in (desk.repo, linked):
        assert status(repo).state == "installed"
        desk.assert_called(desk.push(Path(repo.path).name, repo)[1], Path(repo.path).name)
    assert uninstall(linked).state == "removed"
    assert not desk.hook.exists()


def test_a_submodule_has_hooks_of_its_own(desk: Desk) -> None:
    desk.push("main")
    desk.repo.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../hub.git", "sub"
    )
    sub = GitRepo(Path(desk.repo.path, "sub"))
    path = f"{desk.repo.path}/.git/modules/sub/hooks/{NAME}"
    assert install(sub).path == path
    assert status(desk.repo).state == "missing"
    arrived, ours, _ = desk.push("of-sub", sub)
    assert arrived and ours.split("\n", 1)[1] == desk.lines("of-sub")
    assert uninstall(sub).state == "removed"
    assert not os.path.exists(path)


def test_a_separate_git_folder(desk: Desk) -> None:
    desk.repo.git("init", "-q", "--separate-git-dir", "../git folder")
    hook = install(desk.repo)
    assert hook.path == str(desk.folder / "git folder" / "hooks" / NAME)
    desk.assert_called(desk.push("one")[1], "one")
    assert uninstall(desk.repo).state == "removed"


def test_from_a_subfolder_it_is_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.repo.git("config", "core.hooksPath", ".husky/_")
    monkeypatch.chdir(Path(desk.repo.write("sub/x", "")).parent)
    git = Git(find_paths(None, {}))
    found = hooks.find_place(git, {"core.hookspath": [".husky/_"]})
    assert found.looked_in == f"{desk.repo.path}/.husky/_"
    assert found.own == str(desk.hook.parent)


def test_a_bare_repository_gets_none(desk: Desk) -> None:
    before = sorted(os.listdir(Path(desk.hub.path, "hooks")))
    for path in (desk.hub.path, f"{desk.repo.path}/.git"):
        with pytest.raises(NotARepositoryError, match="no worktree"):
            install(GitRepo(path))
        assert status(GitRepo(path)).state == uninstall(GitRepo(path)).state == "missing"
    assert sorted(os.listdir(Path(desk.hub.path, "hooks"))) == before
