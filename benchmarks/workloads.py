"""What is measured, spelled for each tracker: a script for a fresh process, and how to check it.

Each script prints one JSON object of figures. A workload that a tracker cannot do is absent.
"""

from __future__ import annotations

#: Workload -> what it is, its budget for gittrack, the unit, whether more is better.
ROWS: dict[str, tuple[str, float | None, str, bool]] = {
    "import": ("`import`, over bare Python", 40, "ms", False),
    "smallest": ("smallest whole script: start, 5 params, 1 metric, end", 120, "ms", False),
    "smallest_off": ("the same without output and environment", None, "ms", False),
    "smallest_new": ("the same in an environment never seen before", None, "ms", False),
    "start_clean": ("`start_run`, clean repository of 3,000 files", 30, "ms", False),
    "start_dirty": ("`start_run`, the same with 20 files changed", 30, "ms", False),
    "wrapped": ("`gittrack run -- true`, whole process", None, "ms", False),
    "output": ("printing, with the output recorded", None, "lines/s", True),
    "output_off": ("printing, without", None, "lines/s", True),
    "stream": ("`gittrack metric -`, `key value` lines, whole process", 200_000, "points/s", True),
    "stream_json": ("the same from JSON lines", 200_000, "points/s", True),
    "runs": ("start + 10 params + 10 metrics + end, one process", 600, "runs/s", True),
    "points": ("`log_metric`, one key", 400_000, "points/s", True),
    "points10": ("`log_metrics`, 10 keys", 800_000, "points/s", True),
    "sample": ("one sample of the machine, without GPUs", None, "ms", False),
    "sampled": ("`log_metric` beside ten samples a second, of alone", None, "%", True),
    "end": ("ending a run of 100,000 points, over one of 1", 200, "ms", False),
    "parallel": ("8 processes x 25 runs at once", 400, "runs/s", True),
    "log": ("`log -n 20`, whole process, 10,000 runs", 100, "ms", False),
    "show": ("`show` of a run, whole process, 10,000 runs", 200, "ms", False),
    "show_points": ("`show` of a run of 100,000 points, with its curve", 200, "ms", False),
    "diff": ("`diff` of two runs, one of a dirty tree, whole process", 200, "ms", False),
    "range": ("`log -n 20 HEAD`, whole process", 100, "ms", False),
    "history": ("`history` of one run among 10,000", None, "ms", False),
    "search": ("search, top 50 of 10,000 runs, warm", 3, "ms", False),
    "search_fresh": ("the same in a fresh process", 150, "ms", False),
    "index": ("index of 10,000 runs from nothing", 1500, "ms", False),
    "bytes_run": ("packed bytes a run (5 params, 5 metrics)", 1000, "bytes", False),
    "bytes_point": ("packed bytes a point, values k/2", 8, "bytes", False),
    "bytes_point17": ("packed bytes a point, 17 digits", 16, "bytes", False),
}

_SMALLEST = """
import gittrack
with gittrack.start_run():
    gittrack.log_params({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5})
    gittrack.log_metric("loss", 0.5)
"""
_START = """
import gittrack, json, time
start = time.perf_counter()
run = gittrack.start_run()
took = time.perf_counter() - start
gittrack.end_run()
import os
os.write(1, json.dumps({"value": took * 1000}).encode() + b"\\n")
found = gittrack.get_run(run.id)
assert found.commit and not found.warnings, found
"""
_PRINT = """
import gittrack, json, os, sys, time
with gittrack.start_run() as run:
    start = time.perf_counter()
    for i in range(N): print("epoch", i, "loss", i * 0.5)
    sys.stdout.flush()
took = time.perf_counter() - start
print(json.dumps({"value": N / took}))
"""
_GITTRACK = {
    "import": "import gittrack",
    "smallest": _SMALLEST,
    "smallest_off": _SMALLEST,
    "smallest_new": _SMALLEST,
    "start_clean": _START,
    "start_dirty": _START,
    "output": _PRINT,
    "output_off": _PRINT,
    "wrapped": "",
    "stream": """import sys\nfor i in range(N): print("loss", i * 0.5)""",
    "stream_json": """for i in range(N): print('{"loss": %r, "step": %d}' % (i * 0.5, i))""",
    "runs": """
import gittrack, json, time
from gittrack.tracking import fluent
start = time.perf_counter()
for _ in range(N):
    with gittrack.start_run():
        for k in range(10): gittrack.log_param(f"p{k}", k)
        for k in range(10): gittrack.log_metric(f"m{k}", k * 0.5)
fluent._session.repo.flush()
print(json.dumps({"value": N / (time.perf_counter() - start)}))
assert len(gittrack.search_runs()) == N + 1
""",
    "points": """
import gittrack, json, time
with gittrack.start_run() as run:
    start = time.perf_counter()
    for i in range(N): gittrack.log_metric("loss", i * 0.5, i)
    took = time.perf_counter() - start
print(json.dumps({"value": N / took}))
assert gittrack.get_run(run.id).metrics["loss"].count == N
""",
    "points10": """
import gittrack, json, time
values = {f"k{j}": j * 0.37 for j in range(10)}
with gittrack.start_run() as run:
    start = time.perf_counter()
    for i in range(N // 10): gittrack.log_metrics(values, i)
    took = time.perf_counter() - start
print(json.dumps({"value": N / took}))
assert gittrack.get_run(run.id).metrics["k3"].count == N // 10
""",
    "sample": """
import json, os, psutil, statistics, time
from gittrack.capture.system import Probe
probe = Probe(psutil, None, folder=os.getcwd(), pid=os.getpid())
took = []
for _ in range(N):
    start = time.thread_time()
    probe.sample()
    took.append(time.thread_time() - start)
print(json.dumps({"value": statistics.median(took) * 1000}))
""",
    "sampled": """
import gittrack, json, os, statistics, time
os.environ["GITTRACK_SYSTEM_INTERVAL_S"] = "0.1"
def rate(sampled):
    with gittrack.start_run(log_system_metrics=sampled) as run:
        start = time.perf_counter()
        count = 0
        while (took := time.perf_counter() - start) < 0.5:
            for i in range(1000): run.log_metric("loss", 0.5)
            count += 1000
    return count / took
rate(True)
pairs = [(rate(True), rate(False)) for _ in range(N)]
print(json.dumps({"value": 100 * statistics.median(on / off for on, off in pairs)}))
""",
    "end": """
import gittrack, json, time
from gittrack.tracking import fluent
took = []
for n in (1, 1, N):
    run = gittrack.start_run()
    for i in range(n): gittrack.log_metric("loss", i * 0.5, i)
    start = time.perf_counter()
    gittrack.end_run()
    fluent._session.repo.flush()
    took.append(time.perf_counter() - start)
print(json.dumps({"value": (took[2] - took[1]) * 1000}))
assert gittrack.get_run(run.id).metrics["loss"].count == N
""",
    "parallel": """
import gittrack
for i in range(N):
    with gittrack.start_run():
        for k in range(10): gittrack.log_param(f"p{k}", k)
        for k in range(10): gittrack.log_metric(f"m{k}", k * 0.5)
""",
}


def _mlflow(uri: str) -> dict[str, str]:
    head = f"import json, os, time\nos.environ['MLFLOW_TRACKING_URI'] = {uri!r}\nimport mlflow\n"
    run = """
    with mlflow.start_run():
        for k in range(10): mlflow.log_param(f"p{k}", k)
        for k in range(10): mlflow.log_metric(f"m{k}", k * 0.5)
"""
    return {
        "import": "import mlflow",
        "smallest": head + "with mlflow.start_run():\n"
        '    mlflow.log_params({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5})\n'
        '    mlflow.log_metric("loss", 0.5)\n',
        "runs": head
        + "with mlflow.start_run(): pass\nstart = time.perf_counter()\nfor _ in range(N):"
        + run
        + 'print(json.dumps({"value": N / (time.perf_counter() - start)}))\n'
        "assert len(mlflow.search_runs(max_results=50000)) == N + 1\n",
        "points": head + "with mlflow.start_run():\n    start = time.perf_counter()\n"
        '    for i in range(N): mlflow.log_metric("loss", i * 0.5, step=i)\n'
        "    took = time.perf_counter() - start\n"
        'print(json.dumps({"value": N / took}))\n',
        "points10": head + 'values = {f"k{j}": j * 0.37 for j in range(10)}\n'
        "with mlflow.start_run():\n    start = time.perf_counter()\n"
        "    for i in range(N // 10): mlflow.log_metrics(values, step=i)\n"
        "    took = time.perf_counter() - start\n"
        'print(json.dumps({"value": N / took}))\n',
        "parallel": head + "for _ in range(N):" + run,
    }


_DVCLIVE = {
    "import": "import dvclive",
    "smallest": """
from dvclive import Live
with Live(save_dvc_exp=False, report=None) as live:
    live.log_params({"a": 1, "b": 2, "c": 3, "d": 4, "e": 5})
    live.log_metric("loss", 0.5)
""",
    "runs": """
import json, time
from dvclive import Live
start = time.perf_counter()
for i in range(N):
    with Live(f"run{i}", save_dvc_exp=False, report=None) as live:
        for k in range(10): live.log_param(f"p{k}", k)
        for k in range(10): live.log_metric(f"m{k}", k * 0.5)
print(json.dumps({"value": N / (time.perf_counter() - start)}))
""",
    "points": """
import json, time
from dvclive import Live
with Live(save_dvc_exp=False, report=None) as live:
    start = time.perf_counter()
    for i in range(N):
        live.log_metric("loss", i * 0.5); live.step += 1
    took = time.perf_counter() - start
print(json.dumps({"value": N / took}))
""",
}

_SACRED = {
    "import": "import sacred",
    "smallest": """
from sacred import Experiment
from sacred.observers import FileStorageObserver
ex = Experiment("x", save_git_info=False)
ex.observers.append(FileStorageObserver("sacred"))
@ex.config
def config():
    a = 1; b = 2; c = 3; d = 4; e = 5
@ex.main
def main(_run):
    _run.log_scalar("loss", 0.5)
ex.run(options={"--capture": "no", "--loglevel": "ERROR"})
""",
    "points": """
import json, time
from sacred import Experiment
from sacred.observers import FileStorageObserver
ex = Experiment("x", save_git_info=False)
ex.observers.append(FileStorageObserver("sacred"))
@ex.main
def main(_run):
    start = time.perf_counter()
    for i in range(N): _run.log_scalar("loss", i * 0.5, i)
    print(json.dumps({"value": N / (time.perf_counter() - start)}))
ex.run(options={"--capture": "no", "--loglevel": "ERROR"})
""",
}

_TRACKIO = {
    "import": "import trackio",
    "smallest": """
import trackio
trackio.init(project="p", name="r", config={"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}, embed=False)
trackio.log({"loss": 0.5})
trackio.finish()
""",
}

#: Tracker -> (package, environment, scripts). Peers' points are kill-safe on return for dvclive
#: and MLflow only.
TRACKERS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "gittrack": ("gittrack", {}, _GITTRACK),
    "MLflow SQLite": ("mlflow", {}, _mlflow("sqlite:///mlflow.db")),
    "MLflow files": ("mlflow", {"MLFLOW_ALLOW_FILE_STORE": "true"}, _mlflow("./mlruns")),
    "dvclive": ("dvclive", {"DVC_NO_ANALYTICS": "1"}, _DVCLIVE),
    "sacred": ("sacred", {}, _SACRED),
    "trackio": ("trackio", {"HF_HUB_OFFLINE": "1", "TRACKIO_DIR": "trackio"}, _TRACKIO),
}
