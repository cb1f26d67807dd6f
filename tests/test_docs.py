"""Every command in the README runs, in its order; every error has its paragraph."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack import errors
from gittrack.cli import main as cli
from gittrack.cli import reference
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
    program = "-m gittrack "
    for name, line in (
        ("gittrack", program),
        ("git-gittrack", program),
        ("python", ""),
        ("dvc", "-m dvc "),
    ):
        path = commands / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {line}"$@"\n')
        path.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "80",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "dvc-site"),
    }
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=repo.path, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_tour_runs(repo: GitRepo, tmp_path: Path) -> None:
    repo.write("train.py", blocks("python")[0])
    repo.commit("train")
    tours = blocks("console", "tour")
    assert len(tours) == 7
    lines = [line for tour in tours for line in tour.splitlines()]
    assert all(line.startswith("$ ") for line in lines)
    for line in lines:
        done = shell(repo, tmp_path, line[2:])
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        # A remote's progress goes to standard error.
        assert done.stdout or "train.py" in line or "git push" in line or "init -q" in line, line
        # Paths, machine formats and git's own output are never cut.
        if not any(word in line for word in ("checkout", "json", "$ git ", "history")):
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
    assert tests == "pip install '.[test]' && python -m pytest -n auto\n"


def test_every_shell_block_of_the_readme_is_run_by_something() -> None:
    marked = len(blocks("console", "tour")) + len(blocks("sh", "(?:demo|test) command"))
    assert len(blocks("console")) + len(blocks("sh")) == marked


HOWTOS = sorted((ROOT / "docs" / "howto").glob("*.md"))
_BLOCK = re.compile(r"<!-- (run|run python|file: (\S+)) -->\n```(\w+)\n(.*?)```", re.DOTALL)


def follow(page: Path, repo: GitRepo, tmp_path: Path) -> None:
    """Do what a page says, in its order; every command must succeed."""
    text = page.read_text(encoding="utf-8")
    found = list(_BLOCK.finditer(text))
    # Nothing that looks like a command may stand there without being run.
    run = [match for match in found if match[3] in ("console", "python", "sh")]
    assert len(run) == len(re.findall(r"^```(?:console|python|sh)$", text, re.MULTILINE))
    for what, name, _, body in (match.groups() for match in found):
        if name:
            repo.write(name, body)
        elif what == "run python":
            repo.write("../page.py", body)
            done = shell(repo, tmp_path, "python ../page.py")
            assert done.returncode == 0, f"{page.name}\n{done.stdout}{done.stderr}"
        else:
            for line in body.splitlines():
                assert line.startswith("$ "), f"{page.name}: {line}"
                done = shell(repo, tmp_path, line[2:])
                assert done.returncode == 0, f"{page.name}: {line}\n{done.stdout}{done.stderr}"
                assert "error:" not in done.stderr, f"{page.name}: {line}\n{done.stderr}"


@pytest.fixture(scope="module")
def tutored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the repository of the tutorial is kept for the pages that go on from it."""
    return tmp_path_factory.mktemp("tutorial") / "repo"


def learn(tutored: Path, tmp_path: Path) -> GitRepo:
    if not tutored.exists():
        tutored.mkdir(parents=True)
        follow(ROOT / "docs" / "TUTORIAL.md", GitRepo(tutored), tutored.parent)
    shutil.copytree(tutored, tmp_path / "work" / "repo", symlinks=True)
    return GitRepo(tmp_path / "work" / "repo")


def test_the_tutorial_works(tutored: Path, tmp_path: Path) -> None:
    repo = learn(tutored, tmp_path)
    listed = shell(repo, tmp_path, "gittrack log --format '%s|%p(lr)|%p(depth)'").stdout
    assert [line.partition("|")[2] for line in listed.splitlines()] == [
        "0.3|4", "0.3|8", "0.3|4", "0.1|4"
    ]  # fmt: skip
    assert listed.startswith("long-run|")
    assert "range(40)" in (tutored.parent / "as-it-ran" / "train.py").read_text()
    assert b"range(20)" in repo.read("train.py")


@pytest.mark.deep
@pytest.mark.parametrize("page", HOWTOS, ids=lambda page: page.stem)
def test_every_how_to_works(page: Path, tutored: Path, tmp_path: Path) -> None:
    follow(page, learn(tutored, tmp_path), tmp_path)


def test_the_reference_is_what_the_code_prints() -> None:
    docs = ROOT / "docs"
    expected = reference.pages()
    for name, text in expected.items():
        assert (docs / name).read_text(encoding="utf-8") == text, (
            f"{name}: python -m gittrack.cli.reference docs"
        )
    assert {f"man/{path.name}" for path in (docs / "man").iterdir()} == {
        name for name in expected if name.startswith("man/")
    }


def test_man_pages_are_clean_roff() -> None:
    if shutil.which("man") is None:
        return  # the text itself is held by the test above
    for name in ("gittrack", "gittrack-log", "gittrack-note"):
        done = subprocess.run(
            ["man", "--warnings", "-l", str(ROOT / "docs" / "man" / f"{name}.1")],
            env={**os.environ, "MANWIDTH": "80", "PAGER": "cat"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stderr == ""
        assert "SYNOPSIS" in done.stdout


@pytest.mark.parametrize("name", sorted(set(cli.COMMANDS) - {"demo"}))
def test_every_example_of_a_command_runs(name: str, tutored: Path, tmp_path: Path) -> None:
    repo = learn(tutored, tmp_path)
    ready = {
        "experiments": "gittrack experiments create iris",
        "restore": "gittrack rename @ brave-otter && gittrack delete brave-otter",
        "recover": "mkdir -p ../job-17/journal",
        "bisect": "python train.py --lr 0.3 && git tag v1.0 && git commit -q --allow-empty -m more",
        **dict.fromkeys(("delete", "purge"), "gittrack rename @ brave-otter"),
        **dict.fromkeys(
            ("pull", "push", "sync", "remote"),
            "git init -q --bare ../hub.git && git remote add origin ../hub.git",
        ),
        **dict.fromkeys(
            ("param", "metric", "artifact", "finish"),
            "export GITTRACK_RUN_ID=$(gittrack start); true",
        ),
    }.get(name, "true")
    shown = cli.command_parser(name).epilog or ""
    line = shown.partition("\n")[2].strip()
    done = shell(repo, tmp_path, f"{ready}\n{line}")
    assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
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


@pytest.mark.deep
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
