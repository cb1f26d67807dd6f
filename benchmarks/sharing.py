"""Measure what sharing sends and costs, in stores of several sizes, over real git.

    python benchmarks/sharing.py                       10,000 and 100,000 runs
    python benchmarks/sharing.py --runs 1000 --rounds 1
    python benchmarks/sharing.py --write docs/PERFORMANCE.md

The wire is counted where git talks to the remote: a program between `git push` and
`git receive-pack` writes down every byte that goes either way. Runs are recorded by real scripts;
only the store that they are pushed into is made in bulk, with the same files in the same places.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from benchmarks import page  # noqa: E402
from gittrack.core import codec, names  # noqa: E402
from gittrack.core.model import Metric, Stamp  # noqa: E402
from gittrack.repo.seal import first_files  # noqa: E402
from gittrack.store import layout  # noqa: E402
from gittrack.store.git import Git  # noqa: E402
from gittrack.store.packs import join_small_packs  # noqa: E402
from gittrack.store.paths import find_paths  # noqa: E402
from gittrack.store.write import Person, Tree, commit  # noqa: E402

ADA = Person("Ada", "ada@example.org")
START_MS = 1_760_000_000_000
#: Runs a commit, as they come from people who push now and then.
_RUNS_A_COMMIT = 20
#: About a dozen files a folder, as code has them.
_FILES = 300

#: Row -> what it is, the budget, its unit.
ROWS = {
    "objects_clean": ("push of a clean run without output", 15, "objects"),
    "bytes_clean": ("the same, bytes sent on the wire", 4096, "bytes"),
    "objects_dirty": ("push of a run with output and a changed file at the top", 19, "objects"),
    "bytes_dirty": ("the same, bytes sent on the wire", 4096, "bytes"),
    "push": ("that push, whole command", None, "ms"),
    "push_none": ("a push with nothing new, whole command", None, "ms"),
    "hook": ("what the hook adds to a `git push` with nothing new", None, "ms"),
    "git_fetch": ("plain `git fetch` of 100 new runs", None, "ms"),
    "log_after": ("the first `gittrack log` after it, over one with nothing new", None, "ms"),
    "pull": ("`gittrack pull` of 100 new runs", None, "ms"),
    "pull_none": ("`gittrack pull` with nothing new", None, "ms"),
    "join": ("`gittrack pull` of 100 new runs, joined with one of ours", None, "ms"),
    "clone": ("the first `gittrack log` in a fresh clone: fetch, look through, index", None, "ms"),
    "clone_fetch": ("of that, `git fetch` alone", None, "ms"),
}

TEE = """\
#!{python}
import subprocess, sys, threading
counts = {{}}
def pump(source, sink, name):
    total = 0
    while True:
        data = source.read1(65536)
        if not data:
            break
        total += len(data); sink.write(data); sink.flush()
    counts[name] = total
    sink.close()
child = subprocess.Popen(["git", "receive-pack", sys.argv[-1]], stdin=-1, stdout=-1)
threads = [threading.Thread(target=pump, args=a) for a in (
    (sys.stdin.buffer, child.stdin, "sent"), (child.stdout, sys.stdout.buffer, "received"))]
for thread in threads: thread.start()
for thread in threads: thread.join()
with open({log!r}, "w") as file: file.write("%d %d" % (counts["sent"], counts["received"]))
sys.exit(child.wait())
"""


class Desk:
    """A hub with a store of many runs, and clones of it."""

    def __init__(self, folder: str, runs: int) -> None:
        self.folder = folder
        self.runs = runs
        home = os.path.join(folder, "home")
        os.makedirs(home)
        with open(os.path.join(home, ".gitconfig"), "w") as file:
            file.write("[user]\n\tname = Ada\n\temail = ada@example.org\n[gc]\n\tauto = 0\n")
        self.env = {"PATH": os.environ["PATH"], "HOME": home, "PYTHONPATH": ROOT, "LC_ALL": "C"}
        self.hub = os.path.join(folder, "hub.git")
        self.git(folder, "init", "-q", "--bare", self.hub)
        self.a = self.new_repository("a")
        self.git(self.a, "push", "-q", "-u", "origin", "HEAD")
        self._fill()
        self.b = self.clone("b")
        self.cli(self.b, "pull")

    def new_repository(self, name: str) -> str:
        """A repository of some hundred files whose origin is the hub."""
        path = os.path.join(self.folder, name)
        self.git(self.folder, "init", "-q", "-b", "main", path)
        for number in range(_FILES):
            folder = os.path.join(path, f"pkg{number % 25}")
            os.makedirs(folder, exist_ok=True)
            with open(os.path.join(folder, f"m{number}.py"), "w") as file:
                file.write(f"x = {number}\n" * 20)
        with open(os.path.join(path, "train.py"), "w") as file:
            file.write("# train\n" * 40)
        self.git(path, "add", ".")
        self.git(path, "commit", "-q", "-m", "code")
        self.git(path, "remote", "add", "origin", self.hub)
        return path

    def clone(self, name: str) -> str:
        """Another clone of the hub, that knows nothing of its runs yet."""
        path = os.path.join(self.folder, name)
        self.git(self.folder, "clone", "-q", "--no-local", self.hub, path)
        return path

    def _fill(self) -> None:
        git = Git(find_paths(self.a, {}))
        tip = None
        chance = random.Random(1)
        head = self.git(self.a, "rev-parse", "HEAD").strip()
        tree = self.git(self.a, "rev-parse", "HEAD^{tree}").strip()
        for at in range(0, self.runs, _RUNS_A_COMMIT):
            files: dict[str, bytes | None] = dict(first_files()) if tip is None else {}
            for number in range(at, min(self.runs, at + _RUNS_A_COMMIT)):
                files.update(run_files(number, chance, head, tree))
            write = Tree(files, "runs [skip ci]\n")
            tip = commit(git, layout.STORE_REF, tip, write, ADA, START_MS // 1000 + at, fsync=False)
            join_small_packs(git, 20)
        git.close()
        self.cli(self.a, "push")

    # -- what is measured ----------------------------------------------------------------

    def measure(self) -> Iterator[tuple[str, float]]:
        """Every row once."""
        self.record(self.a)
        yield from self.wire("clean")
        with open(os.path.join(self.a, "train.py"), "a") as file:
            file.write(f"changed = {time.time_ns()}\n")
        self.record(self.a, "for n in range(50): print('epoch', n, 'loss', 1 / (n + 1))", "yes")
        yield from self.wire("dirty")
        self.git(self.a, "checkout", "-q", "train.py")
        self.record(self.a)
        yield "push", self.timed(self.a, "gittrack", "push")
        yield "push_none", self.timed(self.a, "gittrack", "push")
        with_hook = self.timed(self.a, "git", "push", "-q")
        without = self.timed(self.a, "git", "push", "-q", "--no-verify")
        yield "hook", max(0.0, with_hook - without)

        self.cli(self.b, "pull")
        self.cli(self.b, "log", "-n", "20")
        self.more(self.a, 100)
        yield "git_fetch", self.timed(self.b, "git", "fetch", "-q")
        after = self.timed(self.b, "gittrack", "log", "-n", "20")
        yield "log_after", after - self.timed(self.b, "gittrack", "log", "-n", "20")
        self.more(self.a, 100)
        yield "pull", self.timed(self.b, "gittrack", "pull")
        yield "pull_none", self.timed(self.b, "gittrack", "pull")
        self.more(self.a, 100)
        self.record(self.b)
        yield "join", self.timed(self.b, "gittrack", "pull")
        self.cli(self.b, "push")
        self.cli(self.a, "pull")

        fresh = self.clone("fresh")
        spec = "+refs/gittrack/store/*:refs/gittrack/remote/origin/store/*"
        yield "clone_fetch", self.timed(fresh, "git", "fetch", "-q", "origin", spec)
        shutil.rmtree(fresh)
        fresh = self.clone("fresh")
        yield "clone", self.timed(fresh, "gittrack", "log", "-n", "20")
        shutil.rmtree(fresh)

    def wire(self, kind: str) -> Iterator[tuple[str, float]]:
        """Objects and bytes of one `gittrack push`."""
        log, tee = (os.path.join(self.folder, name) for name in ("wire", "tee"))
        with open(tee, "w") as file:
            file.write(TEE.format(python=sys.executable, log=log))
        os.chmod(tee, 0o755)
        self.git(self.a, "config", "remote.origin.receivepack", tee)
        before = self.git(self.hub, "count-objects", "-v")
        self.cli(self.a, "push")
        self.git(self.a, "config", "--unset", "remote.origin.receivepack")
        with open(log) as file:
            sent = int(file.read().split()[0])
        after = self.git(self.hub, "count-objects", "-v")
        yield f"objects_{kind}", count(after) - count(before)
        yield f"bytes_{kind}", sent

    def more(self, path: str, runs: int) -> None:
        """So many runs of one process, pushed."""
        script = (
            "import gittrack\n"
            f"for n in range({runs}):\n"
            "    with gittrack.start_run():\n"
            "        gittrack.log_params({f'p{k}': n for k in range(5)})\n"
            "        gittrack.log_metrics({f'm{k}': n / 7 for k in range(5)})\n"
        )
        self.run(path, [sys.executable, "-c", script], QUIET)
        self.cli(path, "push")

    def record(self, path: str, body: str = "pass", output: str = "no") -> None:
        """One run of five params and five metrics."""
        script = (
            "import gittrack\nwith gittrack.start_run():\n"
            "    gittrack.log_params({f'p{k}': k for k in range(5)})\n"
            "    gittrack.log_metrics({f'm{k}': k / 7 for k in range(5)})\n"
            f"    {body}\n"
        )
        # A run of this environment is in the store already, as it is in every store but a new one.
        self.run(path, [sys.executable, "-c", script], {"GITTRACK_OUTPUT_CAPTURE": output})

    def timed(self, path: str, program: str, *args: str) -> float:
        """The wall time of a whole command in ms."""
        command = ["git"] if program == "git" else [sys.executable, "-m", program]
        start = time.perf_counter()
        self.run(path, [*command, *args])
        return (time.perf_counter() - start) * 1000

    def cli(self, path: str, *args: str) -> None:
        """Run a gittrack command."""
        self.run(path, [sys.executable, "-m", "gittrack", *args])

    def git(self, path: str, *args: str) -> str:
        """Run git."""
        return self.run(path, ["git", *args])

    def run(self, path: str, command: list[str], more: dict[str, str] | None = None) -> str:
        """Run a command, which must succeed."""
        done = subprocess.run(
            command, cwd=path, env={**self.env, **(more or {})}, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


QUIET = {"GITTRACK_OUTPUT_CAPTURE": "no"}


def count(listing: str) -> int:
    """All objects, loose and packed, of `git count-objects -v`."""
    found = dict(re.findall(r"^([\w-]+): (\d+)$", listing, re.MULTILINE))
    return int(found["count"]) + int(found["in-pack"])


def run_files(
    number: int, chance: random.Random, head: str, tree: str, values: dict[str, float] | None = None
) -> dict[str, bytes]:
    """The folder of a run of five params and five metrics, every three minutes one.

    Args:
        values: of metrics m0 to m4, those that chance does not choose.
    """
    if values is None:
        values = {}
    start_ms = START_MS + number * 180_000
    run_id = names.new_run_id(start_ms, chance.randbytes(6))
    writer = f"{chance.getrandbits(32):08x}"
    folder = layout.run_dir(run_id)
    facts = {
        "argv": ["python", "train.py"], "author": "Ada <ada@example.org>", "author_source": "git",
        "base": head, "branch": "main", "commit": head, "entry": "train.py",
        "experiment": names.DEFAULT_EXPERIMENT_ID, "host": "node7", "id": run_id,
        "python": "3.11.7", "start": codec.format_time(start_ms), "tree": tree,
    }  # fmt: skip
    notes = {
        "name": Stamp(names.random_name(chance.randbytes(4)), start_ms, writer),
        "status": Stamp("finished", start_ms + 9, writer),
        "end": Stamp(codec.format_time(start_ms + 9), start_ms + 9, writer),
    }
    metrics = {f"m{k}": chance.random() for k in range(5)} | values
    points = [Metric(key, value, 0, start_ms + 5) for key, value in metrics.items()]
    segment = codec.encode_points((p.key, p.step, p.timestamp, repr(p.value)) for p in points)
    name = codec.segment_name(writer, segment)
    params = {f"p{k}": chance.choice([1, 2, 3, "x"]) for k in range(5)}
    return {
        f"{folder}/run.yaml": codec.encode_mapping(facts),
        f"{folder}/notes.yaml": codec.encode_stamps(notes),
        f"{folder}/params.yaml": codec.encode_mapping(params),
        f"{folder}/metrics/{name}": segment,
        f"{folder}/metrics.yaml": codec.encode_summaries([name], codec.summarise(points)),
    }


def measure_all(sizes: list[int], rounds: int) -> dict[int, dict[str, list[float]]]:
    """Size of the store -> row -> its figures, one a round."""
    found: dict[int, dict[str, list[float]]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="gittrack-bench-") as folder:
            desk = Desk(folder, size)
            # The first run of an environment brings its lock; that is once a store.
            desk.record(desk.a)
            desk.cli(desk.a, "push")
            for _ in range(rounds):
                for row, value in desk.measure():
                    found.setdefault(size, {}).setdefault(row, []).append(value)
                    print(f"{size:>8} {row:14} {value:,.1f} {ROWS[row][2]}", file=sys.stderr)
    return found


def table(found: dict[int, dict[str, list[float]]]) -> str:
    """The figures as a Markdown table."""
    sizes = list(found)
    lines = [
        "| what | budget | " + "".join(f"{size:,} runs | " for size in sizes),
        "|---|---:|" + "---:|" * len(sizes),
    ]
    for row, (what, budget, unit) in ROWS.items():
        cells = [what, f"<= {budget:,} {unit}" if budget else unit]
        for size in sizes:
            value = statistics.median(found[size][row])
            missed = " **missed**" if budget is not None and value > budget else ""
            cells.append(f"{value:,.0f}{missed}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def main(argv: list[str]) -> int:
    """Measure, print the table, and write it where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--rounds", type=int, default=3)
    page.add_arguments(parser)
    args = parser.parse_args(argv)
    found = measure_all(args.runs, args.rounds)
    version = subprocess.check_output(["git", "--version"], text=True).split()[2]
    text = (
        f"{table(found)}\n{os.cpu_count()} cores, git {version}; medians of {args.rounds} rounds.\n"
    )
    page.deliver(args, "sharing", found, text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
