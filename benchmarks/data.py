"""Measure how long it takes to record which data went in, beside a sha256 of as many bytes.

    python benchmarks/data.py
    python benchmarks/data.py --write docs/PERFORMANCE.md

A table of ten million rows and five columns (a whole number, three floats, a short text), and an
array of 1 GiB, each through `log_input` within a run. Every figure is the median of fresh
processes, and without the time that it takes to make the data.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import page

ROOT = Path(__file__).resolve().parent.parent
#: As a budget: seconds that a sampled digest may take, however large the data is.
MOST_SAMPLED_S = 1.0

SCRIPT = """
import hashlib, json, sys, time
import numpy as np
import gittrack
kind, size, exact = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "exact"
chance = np.random.default_rng(0)
if kind == "numpy":
    data = chance.random(size)
else:
    import pandas as pd
    words = np.array([f"word-{n}" for n in range(1000)], dtype=object)
    columns = {"n": chance.integers(0, 1000, size), "x": chance.random(size)}
    columns |= {"y": columns["x"] * 2, "z": columns["x"] - 1}
    data = pd.DataFrame({**columns, "s": words[chance.integers(0, 1000, size)]})
    if kind == "polars":
        import polars
        data = polars.from_pandas(data)
    elif kind == "pyarrow":
        import pyarrow
        data = pyarrow.Table.from_pandas(data)
with gittrack.start_run():
    began = time.perf_counter()
    found = gittrack.log_input(data, kind, exact=exact)
    took = time.perf_counter() - began
large = data.nbytes > 2**28 if kind == "numpy" else size * 5 > 5_000_000
assert found.sampled == (large and not exact), found
limit = None
if kind == "numpy":
    began = time.perf_counter()
    hashlib.sha256(data).hexdigest()
    limit = time.perf_counter() - began
print(json.dumps([took, limit]))
"""
NAMES = {
    "pandas": "a pandas table of {rows} rows",
    "polars": "the same in polars",
    "pyarrow": "the same in pyarrow",
    "numpy": "an array of {mib} MiB",
}


def measure(rows: int, mib: int, rounds: int) -> dict[str, list[tuple[float, float | None]]]:
    """`KIND HOW` -> seconds that it took, and that the sha256 took, one pair a round."""
    found: dict[str, list[tuple[float, float | None]]] = {}
    with tempfile.TemporaryDirectory(prefix="gittrack-bench-") as folder:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        for args in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
            subprocess.run(["git", *who, *args], cwd=folder, check=True)
        for _ in range(rounds):
            for kind in NAMES:
                size = mib * 2**17 if kind == "numpy" else rows
                for how in ("sampled", "exact"):
                    command = [sys.executable, "-c", SCRIPT, kind, str(size), how]
                    env = {**os.environ, "PYTHONPATH": str(ROOT)}
                    done = subprocess.run(
                        command, cwd=folder, text=True, env=env, capture_output=True, check=True
                    )
                    took, limit = json.loads(done.stdout)
                    found.setdefault(f"{kind} {how}", []).append((took, limit))
                    print(f"{kind:8} {how:8} {took:8.3f} s", file=sys.stderr)
    return found


def table(found: dict[str, list[tuple[float, float | None]]], rows: int, mib: int) -> str:
    """The figures as a Markdown table."""
    lines = ["| what | sampled | `exact=True` | a sha256 alone |", "|---|---:|---:|---:|"]
    for kind, name in NAMES.items():
        sampled, exact = (
            statistics.median(took for took, _ in found[f"{kind} {how}"])
            for how in ("sampled", "exact")
        )
        limits = [limit for _, limit in found[f"{kind} exact"] if limit is not None]
        limit = f"{statistics.median(limits):.2f} s" if limits else ""
        missed = "" if sampled <= MOST_SAMPLED_S else " **missed**"
        title = name.format(rows=f"{rows:,}", mib=f"{mib:,}")
        lines.append(f"| {title} | {sampled:.2f} s{missed} | {exact:.2f} s | {limit} |")
    rounds = len(found["numpy exact"])
    return "\n".join(lines) + f"\n\n{os.cpu_count()} cores; medians of {rounds} rounds.\n"


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--mib", type=int, default=1024, help="of the array")
    parser.add_argument("--rounds", type=int, default=3)
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    found = measure(args.rows, args.mib, args.rounds)
    text = table(found, args.rows, args.mib)
    page.deliver(args, "data", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
