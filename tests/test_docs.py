"""Every command in the README runs, in its order; every error has its paragraph."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from gittrack import errors
from gittrack.repo import files
from gittrack.store import write
from tests.support import GitRepo

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, marker: str = "") -> list[str]:
    before = rf"<!-- {marker} -->\n" if marker else ""
    return re.findall(rf"{before}```{language}\n(.*?)```", README, re.DOTALL)


def shell(repo: GitRepo, tmp_path: Path, script: str) -> subprocess.CompletedProcess[str]:
    commands = tmp_path / "bin"
    commands.mkdir(exist_ok=True)
    for name, line in (("gittrack", "-m gittrack "), ("python", "")):
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {line}"$@"\n')
        path.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=repo.path, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_tour_runs(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("train.py", blocks("python")[0])
    repo.commit("train")
    tours = blocks("console", "tour")
    assert len(tours) == 3
    lines = [line for tour in tours for line in tour.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    for line in lines:
        done = shell(repo, tmp_path, line[2:])
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert done.stdout or "train.py" in line, line
        # Paths, machine formats and git's own output are never cut.
        if not any(word in line for word in ("checkout", "json", "$ git ")):
            assert max(map(len, done.stdout.splitlines()), default=0) <= 80, done.stdout
    (found,) = blocks("python", "tour")
    repo.write("../read.py", found)
    done = shell(repo, tmp_path, "python ../read.py")
    assert done.returncode == 0, done.stderr
    assert "forest" in done.stdout
    assert "step=2" in done.stdout


def test_the_commands_that_ci_runs_are_there() -> None:
    (demo,) = blocks("sh", "demo command")
    (tests,) = blocks("sh", "test command")
    assert demo == "pip install '.[demo]' && gittrack demo\n"
    assert tests == "pip install '.[test]' && python -m pytest\n"


def test_every_shell_block_of_the_readme_is_run_by_something() -> None:
    marked = len(blocks("console", "tour")) + len(blocks("sh", "(?:demo|test) command"))
    assert len(blocks("console")) + len(blocks("sh")) == marked


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_error_has_a_paragraph() -> None:
    text = (ROOT / "docs" / "ERRORS.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\*\*(\w+)\*\*: ", text, re.MULTILINE))
    raised = {
        name
        for room in (errors, files)
        for name, kind in vars(room).items()
        if isinstance(kind, type)
        and issubclass(kind, errors.GittrackError)
        and kind is not errors.GittrackError
    }
    # A lock that is held is a GitError to whoever reads the message.
    assert issubclass(write.LockedError, errors.GitError)
    assert documented == raised


def test_the_demo_records_what_it_says(tmp_path: Path) -> None:
    done = shell(GitRepo(tmp_path), tmp_path, "gittrack demo --into demo")
    assert done.returncode == 0, done.stderr
    repo = GitRepo(tmp_path / "demo")
    listed = shell(repo, tmp_path, "gittrack log --format jsonl").stdout.splitlines()
    assert len(listed) >= 8
    assert sum('"dirty": true' in line or '"dirty":true' in line for line in listed) == 1
    assert len(repo.git("rev-list", "main").split()) == 2
    # The git commands that it prints work as they stand.
    printed = [line.strip() for line in done.stdout.splitlines() if line.startswith("    git ")]
    assert len(printed) >= 3
    for line in printed:
        again = shell(repo, tmp_path, f"{line} | cat")
        assert again.returncode == 0, again.stderr
        assert again.stdout
    full = shell(GitRepo(tmp_path), tmp_path, "gittrack demo --into demo")
    assert full.returncode == 1
    assert "next:" in full.stderr
