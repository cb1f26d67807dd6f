"""Measure `blame` and `bisect` on a long history with a run at every commit.

    python benchmarks/archaeology.py                    1,000 and 10,000 commits
    python benchmarks/archaeology.py --commits 1000 --rounds 1
    python benchmarks/archaeology.py --write docs/PERFORMANCE.md

The history has a merge at every tenth commit. Nothing is run: all answers are in the store, whose
runs are made in bulk, with the same files in the same places as recorded ones.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from benchmarks import page  # noqa: E402
from benchmarks.sharing import ADA, START_MS, run_files  # noqa: E402
from gittrack.core.bisection import History, search  # noqa: E402
from gittrack.core.levels import find_levels  # noqa: E402
from gittrack.repo.seal import first_files  # noqa: E402
from gittrack.store import layout  # noqa: E402
from gittrack.store.git import Git  # noqa: E402
from gittrack.store.paths import find_paths  # noqa: E402
from gittrack.store.write import Tree, commit  # noqa: E402

_MERGE_EVERY = 10

#: Row -> what it is, and the budget in ms at 1,000 commits.
ROWS = {
    "log": ("`gittrack log -n 20`, to compare with", None),
    "blame": ("`gittrack blame METRIC`, whole command", 500),
    "bisect": ("`gittrack bisect A..B`, all from recorded runs, whole command", 500),
    "levels": ("of `blame`: the search for shifts", 100),
    "question": ("of `bisect`: which commit to try first, if no run were known", 100),
}


class Desk:
    """A repository with a long history, and a run at each commit; m0 shifts at 7 tenths."""

    def __init__(self, folder: str, commits: int) -> None:
        self.path = os.path.join(folder, "repo")
        home = os.path.join(folder, "home")
        os.makedirs(home)
        self.env = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": ROOT, "LC_ALL": "C"}
        self.run("git", "init", "-q", "-b", "main", self.path, cwd=folder)
        self.run("git", "fast-import", "--quiet", cwd=self.path, input=history(commits))
        self.order = self.run(
            "git", "rev-list", "--topo-order", "--reverse", "main", cwd=self.path
        ).split()
        listed = self.run("git", "rev-list", "--parents", "main", cwd=self.path).splitlines()
        self.parents = {line.split()[0]: line.split()[1:] for line in listed}
        self.values = self._fill()
        self.cli("log", "-n", "20")

    def _fill(self) -> list[float]:
        chance = random.Random(1)
        files: dict[str, bytes | None] = dict(first_files())
        values = []
        for at, one in enumerate(self.order):
            values.append(chance.gauss(0.9 if at < len(self.order) * 0.7 else 0.8, 0.005))
            files.update(run_files(at, chance, one, one, {"m0": values[-1]}))
        git = Git(find_paths(self.path, {}))
        write = Tree(files, "runs [skip ci]\n")
        commit(git, layout.STORE_REF, None, write, ADA, START_MS // 1000, fsync=False)
        git.close()
        return values

    def measure(self) -> dict[str, float]:
        """Every row once, in ms."""
        span = f"{self.order[0]}..main"
        found = {
            "log": timed(lambda: self.cli("log", "-n", "20")),
            "blame": timed(lambda: self.cli("blame", "m0")),
            "bisect": timed(lambda: self.cli("bisect", span, "--where", "metrics.m0 < 0.85")),
            "levels": timed(lambda: find_levels(self.values)),
        }
        graph = History(self.order, self.parents)
        found["question"] = timed(lambda: search(graph, self.order[-1], {}))
        for command in (["blame", "m0"], ["bisect", span, "--where", "metrics.m0 < 0.85"]):
            said = json.loads(self.cli(*command, "--format", "json"))
            first = said["shifts"][0]["after"]["commit"] if "shifts" in said else said["first_bad"]
            # What was measured is right, too; a merge may lie beside it.
            at = self.order.index(first["id"])
            assert abs(at - len(self.order) * 0.7) <= _MERGE_EVERY, (command, at)
        return found

    def cli(self, *args: str) -> str:
        """What a gittrack command prints."""
        return self.run(sys.executable, "-m", "gittrack", *args, cwd=self.path)

    def run(self, *command: str, cwd: str, input: str | None = None) -> str:
        """What a command prints, which must succeed."""
        done = subprocess.run(
            command, cwd=cwd, env=self.env, capture_output=True, text=True, input=input, check=False
        )
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def history(commits: int) -> str:
    """A stream for `git fast-import`: one line of commits, with a branch merged now and then."""
    lines = []
    for mark in range(1, commits + 1):
        when = START_MS // 1000 + mark * 180
        lines += ["commit refs/heads/main", f"mark :{mark}"]
        lines += [f"committer Ada <ada@example.org> {when} +0000", "data 4", "work"]
        if mark > 1:
            at = mark % _MERGE_EVERY
            # The commit before this place branches off two below.
            lines.append(f"from :{mark - 2 if at == _MERGE_EVERY - 1 and mark > 2 else mark - 1}")
            if at == 0:
                lines.append(f"merge :{mark - 2}")
        text = f"x = {mark}\n"
        lines += ["M 100644 inline train.py", f"data {len(text)}", text]
    return "\n".join(lines) + "\n"


def timed(work: object) -> float:
    """How long a call takes, in ms."""
    assert callable(work)
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


def measure_all(sizes: list[int], rounds: int) -> dict[int, dict[str, list[float]]]:
    """Number of commits -> row -> its figures, one a round."""
    found: dict[int, dict[str, list[float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="gittrack-bench-") as folder:
            desk = Desk(folder, size)
            for _ in range(rounds):
                for row, value in desk.measure().items():
                    found.setdefault(size, {}).setdefault(row, []).append(value)
                    print(f"{size:>8} {row:14} {value:,.1f} ms", file=sys.stderr)
    return found


def table(found: dict[int, dict[str, list[float]]]) -> str:
    """The figures as a Markdown table."""
    sizes = list(found)
    lines = [
        "| what | budget | " + "".join(f"{size:,} commits | " for size in sizes),
        "|---|---:|" + "---:|" * len(sizes),
    ]
    for row, (what, budget) in ROWS.items():
        cells = [what, f"<= {budget} ms at 1,000" if budget else "ms"]
        for size in sizes:
            value = statistics.median(found[size][row])
            missed = budget is not None and size <= 1_000 and value > budget
            cells.append(f"{value:,.0f}{' **missed**' if missed else ''}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--commits", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    found = measure_all(args.commits, args.rounds)
    version = subprocess.check_output(["git", "--version"], text=True).split()[2]
    text = (
        f"{table(found)}\n{os.cpu_count()} cores, git {version}; medians of {args.rounds} rounds.\n"
    )
    page.deliver(args, "archaeology", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
