"""Measure storing large artifacts beside `dvc add`, and beside `cp` and an md5 as the limit.

    python benchmarks/artifacts.py
    python benchmarks/artifacts.py --write docs/PERFORMANCE.md

Within a round all take turns on the same files, warm in memory; each figure is a median. gittrack
stores through `log_artifact` and `log_artifacts` within a run. The limit is what nobody can do
without, one after the other: `cp` and an md5 in C; of many files one loop that reads, digests and
writes each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import page

ROOT = Path(__file__).resolve().parent.parent
#: As budgets: times the limit, and how many times slower `dvc add` has to be.
MOST_TIMES_LIMIT, LEAST_TIMES_FASTER = 1.25, 3.0

STORE = """
import sys, time
import gittrack
with gittrack.start_run():
    began = time.perf_counter()
    (gittrack.log_artifacts if sys.argv[2] == "many" else gittrack.log_artifact)(sys.argv[1])
    print(time.perf_counter() - began)
"""
LIMIT = """
import hashlib, os, sys, time
source, target = sys.argv[1:3]
began = time.perf_counter()
if os.path.isdir(source):
    os.mkdir(target)
    for name in os.listdir(source):
        with open(os.path.join(source, name), "rb") as file:
            data = file.read()
        hashlib.md5(data).hexdigest()
        with open(os.path.join(target, name), "wb") as file:
            file.write(data)
else:
    # cp alone, then the digest alone: nothing is done twice, and nothing at once.
    import subprocess
    subprocess.run(["cp", source, target], check=True)
    with open(source, "rb") as file:
        hashlib.file_digest(file, "md5")
print(time.perf_counter() - began)
"""


class Bench:
    """A repository, with the files to store."""

    def __init__(self, top: Path, large_mib: int, files: int) -> None:
        self.top = top
        self.repo = top / "repo"
        self.repo.mkdir()
        self.env = {
            **os.environ, "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(top / "site"), "GITTRACK_SEAL_FSYNC": "no",
        }  # fmt: skip
        self.git("init", "-q")
        self.git("commit", "-q", "--allow-empty", "-m", "first")
        self.large = self.repo / "model.bin"
        with self.large.open("wb") as file:
            for _ in range(large_mib):
                file.write(os.urandom(1 << 20))
        self.many = self.repo / "many"
        self.many.mkdir()
        for number in range(files):
            (self.many / f"{number}.bin").write_bytes(os.urandom(10_000))
        self.python("-m", "dvc", "init", "-q")
        self.python("-c", "import gittrack\nwith gittrack.start_run(): pass")

    def git(self, *args: str) -> None:
        """Run git in the repository."""
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        subprocess.run(["git", *who, *args], cwd=self.repo, check=True, env=self.env)

    def python(self, *args: str) -> str:
        """What a Python process in the repository prints."""
        done = subprocess.run(
            [sys.executable, *args], cwd=self.repo, env=self.env, text=True,
            capture_output=True, check=True,
        )  # fmt: skip
        return done.stdout

    def source(self, kind: str) -> Path:
        """The file or folder of that kind."""
        return self.large if kind == "large" else self.many

    def gittrack(self, kind: str) -> float:
        """Seconds that the call takes within a run, in a repository that has had large files."""
        return self._store(kind, folders=256)

    def gittrack_first(self, kind: str) -> float:
        """The same with the first large files of a repository, whose store has no folders yet."""
        return self._store(kind, folders=0)

    def _store(self, kind: str, folders: int) -> float:
        # The runs stay: an environment that was seen before is nothing to look at meanwhile.
        objects = self.repo / ".git" / "gittrack" / "odb"
        shutil.rmtree(objects, ignore_errors=True)
        for number in range(folders):
            (objects / "files" / "md5" / f"{number:02x}").mkdir(parents=True)
        os.sync()
        return float(self.python("-c", STORE, str(self.source(kind)), kind))

    def gittrack_again(self, kind: str) -> float:
        """The same when all of it is stored already."""
        return float(self.python("-c", STORE, str(self.source(kind)), kind))

    def limit(self, kind: str) -> float:
        """Seconds that a copy and the digests take."""
        target = self.top / "copy"
        os.sync()
        found = float(self.python("-c", LIMIT, str(self.source(kind)), str(target)))
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        return found

    def dvc(self, kind: str) -> float:
        """Seconds that `dvc add` takes, the whole command."""
        name = self.source(kind).name
        for path in (self.repo / f"{name}.dvc", self.repo / ".gitignore"):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.repo / ".dvc" / "cache", ignore_errors=True)
        shutil.rmtree(self.top / "site", ignore_errors=True)
        os.sync()
        began = time.perf_counter()
        self.python("-m", "dvc", "add", "-q", name)
        return time.perf_counter() - began


def measure(large_mib: int, files: int, rounds: int) -> dict[str, dict[str, list[float]]]:
    """Kind of data -> who -> seconds, one a round."""
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="gittrack-bench-") as folder:
        bench = Bench(Path(folder), large_mib, files)
        ways: dict[str, Callable[[str], float]] = {
            "limit": bench.limit, "first": bench.gittrack_first, "gittrack": bench.gittrack,
            "again": bench.gittrack_again, "dvc": bench.dvc,
        }  # fmt: skip
        for _ in range(rounds):
            for kind in ("large", "many"):
                for who, way in ways.items():
                    seconds = way(kind)
                    found.setdefault(kind, {}).setdefault(who, []).append(seconds)
                    print(f"{kind:6} {who:9} {seconds:8.3f} s", file=sys.stderr)
                # dvc add leaves a link or a copy; the next round wants nobody to know the file.
                shutil.rmtree(bench.repo / ".dvc" / "cache", ignore_errors=True)
                (bench.repo / f"{bench.source(kind).name}.dvc").unlink(missing_ok=True)
    return found


def table(found: dict[str, dict[str, list[float]]], large_mib: int, files: int) -> str:
    """The figures as a Markdown table."""
    names = {"large": f"one file of {large_mib:,} MiB", "many": f"{files:,} files of 10 KB"}
    lines = [
        "| what | limit | gittrack | of the limit | the first | `dvc add` | faster | again |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for kind, by in found.items():
        middle = {who: statistics.median(values) for who, values in by.items()}
        # In pairs: a machine that slows down slows all of a round.
        pairs = list(zip(by["gittrack"], by["first"], by["limit"], by["dvc"], strict=True))
        times = statistics.median(ours / limit for ours, _, limit, _ in pairs)
        first = statistics.median(ours / limit for _, ours, limit, _ in pairs)
        faster = statistics.median(dvc / ours for ours, _, _, dvc in pairs)
        limit_missed = "" if times <= MOST_TIMES_LIMIT else " **missed**"
        faster_missed = "" if faster >= LEAST_TIMES_FASTER else " **missed**"
        lines.append(
            f"| {names[kind]} | {middle['limit']:.2f} s | {middle['gittrack']:.2f} s "
            f"| {times:.2f}{limit_missed} | {first:.2f} | {middle['dvc']:.2f} s "
            f"| {faster:.1f}{faster_missed} "
            f"| {middle['again']:.2f} s |"
        )
    rounds = len(found["large"]["limit"])
    return "\n".join(lines) + f"\n\n{os.cpu_count()} cores; medians of {rounds} rounds.\n"


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--mib", type=int, default=1024, help="of the large file")
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    found = measure(args.mib, args.files, args.rounds)
    text = table(found, args.mib, args.files)
    page.deliver(args, "artifacts", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
