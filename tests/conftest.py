"""A sealed world for every test, after git-revise's `hermetic_seal`.

No test sees the caller's home, configuration, identity, clock zone, locale or git variables, and
one that opens anything in the real home fails.
"""

from __future__ import annotations

import itertools
import os
import pwd
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support import GitRepo

NAME = "Ada Tester"
EMAIL = "ada@example.com"
#: 2026-11-23T15:30:12Z, for authors and committers.
DATE = "1795447812 +0000"

GIT_CONFIG = f"""\
[user]
\tname = {NAME}
\temail = {EMAIL}
[init]
\tdefaultBranch = main
[gc]
\t# Collecting garbage in the background outlives the test that caused it.
\tauto = 0
[maintenance]
\tauto = false
"""

REMOVED_PREFIXES = ("GIT_", "GITTRACK_", "XDG_", "LC_")
REMOVED = (
    "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "EDITOR", "EMAIL", "FORCE_COLOR", "GITTRACK",
    "LANGUAGE", "LESS", "LINES", "NO_COLOR", "PAGER", "PYTHONUNBUFFERED", "SSH_ASKPASS", "VISUAL",
    # Every process that a test starts would compile all of gittrack anew: 585 ms instead of 145.
    "PYTHONDONTWRITEBYTECODE",
)  # fmt: skip

hypothesis.settings.register_profile(
    "ci", derandomize=True, deadline=None, database=None, print_blob=True
)
hypothesis.settings.register_profile(
    "deep", max_examples=2_000, deadline=None, database=None, print_blob=True
)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="run the slow, thorough tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--deep"):
        return
    skip = pytest.mark.skip(reason="slow and thorough: pytest --deep")
    for item in items:
        if item.get_closest_marker("deep"):
            item.add_marker(skip)


class RealHomeTouched(AssertionError):
    """A test opened something in the home of whoever runs the tests."""


class HomeGuard:
    """Watches what this process opens, lists, makes or removes below the real home.

    Sources, packages and temporary files may lie there: those folders are let through. An audit
    hook cannot be removed, so there is one for the whole session, on while a test runs.
    """

    EVENTS = frozenset(
        ["open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove", "os.rmdir",
         "os.symlink", "os.link", "os.truncate", "sqlite3.connect"]
    )  # fmt: skip

    def __init__(self, home: str, allowed: list[str]) -> None:
        self.home = home.rstrip("/") + "/"
        self.allowed = tuple(path.rstrip("/") + "/" for path in allowed)
        self.active = False
        self.touched: list[str] = []
        sys.addaudithook(self.check)

    def check(self, event: str, args: tuple[object, ...]) -> None:
        if not self.active or event not in self.EVENTS:
            return
        for path in args[:2]:
            if isinstance(path, bytes):
                path = os.fsdecode(path)
            if not isinstance(path, str) or not path.startswith("/"):
                continue
            if (path + "/").startswith(self.home) and not (path + "/").startswith(self.allowed):
                self.touched.append(f"{event} {path}")
                raise RealHomeTouched(path)


def real_home() -> str:
    """The home of this process's user; a folder that is not there if it has none of its own."""
    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        home = ""
    return home if home.strip("/") else "/nonexistent"


HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GUARD = HomeGuard(
    real_home(),
    [
        HERE,
        os.getcwd(),
        sys.prefix,
        sys.base_prefix,
        tempfile.gettempdir(),
        *filter(None, sys.path),
    ],
)
HOMES = itertools.count()


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("homes")


@pytest.fixture(autouse=True)
def sealed(homes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for the test, with nothing in it but a git identity; the home's path."""
    home = homes / str(next(HOMES))
    (home / ".config").mkdir(parents=True)
    (home / ".gitconfig").write_text(GIT_CONFIG)
    (home / "system.gitconfig").write_bytes(b"")

    for variable in list(os.environ):
        if variable.startswith(REMOVED_PREFIXES) or variable in REMOVED:
            monkeypatch.delenv(variable)
    for variable, value in {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "GIT_CONFIG_GLOBAL": home / ".gitconfig",
        "GIT_CONFIG_SYSTEM": home / "system.gitconfig",
        "GIT_AUTHOR_DATE": DATE,
        "GIT_COMMITTER_DATE": DATE,
        # Nobody answers: an editor or a question must fail at once.
        "EDITOR": "false",
        "GIT_EDITOR": "false",
        "GIT_SEQUENCE_EDITOR": "false",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
        "LC_ALL": "C.UTF-8",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "TZ": "UTC",
        # What pytest itself prints is no run's; tests of output switch this on for their scripts.
        "GITTRACK_OUTPUT_CAPTURE": "false",
    }.items():
        monkeypatch.setenv(variable, str(value))
    time.tzset()
    _seal_libgit2(home)

    GUARD.touched.clear()
    GUARD.active = True
    yield home
    GUARD.active = False
    # The error itself may have been caught: training never dies of tracking.
    assert not GUARD.touched, f"the real home was touched: {GUARD.touched}"


def _seal_libgit2(home: Path) -> None:
    """libgit2 reads HOME once, when it is first imported: by an earlier test, perhaps."""
    pygit2 = sys.modules.get("pygit2")
    if pygit2 is not None:
        paths = pygit2.settings.search_path
        paths[pygit2.enums.ConfigLevel.GLOBAL] = str(home)
        paths[pygit2.enums.ConfigLevel.XDG] = str(home / ".config" / "git")
        paths[pygit2.enums.ConfigLevel.SYSTEM] = str(home / "nothing")


@pytest.fixture
def repo(tmp_path: Path) -> GitRepo:
    """An empty repository on an unborn `main`."""
    return GitRepo.create(tmp_path / "repo")
