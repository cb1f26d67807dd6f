"""Measure gittrack's budgets beside other trackers, in one interleaved run.

    python benchmarks/run.py                          gittrack alone
    python benchmarks/run.py --peer-python PATH       and those of MLflow, dvclive, sacred and
                                                      trackio that this Python has
    python benchmarks/run.py --write docs/PERFORMANCE.md

Each figure is the median over the rounds; within a round the trackers take turns, so a machine
that slows down slows all of them. Every process is fresh, in a new git repository below a
temporary folder, with a home of its own. Scripts check what they recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import page  # noqa: E402
from workloads import ROWS, TRACKERS  # noqa: E402

#: Runs or points of a workload; peers that are slower get fewer, the rate stays comparable.
SIZES = {
    "output": 200_000,
    "output_off": 200_000,
    "stream": 1_000_000,
    "stream_json": 500_000,
    "runs": 300,
    "points": 100_000,
    "sample": 200,
    "sampled": 8,
    "points10": 200_000,
    "end": 100_000,
    "parallel": 25,
}
PEER_SIZES = {"runs": 20, "points": 1_000, "points10": 2_000, "parallel": 5}
STORE_RUNS = 10_000
#: Rows of whole commands in that store.
READS = {
    "log": ("log", "-n", "20"),
    "show": ("show", "@{-10}"),
    "show_points": ("show", "points"),
    "diff": ("diff", "@{-10}", "dirty"),
    "range": ("log", "-n", "20", "HEAD"),
    "history": ("history", "@{-10}"),
}
PROCESSES = 8
#: A figure of a peer whose processes did not all succeed.
FAILED = float("nan")


#: What is switched off for a row.
_OFF = {
    "smallest_off": {"GITTRACK_OUTPUT_CAPTURE": "no", "GITTRACK_ENVIRONMENT_CAPTURE": "no"},
    "output_off": {"GITTRACK_OUTPUT_CAPTURE": "no"},
}


def _value(printed: str) -> float:
    return float(json.loads(printed.splitlines()[-1])["value"])


class Bench:
    """One tracker's workloads, with the Python that has it."""

    def __init__(self, name: str, python: str, sizes: dict[str, int], scratch: str) -> None:
        self.name = name
        self.python = python
        _, extra, self.scripts = TRACKERS[name]
        self.sizes = sizes
        self.scratch = scratch
        home = os.path.join(scratch, "home")
        os.makedirs(home, exist_ok=True)
        with open(os.path.join(home, ".gitconfig"), "w") as file:
            file.write("[user]\n\tname = Ada\n\temail = ada@example.com\n[gc]\n\tauto = 0\n")
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": home,
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": ROOT if name == "gittrack" else "",
            "PYTHONWARNINGS": "ignore",
            "PYTHONPYCACHEPREFIX": os.path.join(scratch, "pycache"),
            **extra,
        }

    def measure(self, row: str) -> float | None:
        """One figure, or None if this tracker has no such workload."""
        if row not in self.scripts:
            return None
        with self.repository(3_000 if row.startswith("start_") else 100) as folder:
            script = f"N = {self.sizes.get(row, 1)}\n{self.scripts[row]}"
            if row in ("runs", "parallel") and self.name == "gittrack":
                # The environment is known, as it is to all runs but the first.
                self.run(folder, "import gittrack\nwith gittrack.start_run(): pass")
            if row == "import":
                self.run(folder, script)
                return self.timed(folder, script) - self.timed(folder, "pass")
            if row in _OFF:
                with self.variables(_OFF[row]):
                    self.run(folder, script)
                    if row == "output_off":
                        return _value(self.run(folder, script))
                    return self.timed(folder, script)
            if row == "smallest":
                self.run(folder, script)
                return self.timed(folder, script)
            if row == "smallest_new":
                return self.timed(folder, script)
            if row.startswith("start_"):
                self.run(folder, script)
                if row == "start_dirty":
                    for number in range(20):
                        with open(os.path.join(folder, f"file{number}"), "a") as file:
                            file.write("changed\n")
                return _value(self.run(folder, script))
            if row == "wrapped":
                command = [self.python, "-m", "gittrack", "run", "--", "true"]
                subprocess.run(command, cwd=folder, env=self.env, check=True)
                start = time.perf_counter()
                subprocess.run(command, cwd=folder, env=self.env, check=True)
                return (time.perf_counter() - start) * 1000
            if row.startswith("stream"):
                return self.stream(folder, row, script)
            if row == "parallel":
                return self.parallel(folder, script)
            return _value(self.run(folder, script))

    @contextmanager
    def variables(self, values: dict[str, str]) -> Iterator[None]:
        """With these environment variables."""
        before, self.env = self.env, {**self.env, **values}
        try:
            yield
        finally:
            self.env = before

    def stream(self, folder: str, row: str, script: str) -> float:
        """Points a second that `gittrack metric -` takes from a file, start and end included."""
        command = [self.python, "-m", "gittrack"]

        def cli(*args: str, **env: str) -> str:
            return subprocess.run(
                [*command, *args], cwd=folder, env={**self.env, **env}, text=True,
                stdout=subprocess.PIPE, check=True,
            ).stdout  # fmt: skip

        points = os.path.join(self.scratch, "points")
        with open(points, "w") as file:
            file.write(self.run(folder, script))
        run_id = cli("start").strip()
        with open(points, "rb") as file:
            start = time.perf_counter()
            subprocess.run(
                [*command, "metric", "-"], cwd=folder, stdin=file, check=True,
                env={**self.env, "GITTRACK_RUN_ID": run_id},
            )  # fmt: skip
            took = time.perf_counter() - start
        cli("finish", GITTRACK_RUN_ID=run_id)
        count = int(self.run(
            folder, f"import gittrack; print(gittrack.get_run('{run_id}').metrics['loss'].count)"
        ))  # fmt: skip
        if count != self.sizes[row]:
            raise SystemExit(f"{self.sizes[row] - count} points of the stream were lost")
        return count / took

    @contextmanager
    def repository(self, files: int = 100) -> Iterator[str]:
        """A clean repository of so many files."""
        folder = tempfile.mkdtemp(dir=self.scratch)
        try:
            for number in range(files):
                with open(os.path.join(folder, f"file{number}"), "w") as file:
                    file.write(f"{number}\n")
            for args in (["init", "-q"], ["add", "."], ["commit", "-qm", "files"]):
                subprocess.run(["git", *args], cwd=folder, env=self.env, check=True)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def run(self, folder: str, script: str) -> str:
        """What a script prints; its failure ends the benchmark."""
        done = subprocess.run(
            [self.python, self.file(script)],
            cwd=folder, env=self.env, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{self.name} failed:\n{script}\n{done.stderr}")
        return done.stdout

    def file(self, script: str) -> str:
        """The script as a file; some trackers refuse to record anything else."""
        path = os.path.join(self.scratch, "script.py")
        with open(path, "w") as file:
            file.write(script)
        return path

    def timed(self, folder: str, script: str) -> float:
        """The wall time of a whole process in ms."""
        start = time.perf_counter()
        self.run(folder, script)
        return (time.perf_counter() - start) * 1000

    def parallel(self, folder: str, script: str) -> float:
        """Runs a second of eight processes together; gittrack may lose none, a peer may FAIL."""
        path = self.file(script)
        start = time.perf_counter()
        processes = [
            subprocess.Popen(
                [self.python, path],
                cwd=folder, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for _ in range(PROCESSES)
        ]  # fmt: skip
        codes = [process.wait() for process in processes]
        took = time.perf_counter() - start
        total = PROCESSES * self.sizes["parallel"]
        if self.name == "gittrack":
            found = self.run(folder, "import gittrack; print(len(gittrack.search_runs()))")
            if int(found) != total + 1 or any(codes):
                raise SystemExit(f"{total + 1 - int(found)} runs were lost, exit codes {codes}")
        elif any(codes):
            return FAILED
        return total / took


class Store:
    """A store of many runs, for the rows that read; made once."""

    def __init__(self, bench: Bench, folder: str, runs: int) -> None:
        self.bench, self.folder, self.runs = bench, folder, runs
        bench.run(
            folder,
            f"""
import gittrack, random
random.seed(1)
for i in range({runs}):
    with gittrack.start_run():
        gittrack.log_params({{f"p{{k}}": random.choice([1, 2, 3, "x"]) for k in range(5)}})
        gittrack.log_metrics({{f"m{{k}}": random.random() for k in range(5)}})
""",
        )

    def measure(self, row: str) -> float:
        """One figure of the rows that read."""
        search = (
            "gittrack.search_runs('metrics.m1 > 0.5 and params.p1 = 2', "
            "order_by=['metrics.m1'], max_results=50)"
        )
        if row in READS:
            folder = self.grown() if row in ("show_points", "diff") else self.folder
            self.cli(folder, *READS[row])
            start = time.perf_counter()
            self.cli(folder, *READS[row])
            return (time.perf_counter() - start) * 1000
        if row == "search_fresh":
            script = f"import gittrack\nassert len({search}) > 0"
            self.bench.run(self.folder, script)
            return self.bench.timed(self.folder, script)
        if row == "search":
            script = (
                f"import gittrack, json, time\n{search}\nstart = time.perf_counter()\n"
                f"for _ in range(20): {search}\n"
                "print(json.dumps((time.perf_counter() - start) / 20 * 1000))"
            )
            return float(self.bench.run(self.folder, script))
        index = os.path.join(self.folder, ".git", "gittrack", "index.sqlite")
        if os.path.exists(index):
            os.unlink(index)
        script = (
            "import gittrack, json, time\nstart = time.perf_counter()\n"
            "gittrack.search_runs(max_results=1)\n"
            "print(json.dumps((time.perf_counter() - start) * 1000))\n"
            f"assert len(gittrack.search_runs()) == {self.runs}"
        )
        return float(self.bench.run(self.folder, script))

    def grown(self) -> str:
        """A copy with what two of the rows read: many points, and a run of a dirty tree."""
        folder = f"{self.folder}-grown"
        if os.path.exists(folder):
            return folder
        shutil.copytree(self.folder, folder)
        script = (
            "import gittrack\nwith gittrack.start_run(run_name='points'):\n"
            "    for k in range(100000): gittrack.log_metric('loss', 1 / (k + 1), k)\n"
        )
        self.bench.run(folder, script)
        path = os.path.join(folder, "file0")
        with open(path, "a") as file:
            file.write("changed = 1\n")
        self.bench.run(
            folder,
            "import gittrack\nwith gittrack.start_run(run_name='dirty'):\n"
            "    gittrack.log_params({'p0': 9})\n    gittrack.log_metric('m0', 0.5)",
        )
        return folder

    def cli(self, folder: str, *args: str) -> None:
        """Run a gittrack command."""
        subprocess.run(
            [self.bench.python, "-m", "gittrack", *args],
            cwd=folder, env=self.bench.env, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip

    def bytes_a_run(self) -> float:
        """Packed bytes of the whole store by its runs, after `git gc`."""
        return packed_bytes(self.bench, self.folder) / self.runs


def bytes_a_point(bench: Bench, value: str, points: int) -> float:
    """What a point adds to the packed store."""
    sizes = []
    for count in (1, points):
        with bench.repository() as folder:
            bench.run(
                folder,
                "import gittrack, random\nrandom.seed(1)\nwith gittrack.start_run():\n"
                f"    for k in range({count}): gittrack.log_metric('loss', {value}, k)",
            )
            sizes.append(packed_bytes(bench, folder))
    return (sizes[1] - sizes[0]) / (points - 1)


def packed_bytes(bench: Bench, folder: str) -> int:
    """The size of all packs after `git gc`."""
    subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=folder, env=bench.env, check=True)
    packs = os.path.join(folder, ".git", "objects", "pack")
    return sum(
        os.path.getsize(os.path.join(packs, name))
        for name in os.listdir(packs)
        if name.endswith(".pack")
    )


def measure_all(args: argparse.Namespace, scratch: str) -> dict[str, dict[str, list[float]]]:
    """Row -> tracker -> its figures, one a round."""
    found: dict[str, dict[str, list[float]]] = {}
    rows = [row for row in ROWS if not args.only or row in args.only]
    scale = args.scale
    sizes = {row: max(1, int(size * scale)) for row, size in SIZES.items()}
    benches = [Bench("gittrack", sys.executable, sizes, scratch)]
    for name, (package, _, _) in TRACKERS.items():
        if name != "gittrack" and args.peer_python and has_package(args.peer_python, package):
            benches.append(Bench(name, args.peer_python, PEER_SIZES, scratch))

    def add(row: str, name: str, value: float) -> None:
        found.setdefault(row, {}).setdefault(name, []).append(value)
        print(f"{row:14} {name:14} {value:,.1f} {ROWS[row][2]}", file=sys.stderr)

    store = None
    mine = benches[0]
    with mine.repository() as folder:
        of_store = {*READS, "search", "search_fresh", "index"}
        if {*of_store, "bytes_run"} & set(rows):
            store = Store(mine, folder, max(20, int(STORE_RUNS * scale)))
        for _ in range(args.rounds):
            for row in rows:
                if row in of_store:
                    assert store is not None
                    add(row, "gittrack", store.measure(row))
                for bench in benches:
                    value = bench.measure(row)
                    if value is not None:
                        add(row, bench.name, value)
        if store is not None and "bytes_run" in rows:
            add("bytes_run", "gittrack", store.bytes_a_run())
        points = max(100, int(10_000 * scale))
        if "bytes_point" in rows:
            add("bytes_point", "gittrack", bytes_a_point(mine, "k / 2", points))
        if "bytes_point17" in rows:
            add("bytes_point17", "gittrack", bytes_a_point(mine, "random.random()", points))
    return found


def has_package(python: str, package: str) -> bool:
    """Whether that Python can import a package; asked without importing it."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code]).returncode == 0


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """The figures as a Markdown table."""
    peers = [n for n in TRACKERS if n != "gittrack" and any(n in v for v in found.values())]
    lines = [
        "| what | budget | gittrack | met | " + "".join(f"{peer} | " for peer in peers),
        "|---|---:|---:|---|" + "---:|" * len(peers),
    ]
    for row, figures in found.items():
        what, budget, unit, more = ROWS[row]
        value = statistics.median(figures["gittrack"])
        met = "" if budget is None else (value >= budget if more else value <= budget)
        cells = [
            what,
            "" if budget is None else f"{'>=' if more else '<='} {budget:,} {unit}",
            f"{value:,.1f}" if value < 100 else f"{value:,.0f}",
            {True: "yes", False: "**no**"}.get(met, ""),  # type: ignore[call-overload]
        ]
        for peer in peers:
            other = statistics.median(figures[peer]) if peer in figures else None
            if other is None:
                cells.append("-")
            elif other != other:
                cells.append("fails")
            else:
                cells.append(f"{other:,.1f}" if other < 100 else f"{other:,.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def machine(rounds: int) -> str:
    """A line on where the figures come from."""
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}, "
        f"git {git.split()[2]}, {platform.system()}; medians of {rounds} rounds.\n"
    )


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(ROWS), metavar="ROW")
    parser.add_argument("--peer-python", metavar="PATH", help="a Python that has other trackers")
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes; for a quick look")
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    scratch = tempfile.mkdtemp(prefix="gittrack-bench-")
    try:
        found = measure_all(args, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    text = f"{table(found)}\n{machine(args.rounds)}"
    page.deliver(args, "benchmark", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
