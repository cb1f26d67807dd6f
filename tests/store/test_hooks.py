"""Hooks are installed beside what is there, and leave no trace; every push here is a real one."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

import pytest

from gittrack.errors import GittrackError
from gittrack.store import hookfile, hooks
from gittrack.store.hooks import Hook
from tests.store.desk import (
    NAME,
    NOTE,
    PYTHON_NOTE,
    Desk,
    fill,
    hook_of,
    install,
    make_program,
    status,
    uninstall,
)
from tests.support import GitRepo

ROOT = Path(__file__).parents[2]

#: Hooks as they are found, with their mode, and whether a push then goes through.
KINDS: dict[str, tuple[bytes, int, bool]] = {
    "sh": (hook_of(NOTE), 0o755, True),
    "sh -e": (hook_of(NOTE, "#! /bin/sh -e"), 0o700, True),
    "bash": (hook_of(f"set -euo pipefail\n{NOTE}", "#!/usr/bin/env bash"), 0o775, True),
    "bash -eu": (hook_of(f"{NOTE}\n[[ $# == 2 ]]", "#!/bin/bash -eu"), 0o755, True),
    "pipefail": (hook_of(NOTE, "#!/usr/bin/env -S bash -euo pipefail"), 0o755, True),
    "traps": (hook_of(f"trap 'exit 9' ERR; set -E; {NOTE}", "#!/bin/bash"), 0o755, True),
    "exec": (hook_of(f"exec sh -c '{NOTE}' name \"$@\""), 0o755, True),
    "no line end": (b'#!/bin/sh\necho "args $*" >>"$THEIRS"', 0o755, True),
    "only a head": (b"#!/bin/sh\n", 0o755, True),
    "only a head, unended": (b"#!/bin/sh", 0o755, True),
    "latin-1": (b"#!/bin/sh\n# caf\xe9\n" + NOTE.encode(), 0o755, True),
    "refuses": (hook_of(f"{NOTE}; exit 1"), 0o755, False),
    "refuses unread": (hook_of("exit 1"), 0o755, False),
    "passes unread": (hook_of("exit 0\nfalse"), 0o755, True),
    "reads like git-lfs": (
        hook_of(
            "n=0; while read -r local new remote old rest; do\n"
            '  [ -n "$old" ] && [ -z "$rest" ] || exit 1; n=$((n + 1))\n'
            f'done; [ "$n" = 1 ] || exit 1; {NOTE}'
        ),
        0o755,
        True,
    ),
    "python": (b"#!/usr/bin/env python3\n" + PYTHON_NOTE, 0o755, True),
    "python refuses": (b"#!/usr/bin/env python3\nraise SystemExit(4)\n", 0o755, False),
    "both languages": (b'#!/bin/sh\n"exec" "python3" "$0" "$@"\n' + PYTHON_NOTE, 0o755, True),
    "data behind it": (
        hook_of(f'{NOTE}; [ "$(tail -n +4 "$0")" = data ] && exit 0\nexit 1\ndata'), 0o755, True
    ),
    "no shebang": (NOTE.encode(), 0o755, True),
    "empty": (b"", 0o755, True),
    "carriage returns": (b"#!/bin/sh\n:\r\n" + NOTE.encode() + b"\n", 0o755, True),
    "disabled": (hook_of(f"{NOTE}; exit 1"), 0o644, True),
    "disabled python": (b"#!/usr/bin/env python3\nraise SystemExit(1)\n", 0o600, True),
}  # fmt: skip
#: Those into which nothing is put: they are renamed.
SET_ASIDE = {
    "python", "python refuses", "both languages", "data behind it", "no shebang", "empty",
    "carriage returns", "disabled", "disabled python", "only a head, unended",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_there_does_what_it_did_and_comes_back(desk: Desk, kind: str) -> None:
    data, mode, passes = KINDS[kind]
    desk.hook.write_bytes(data)
    desk.hook.chmod(mode)
    before = desk.listing()
    arrived, _, theirs = desk.push("before")
    assert arrived == passes
    assert theirs in (
        "",
        f"args origin ../hub.git\n{desk.lines('before')}",
        "args origin ../hub.git\n",
    )

    assert install(desk.repo, dry_run=True).state == "written"
    assert desk.listing() == before
    hook = install(desk.repo)
    assert (hook.state, hook.path) == ("written", str(desk.hook))
    assert status(desk.repo) == Hook(NAME, str(desk.hook), "installed")
    legacy = Path(f"{desk.hook}.gittrack-legacy")
    assert legacy.exists() == (kind in SET_ASIDE)
    assert (str(legacy) in hook.why) == (kind in SET_ASIDE)
    if kind not in SET_ASIDE:
        assert stat.S_IMODE(desk.hook.stat().st_mode) == mode
    installed = desk.listing()
    assert install(desk.repo).state == "installed"
    assert desk.listing() == installed

    arrived, ours, again = desk.push("after")
    assert arrived == passes
    assert again == theirs.replace("before", "after")
    desk.assert_called(ours, "after")
    # What reads git's own output must not find ours in it.
    assert (desk.out, b"printed\n" in desk.err) == (b"", True)

    assert uninstall(desk.repo, dry_run=True).state in ("removed", "restored")
    assert desk.listing() == installed
    assert uninstall(desk.repo).state == ("restored" if kind in SET_ASIDE else "removed")
    assert desk.listing() == before
    assert desk.push("last") == (passes, "", theirs.replace("before", "last"))
    assert uninstall(desk.repo).state == "missing"
    assert desk.listing() == before


@pytest.mark.parametrize("folder", [True, False])
def test_where_no_hook_was_there_is_none_again(desk: Desk, folder: bool) -> None:
    if not folder:
        shutil.rmtree(desk.hook.parent)
    before = desk.listing()
    assert status(desk.repo).state == "missing"
    assert install(desk.repo).state == "written"
    assert stat.S_IMODE(desk.hook.stat().st_mode) == 0o755
    arrived, ours, _ = desk.push("one")
    assert arrived
    desk.assert_called(ours, "one")
    # Nothing to push: the hook runs all the same, and gets nothing.
    assert desk.push("one")[1].split("\n", 1)[1] == ""
    assert uninstall(desk.repo).state == "removed"
    assert desk.listing() == before


@pytest.mark.parametrize("program", ["true", "false"])
def test_a_binary_hook_is_run(desk: Desk, program: str) -> None:
    found = shutil.which(program)
    assert found
    shutil.copy(found, desk.hook)
    before = desk.listing()
    install(desk.repo)
    arrived, ours, _ = desk.push("one")
    assert arrived == (program == "true")
    desk.assert_called(ours, "one")
    uninstall(desk.repo)
    assert desk.listing() == before


def test_a_link_is_not_followed_when_writing(desk: Desk) -> None:
    script = desk.folder / "our-hook"
    script.write_bytes(hook_of(NOTE))
    script.chmod(0o755)
    desk.hook.symlink_to("../../../our-hook")
    before = desk.listing()
    install(desk.repo)
    arrived, ours, theirs = desk.push("one")
    assert arrived and theirs == f"args origin ../hub.git\n{desk.lines('one')}"
    desk.assert_called(ours, "one")
    assert script.read_bytes() == hook_of(NOTE)
    uninstall(desk.repo)
    assert desk.listing() == before
    desk.hook.unlink()
    desk.hook.symlink_to("nowhere")
    before = desk.listing()
    install(desk.repo)
    assert desk.push("two")[0]
    uninstall(desk.repo)
    assert desk.listing() == before


def test_a_hook_that_cannot_start_still_refuses(desk: Desk) -> None:
    # git 2.39 itself says so and then waits for its remote for ever, so there is no push before.
    desk.hook.write_bytes(b"#!/bin/sh\r\nexit 0\r\n")
    desk.hook.chmod(0o755)
    before = desk.listing()
    install(desk.repo)
    assert not desk.push("one")[0]
    uninstall(desk.repo)
    assert desk.listing() == before


def test_a_folder_in_its_place_is_left_alone(desk: Desk) -> None:
    desk.hook.mkdir()
    assert install(desk.repo) == Hook(NAME, str(desk.hook), "blocked", "it is a folder")
    assert uninstall(desk.repo).state == "missing"
    assert desk.hook.is_dir()


def test_a_hook_that_was_set_aside_is_never_overwritten(desk: Desk) -> None:
    legacy = Path(f"{desk.hook}.gittrack-legacy")
    legacy.write_text("precious")
    before = desk.listing()
    for data in (None, KINDS["python"][0]):
        if data:
            desk.hook.write_bytes(data)
            desk.hook.chmod(0o755)
            before = desk.listing()
        hook = install(desk.repo)
        assert hook.state == "blocked" and str(legacy) in hook.why
        assert uninstall(desk.repo).state == "left"
        assert desk.listing() == before
    # A shell script needs no second place; the other file is not run by it.
    desk.hook.write_bytes(hook_of(NOTE))
    before = desk.listing()
    legacy.chmod(0o755)
    hook = install(desk.repo)
    assert hook.state == "written" and str(legacy) in hook.why
    assert desk.push("one")[2] == f"args origin ../hub.git\n{desk.lines('one')}"
    assert uninstall(desk.repo).state == "removed"
    legacy.chmod(0o644)
    assert desk.listing() == before


def test_edits_around_the_block_stay(desk: Desk) -> None:
    desk.hook.write_bytes(hook_of(NOTE))
    desk.hook.chmod(0o755)
    install(desk.repo)
    desk.hook.write_bytes(
        desk.hook.read_bytes().replace(b"#!/bin/sh\n", b"#!/bin/sh\n# up\n") + b"# down\n"
    )
    desk.hook.chmod(0o711)
    assert desk.push("one")[0]
    uninstall(desk.repo)
    assert desk.hook.read_bytes() == b"#!/bin/sh\n# up\n" + NOTE.encode() + b"\n# down\n"
    assert stat.S_IMODE(desk.hook.stat().st_mode) == 0o711


def test_a_file_of_ours_that_was_edited_keeps_the_edits(desk: Desk) -> None:
    install(desk.repo)
    with desk.hook.open("a") as file:
        file.write(NOTE + "\n")
    arrived, ours, theirs = desk.push("one")
    assert arrived and theirs == f"args origin ../hub.git\n{desk.lines('one')}"
    desk.assert_called(ours, "one")
    assert uninstall(desk.repo).state == "removed"
    assert desk.hook.read_bytes() == hook_of(NOTE)


def test_edited_with_another_hook_set_aside_both_are_left(desk: Desk) -> None:
    desk.hook.write_bytes(KINDS["python"][0])
    desk.hook.chmod(0o755)
    install(desk.repo)
    with desk.hook.open("a") as file:
        file.write("# mine\n")
    there = desk.listing(NAME)
    hook = uninstall(desk.repo)
    assert hook.state == "left" and "gittrack-legacy" in hook.why
    assert desk.listing(NAME) == there
    # Another tool has put its own in the place.
    desk.hook.write_bytes(hook_of("exit 0"))
    there = desk.listing(NAME)
    assert uninstall(desk.repo).state == "left"
    assert desk.listing(NAME) == there


@pytest.mark.parametrize("cut", [b"# <<< gittrack <<<\n", b"# >>> gittrack >>>\n# Sends"])
def test_a_damaged_block_is_not_guessed_at(desk: Desk, cut: bytes) -> None:
    install(desk.repo)
    text = desk.hook.read_bytes()
    damaged = text.replace(cut, b"") if b"<<<" in cut else text.replace(b"\n", b"\r\n")
    desk.hook.write_bytes(damaged)
    assert install(desk.repo).state == "blocked"
    assert uninstall(desk.repo).state == "left"
    assert desk.hook.read_bytes() == damaged


@pytest.mark.parametrize("kind", ["sh", "python", None])
def test_an_older_block_is_replaced_in_its_place(
    desk: Desk, kind: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind:
        desk.hook.write_bytes(KINDS[kind][0])
        desk.hook.chmod(0o755)
    before = desk.listing()
    programs = Path(sys.executable).parent
    with monkeypatch.context() as moved:
        old = desk.folder / "old" / "python"
        old.parent.mkdir()
        make_program(old.parent / "gittrack", "#!/bin/sh\necho old >>ours\n")
        moved.setattr(sys, "executable", str(old))
        install(desk.repo)
    old_text = desk.hook.read_bytes()
    desk.hook.write_bytes(old_text.replace(b"# Sends runs along", b"# An older text") + b"# mine\n")
    assert status(desk.repo).state == "installed"
    shutil.rmtree(old.parent)
    stale = status(desk.repo)
    assert stale.state == "stale" and str(old.parent / "gittrack") in stale.why
    assert install(desk.repo).state == "written"
    text = desk.hook.read_bytes()
    assert text.endswith(b"# mine\n") and text.count(b">>> gittrack >>>") == 1
    assert b"An older" not in text
    assert hookfile.find_program(text) == str(programs / "gittrack")
    assert status(desk.repo).state == "installed"
    desk.hook.write_bytes(text.removesuffix(b"# mine\n"))
    uninstall(desk.repo)
    assert desk.listing() == before


def test_a_hook_of_ours_that_was_switched_off_stays_so(desk: Desk) -> None:
    install(desk.repo)
    desk.hook.chmod(0o644)
    assert status(desk.repo).state == "disabled"
    assert install(desk.repo).state == "blocked"
    assert stat.S_IMODE(desk.hook.stat().st_mode) == 0o644
    assert uninstall(desk.repo).state == "removed"
    assert not desk.hook.exists()


# -- disks, and others at the same time ------------------------------------------------------


def test_a_folder_that_cannot_be_written_is_said_so(desk: Desk) -> None:
    # Not a mode: root would write all the same.
    shutil.rmtree(desk.hook.parent)
    desk.hook.parent.write_text("a file\n")
    with pytest.raises(GittrackError) as caught:
        install(desk.repo)
    assert str(desk.hook.parent) in caught.value.message
    assert "File exists" in caught.value.why and caught.value.next
    assert desk.hook.parent.read_text() == "a file\n"
    assert status(desk.repo).state == uninstall(desk.repo).state == "missing"


@pytest.mark.parametrize("kind", ["sh", "python", None])
def test_on_a_full_disk_everything_stays_as_it_was(
    desk: Desk, kind: str | None, tiny_disk: Callable[[Path], None]
) -> None:
    tiny_disk(desk.hook.parent)
    if kind:
        desk.hook.write_bytes(KINDS[kind][0])
        desk.hook.chmod(0o755)
    fill(desk.hook.parent)
    before = desk.listing()
    with pytest.raises(GittrackError) as caught:
        install(desk.repo)
    assert str(desk.hook) in caught.value.message and "No space left" in caught.value.why
    assert desk.listing() == before
    assert desk.push("one")[0]


def test_a_full_disk_keeps_the_block_in_a_hook_whole(
    desk: Desk, tiny_disk: Callable[[Path], None]
) -> None:
    tiny_disk(desk.hook.parent)
    desk.hook.write_bytes(KINDS["sh"][0])
    desk.hook.chmod(0o755)
    install(desk.repo)
    fill(desk.hook.parent)
    before = desk.listing()
    with pytest.raises(GittrackError, match="could not be written"):
        uninstall(desk.repo)
    assert desk.listing() == before


@pytest.mark.parametrize("kind", ["sh", "python", None])
def test_many_that_install_at_once_install_it_once(desk: Desk, kind: str | None) -> None:
    if kind:
        desk.hook.write_bytes(KINDS[kind][0])
        desk.hook.chmod(0o755)
    before = desk.listing()
    states: list[str] = []
    for step, expected in ((install, "written"), (uninstall, "removed")) * 5:
        start = Barrier(8)
        states.clear()

        def act(step: Callable[[GitRepo], Hook] = step, start: Barrier = start) -> None:
            start.wait()
            states.append(step(desk.repo).state)

        threads = [Thread(target=act) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        did = "restored" if (kind, expected) == ("python", "removed") else expected
        other = "installed" if step is install else "missing"
        assert sorted(states) == sorted([did] + [other] * 7)
        if step is install:
            assert desk.hook.read_bytes().count(b">>> gittrack >>>") == 1
            assert hookfile.has_block(desk.hook.read_bytes())
    assert desk.listing() == before


@pytest.mark.timeout(60)
def test_a_process_that_was_stopped_in_the_middle_is_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_TURN_PATIENCE_S", 0.05)
    with hooks._turn(str(Path(desk.repo.path, ".git", "hooks"))):
        assert install(desk.repo).state == "written"
