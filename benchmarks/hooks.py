"""Measure what our git hooks add to a commit.

    python benchmarks/hooks.py
    python benchmarks/hooks.py --rounds 20
    python benchmarks/hooks.py --write docs/PERFORMANCE.md

Three clones of one repository take turns at the same command: without hooks, with hooks that do
nothing, and with ours.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from benchmarks import page  # noqa: E402
from gittrack.config import parse_git_config  # noqa: E402
from gittrack.repo import hints  # noqa: E402
from gittrack.store import hooks  # noqa: E402
from gittrack.store.git import Git  # noqa: E402
from gittrack.store.paths import find_paths  # noqa: E402

_FILES = 300
CLONES = ("without", "empty", "ours")
#: Row -> what it is, its budget in ms, the command.
ROWS = {
    "commit": ("`git commit`", 5, ("commit", "-q", "--allow-empty", "-m", "x")),
    "amend": ("`git commit --amend`, two hooks", 10,
              ("commit", "-q", "--amend", "--allow-empty", "-m", "y")),
    "merge": ("`git merge` that makes a commit", 5, ("merge", "-q", "--no-ff", "-m", "m", "next")),
}  # fmt: skip


class Clones:
    """Three clones of one repository."""

    def __init__(self, folder: str) -> None:
        who = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER")
               for what in ("NAME", "EMAIL")}  # fmt: skip
        others = {key: value for key, value in os.environ.items() if not key.startswith("GIT")}
        self.env = {**others, **who, "HOME": folder, "GIT_CONFIG_NOSYSTEM": "1"}
        self.paths = [os.path.join(folder, name) for name in CLONES]
        for path in self.paths:
            self._make(path)
        for name in hooks.NAMES:
            empty = Path(self.paths[1], ".git", "hooks", name)
            empty.write_text("#!/bin/sh\n")
            empty.chmod(0o755)
        git = Git(find_paths(self.paths[2], {}))
        hints.enable(git.common_dir)
        hooks.install(git, parse_git_config(git.run("config", "-z", "--list")))
        self.common_dir = git.common_dir

    def _make(self, path: str) -> None:
        os.makedirs(path)
        for number in range(_FILES):
            Path(path, f"m{number}.py").write_text(f"x = {number}\n" * 20)
        for args in (("init", "-q"), ("config", "gc.auto", "0"), ("add", "."),
                     ("commit", "-qm", "code")):  # fmt: skip
            self.git(path, *args)

    def git(self, path: str, *args: str) -> str:
        """What git prints there."""
        return subprocess.run(
            ["git", *args], cwd=path, env=self.env, check=True, capture_output=True, text=True
        ).stdout.strip()

    def measure(self, row: str, turn: int) -> list[float]:
        """One command in each clone, in ms; who is first changes."""
        took = [0.0] * len(CLONES)
        for step in range(len(CLONES)):
            at = (turn + step) % len(CLONES)
            path = self.paths[at]
            if row == "merge":
                # A commit on HEAD that no branch has yet.
                child = self.git(path, "commit-tree", "-p", "HEAD", "-m", "c", "HEAD^{tree}")
                self.git(path, "branch", "-f", "next", child)
            start = time.perf_counter()
            self.git(path, *ROWS[row][2])
            took[at] = (time.perf_counter() - start) * 1000
        return took


def measure(rounds: int) -> dict[str, list[float]]:
    """Each row: what the command takes without hooks, and what the others add to it, in ms."""
    with tempfile.TemporaryDirectory() as folder:
        clones = Clones(folder)
        took: dict[str, list[list[float]]] = {row: [] for row in ROWS}
        for turn in range(rounds):
            for row, found in took.items():
                found.append(clones.measure(row, turn))
        noted = hints.read_hints(clones.common_dir)[0]
        # A commit, an amended one with what it was, and a merge.
        assert len(noted) == rounds * 4, f"{len(noted)} notes in {rounds} rounds"
    return {row: [_added(found, at) for at in range(len(CLONES))] for row, found in took.items()}


def _added(found: list[list[float]], at: int) -> float:
    """The median of what one clone took more than the first in the same round; of that, all."""
    return statistics.median(times[at] - (times[0] if at else 0.0) for times in found)


def table(found: dict[str, list[float]], rounds: int) -> str:
    """What was measured, for the page."""
    version = subprocess.run(["git", "version"], capture_output=True, text=True, check=True).stdout
    lines = [
        "| what | without hooks | empty hooks add | ours add | budget |",
        "|---|---:|---:|---:|---:|",
    ]
    for row, (what, budget, _) in ROWS.items():
        without, empty, ours = found[row]
        missed = " **missed**" if ours > budget else ""
        lines.append(
            f"| {what} | {without:.1f} ms | {empty:.1f} ms | {ours:.1f} ms{missed} | {budget} ms |"
        )
    shell = os.path.basename(os.path.realpath("/bin/sh"))
    lines.append(
        f"\n{os.cpu_count()} cores, {version.strip()}, {shell}; medians of {rounds} rounds, of "
        "what is added within a round.\n"
    )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    found = measure(args.rounds)
    text = table(found, args.rounds)
    page.deliver(args, "hooks", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
