"""Golden files, and a repository with runs that the command line reads."""

from __future__ import annotations

import functools
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cli.server import Server
from tests.support import GitRepo

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "cli"

RECORD = """
import time
import gittrack


def next_ms():
    # Runs that start in the same ms have no order of their own.
    now = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == now:
        pass


with gittrack.start_run(run_name="first", experiment="iris", tags={"team": "vision"}):
    gittrack.log_params({"lr": 0.1, "model": "rf", "layers": [1, 2]})
    for step in range(3):
        gittrack.log_metrics({"loss": 1 / (step + 1), "acc": 0.5 + step / 10})
    gittrack.log_text("the whole report\\n", "out/report.txt")
next_ms()
with gittrack.start_run(run_name="second", experiment="iris", description="two\\nlines"):
    gittrack.log_params({"lr": 0.2, "model": "rf", "gone": None})
    gittrack.log_metrics({"loss": float("nan"), "acc": float("inf"), "low": float("-inf")})
next_ms()
with gittrack.start_run(run_name="evil \\u202ename", tags={"note": "a\\x1b[31mred\\x07"}):
    gittrack.log_params({"text": "\\x1b]0;title\\x07", "wide": "\\u65e5\\u672c\\u8a9e"})
    gittrack.log_param("a,b", 'q"q')
"""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden/cli")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with a golden file; `pytest tests/cli --update-golden` rewrites it."""

    def check(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden", default=False):
            path.write_bytes(text.encode())
        assert text == path.read_bytes().decode(), f"{name} differs; see --update-golden"

    return check


@functools.cache
def _server() -> Server:
    return Server(str(ROOT), environment())


@pytest.fixture(scope="session", autouse=True)
def _served() -> Iterator[None]:
    yield
    if _server.cache_info().currsize:
        _server().close()


class Project(GitRepo):
    """A repository, and the command line in it."""

    def gittrack(
        self, *args: str, cwd: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """`python -m gittrack` with these arguments; standard output and error as text."""
        done = _server().run(args, cwd or self.path, {**environment(), **env})
        if done is not None:
            out, err = (
                io.TextIOWrapper(io.BytesIO(s), "utf-8").read() for s in (done.stdout, done.stderr)
            )
            return subprocess.CompletedProcess(done.args, done.returncode, out, err)
        return subprocess.run(
            [sys.executable, "-m", "gittrack", *args],
            cwd=cwd or self.path,
            env={**environment(), **env},
            capture_output=True,
            encoding="utf-8",
        )

    def out(self, *args: str, **env: str) -> str:
        """What a command that must succeed prints."""
        done = self.gittrack(*args, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def read_blob(self, spec: str) -> bytes:
        """The bytes of an object that git names so."""
        return subprocess.run(
            ["git", "cat-file", "blob", spec], cwd=self.path, capture_output=True, check=True
        ).stdout

    def python(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a training script here, which must succeed."""
        done = subprocess.run(
            [sys.executable, "-c", script],
            cwd=self.path,
            env=environment(),
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        return done


def environment() -> dict[str, str]:
    """The sealed environment, with this checkout on Python's path."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def empty(tmp_path: Path) -> Project:
    """A repository with one commit and no runs."""
    project = Project(Project.create(tmp_path / "repo").path)
    project.write("train.py", "print('hello')\n")
    project.commit("first")
    return project


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what `project` copies is made once; nothing in it knows where it lies."""
    return tmp_path_factory.mktemp("recorded") / "repo"


@pytest.fixture
def project(empty: Project, recorded: Path) -> Project:
    """The same with three runs: first, second, and one whose name tries to do harm."""
    if recorded.exists():
        shutil.rmtree(empty.path)
        shutil.copytree(recorded, empty.path, symlinks=True)
    else:
        empty.python(RECORD)
        empty.out("log")  # copies have an index
        shutil.copytree(empty.path, recorded, symlinks=True)
    return empty
