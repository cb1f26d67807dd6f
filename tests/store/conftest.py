"""What the tests of hooks start from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gittrack.store import hookconfig
from tests.store.desk import Desk, make_program


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(tmp_path)
    # The installer looks beside Python for the console script.
    programs = tmp_path / "some 'programs' \"here\" $x"
    programs.mkdir()
    make_program(
        programs / "gittrack",
        f"#!/bin/sh\n{{ printf '%s ' \"$@\"; echo; cat; }} >>'{made.ours}'\necho printed\nexit 3\n",
    )
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    # Alike under every git; tests of hooks that its configuration names undo this.
    monkeypatch.setattr(hookconfig, "is_supported", lambda git: False)
    return made


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Mounts a file system with hardly any room at a folder."""
    mounted = []

    def mount(folder: Path) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)
