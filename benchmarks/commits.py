"""Measure recording the commits of a history, beside `dvc metrics show -A`, which reads them all.

    python benchmarks/commits.py
    python benchmarks/commits.py --write docs/PERFORMANCE.md

Every commit changes params.yaml and metrics.json in a repository of 100 files. Within a round all
take turns; each figure is the median of whole processes.
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
from pathlib import Path

import page

#: Seconds that a history of 1,000 commits may take.
MOST_S = 10.0
ROWS = {
    "record": "`gittrack record --all`",
    "again": "the same again",
    "dvc": "`dvc metrics show -A`",
    "log": "`gittrack log`, nothing new",
    "log_one": "`gittrack log`, one commit to record",
    "log_amended": "`gittrack log`, one commit amended",
}


class Bench:
    """A repository with a history of experiments."""

    def __init__(self, top: Path, commits: int) -> None:
        self.repo = top / "repo"
        self.env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("GITTRACK_", "GIT_"))
        }
        self.env |= {
            "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.org",
        }  # fmt: skip
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.repo)], check=True)
        self.git("fast-import", "--quiet", input=b"".join(_history(commits)))
        self.git("reset", "-q", "--hard")
        self.python("-m", "dvc", "init", "-q")
        self.git("commit", "-qm", "dvc")
        self.number = 0

    def git(self, *args: str, input: bytes | None = None) -> None:
        """Run git in the repository."""
        subprocess.run(["git", *args], cwd=self.repo, check=True, env=self.env, input=input)

    def python(self, *args: str) -> float:
        """Seconds that a Python process in the repository takes."""
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, *args], cwd=self.repo, env=self.env, check=True,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return time.perf_counter() - began

    def round(self) -> dict[str, float]:
        """Row -> seconds."""
        shutil.rmtree(self.repo / ".git" / "gittrack", ignore_errors=True)
        for ref in ("refs/gittrack/store/main",):
            self.git("update-ref", "-d", ref)
        self.python("-m", "gittrack", "init")
        self.python("-m", "gittrack", "hooks", "install")
        found = {"record": self.python("-m", "gittrack", "record", "--all")}
        found["again"] = self.python("-m", "gittrack", "record", "--all")
        found["dvc"] = self.python("-m", "dvc", "metrics", "show", "-A", "metrics.json")
        self._log()
        found["log"] = self._log()
        self._commit()
        found["log_one"] = self._log()
        self._log()
        self.git("commit", "-q", "--amend", "-m", "otherwise")
        found["log_amended"] = self._log()
        return found

    def _log(self) -> float:
        return self.python("-m", "gittrack", "log", "-n", "20")

    def _commit(self) -> None:
        self.number += 1
        (self.repo / "metrics.json").write_text(f'{{"acc": 0.{self.number}}}\n')
        self.git("commit", "-qam", "one more")


def _history(commits: int) -> list[bytes]:
    stream = []
    for number in range(commits):
        message = b"try %d" % number
        stream.append(
            b"commit refs/heads/main\ncommitter Ada <ada@example.org> %d +0000\ndata %d\n%b\n"
            % (1_700_000_000 + 60 * number, len(message), message)
        )
        files = {f"src/m{n}.py": b"print(1)\n" for n in range(100)} if not number else {}
        files["params.yaml"] = b"lr: 0.%d\nmodel:\n  depth: %d\n  name: resnet\n" % (number, number)
        files["metrics.json"] = b'{"acc": 0.%d, "val": {"loss": 0.5}}\n' % number
        for path, data in files.items():
            stream.append(b"M 644 inline %b\ndata %d\n%b\n" % (path.encode(), len(data), data))
    return stream


def table(found: dict[str, list[float]], commits: int) -> str:
    """The figures as a Markdown table."""
    middle = {row: statistics.median(values) for row, values in found.items()}
    lines = ["| what | seconds |", "|---|---:|"]
    for row, name in ROWS.items():
        missed = " **missed**" if row == "record" and middle[row] > MOST_S else ""
        lines.append(f"| {name} | {middle[row]:.2f}{missed} |")
    faster = statistics.median(
        dvc / ours for dvc, ours in zip(found["dvc"], found["record"], strict=True)
    )
    rounds = len(found["record"])
    return (
        "\n".join(lines)
        + f"\n\n{commits:,} commits; recording them takes 1/{faster:.1f} of the time that DVC "
        f"reads them in.\n{os.cpu_count()} cores; medians of {rounds} rounds.\n"
    )


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--commits", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    found: dict[str, list[float]] = {row: [] for row in ROWS}
    with tempfile.TemporaryDirectory(prefix="gittrack-bench-") as folder:
        bench = Bench(Path(folder), args.commits)
        for _ in range(args.rounds):
            for row, seconds in bench.round().items():
                found[row].append(seconds)
                print(f"{row:12} {seconds:8.3f} s", file=sys.stderr)
    text = table(found, args.commits)
    page.deliver(args, "commits", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
