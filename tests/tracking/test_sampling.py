"""The machine is sampled beside a run, which neither waits for it nor fails by it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gittrack.capture.process import host_name
from gittrack.core.model import Run
from gittrack.repo import Repo
from gittrack.tracking.sampling import VARIABLE, choose_prefix
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HOST = host_name()
#: Gives `sampled(run)`: wait until it has so many points.
WAIT = """
import threading
points = threading.Semaphore(0)
from gittrack.tracking.active import ActiveRun
before = ActiveRun.log_sample
def after(self, rows, *rest):
    rows = list(rows)
    done = before(self, rows, *rest)
    if rows: points.release()
    return done
ActiveRun.log_sample = after
def sampled(count):
    for _ in range(count): assert points.acquire(timeout=30)
"""


@pytest.fixture
def repo(repo: GitRepo) -> GitRepo:
    repo.write("a.txt", "a\n")
    repo.commit()
    return repo


def ended(repo: GitRepo, script: str, *, code: int = 0, **env: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import gittrack, sys, os, time\n{WAIT}\n{script}"],
        cwd=repo.path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": ROOT, "GITTRACK_SYSTEM_INTERVAL_S": "0.1", **env},
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def runs(repo: GitRepo) -> dict[str, Run]:
    with Repo.find(repo.path, {}) as opened:
        return {run.name: run for run in opened.search_runs()}


def system(run: Run) -> dict[str, int]:
    return {key: item.count for key, item in run.metrics.items() if key.startswith("system/")}


def test_a_run_gets_series_with_steps_and_true_times(repo: GitRepo) -> None:
    ended(
        repo,
        "with gittrack.start_run('a', log_system_metrics=True):\n    sampled(3)\n"
        "gittrack.start_run('b'); gittrack.log_metric('m', 1)\n",
    )
    a, b = runs(repo)["a"], runs(repo)["b"]
    assert "system/cpu_utilization_percentage" in system(a)
    assert "system/process_memory_usage_megabytes" in system(a)
    assert system(b) == {}  # off by default
    with Repo.find(repo.path, {}) as opened:
        points = opened.get_metric_history(a.id, "system/cpu_utilization_percentage")
    assert [point.step for point in points] == list(range(len(points))) and len(points) >= 3
    times = [point.timestamp for point in points]
    assert times == sorted(times)
    assert a.end_ms is not None
    assert a.start_ms <= times[0] and times[-1] <= a.end_ms


def test_the_setting_switches_it_on_and_the_argument_off(repo: GitRepo) -> None:
    repo.write(".gittrack.yaml", "system:\n  metrics: true\n")
    ended(
        repo,
        "gittrack.start_run('on'); sampled(1); gittrack.end_run()\n"
        "gittrack.start_run('off', log_system_metrics=False); gittrack.end_run()\n",
    )
    assert system(runs(repo)["on"])
    assert not system(runs(repo)["off"])


@pytest.mark.parametrize(
    ("end", "code", "status"),
    [("", 0, "finished"), ("os.kill(os.getpid(), 15)", -15, "killed"), ("1/0", 1, "failed")],
)
def test_the_end_does_not_wait_for_the_interval(
    repo: GitRepo, end: str, code: int, status: str
) -> None:
    script = f"gittrack.start_run('a', log_system_metrics=True)\nsampled(1)\n{end}"
    # A tenth of a second becomes an hour after the first point.
    slow = "from gittrack.tracking import sampling; sampling._FIRST_S = 0.1\n"
    _, err = ended(repo, slow + script, code=code, GITTRACK_SYSTEM_INTERVAL_S="3600")
    assert "gittrack" not in err.replace("gittrack.start_run", "")
    assert runs(repo)["a"].status == status
    assert set(system(runs(repo)["a"]).values()) == {1}


def test_a_probe_that_hangs_holds_up_nothing(repo: GitRepo) -> None:
    _, err = ended(
        repo,
        "import psutil\nstuck = threading.Event()\n"
        "def hang(*args): stuck.set(); threading.Event().wait()\n"
        "psutil.disk_usage = hang\n"
        "with gittrack.start_run('a', log_system_metrics=True):\n"
        "    assert stuck.wait(30); gittrack.log_metric('m', 1)\n",
    )
    assert err == ""
    assert runs(repo)["a"].status == "finished"
    assert system(runs(repo)["a"]) == {}


def test_two_runs_at_once_have_one_thread_and_each_its_points(repo: GitRepo) -> None:
    out, _ = ended(
        repo,
        "with gittrack.start_run('outer', log_system_metrics=True):\n"
        "    sampled(1)\n"
        "    with gittrack.start_run('inner', nested=True, log_system_metrics=True):\n"
        "        sampled(6)\n"
        "        print(sum(t.name == 'gittrack-system' for t in threading.enumerate()))\n",
    )
    assert out == "1\n"
    assert system(runs(repo)["outer"]).keys() == system(runs(repo)["inner"]).keys()
    with Repo.find(repo.path, {}) as opened:
        (first, *_) = opened.get_metric_history(
            runs(repo)["inner"].id, "system/disk_write_megabytes"
        )
    assert first.step == 0


def test_a_forked_child_samples_a_run_of_its_own_and_not_its_parents(repo: GitRepo) -> None:
    ended(
        repo,
        "gittrack.start_run('parent', log_system_metrics=True); sampled(1)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    names = [t.name for t in threading.enumerate()]\n"
        "    assert 'gittrack-system' not in names, names\n"
        "    points = threading.Semaphore(0)\n"
        "    gittrack.start_run(); gittrack.log_metric('child', 1)\n"
        "    gittrack.start_run('own', nested=True, log_system_metrics=True); sampled(1)\n"
        "    gittrack.end_run(); sys.exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n",
    )
    assert system(runs(repo)["parent"])
    assert system(runs(repo)["own"])
    assert runs(repo)["parent"].metrics["child"].count == 1


def test_without_psutil_there_is_one_warning_and_the_run_goes_on(repo: GitRepo) -> None:
    hide = "sys.modules['psutil'] = None\n"
    script = "gittrack.start_run(n); gittrack.log_metric('m', 1); gittrack.end_run()\n"
    _, err = ended(repo, f"{hide}for n in 'ab':\n    {script}", GITTRACK_SYSTEM_METRICS="true")
    assert err == (
        "gittrack: system metrics need psutil, which is not installed; "
        "next: pip install 'gittrack[system]'\n"
    )
    for name in "ab":
        assert runs(repo)[name].status == "finished"
        assert "psutil" in runs(repo)[name].warnings[0]


def test_a_psutil_that_fails_is_a_note(repo: GitRepo) -> None:
    repo.write("psutil.py", "raise RuntimeError('of another system')\n")
    _, err = ended(repo, "gittrack.start_run('a', log_system_metrics=True); gittrack.end_run()\n")
    assert err == (
        "gittrack: system metrics need psutil, which fails: RuntimeError: of another system\n"
    )
    assert runs(repo)["a"].status == "finished"


def test_where_no_thread_can_be_started_the_run_goes_on(repo: GitRepo) -> None:
    _, err = ended(
        repo,
        "from gittrack.tracking import sampling\n"
        "class Thread(threading.Thread):\n"
        '    def start(self): raise RuntimeError("can\'t start new thread")\n'
        "class threads: Thread, Condition = Thread, threading.Condition\n"
        "sampling.threading = threads\n"
        "with gittrack.start_run('a', log_system_metrics=True): gittrack.log_metric('m', 1)\n",
    )
    assert err == "gittrack: system metrics are not sampled: can't start new thread\n"
    assert runs(repo)["a"].metrics.keys() == {"m"}


def test_gittrack_run_samples_and_what_joins_does_not(repo: GitRepo) -> None:
    repo.write(
        "job.py",
        "import gittrack, os, threading\n"
        "assert os.environ['GITTRACK_SYSTEM_METRICS'] == 'true'\n"
        "with gittrack.start_run():\n"
        "    gittrack.log_metric('m', 1)\n"
        "    assert not any(t.name == 'gittrack-system' for t in threading.enumerate())\n",
    )
    command = [sys.executable, "-m", "gittrack", "run", "--name", "job", "--system-metrics", "--"]
    env = {**os.environ, "PYTHONPATH": ROOT, "GITTRACK_SYSTEM_INTERVAL_S": "0.1"}
    script = f"{sys.executable} job.py; n=0; until gittrack_has_points; do :; done"
    script = script.replace(
        "gittrack_has_points", "grep -qs system/cpu .git/gittrack/journal/*/*.log"
    )
    subprocess.run([*command, "sh", "-c", script], cwd=repo.path, env=env, check=True, timeout=60)
    run = runs(repo)["job"]
    assert run.metrics["m"].count == 1
    assert system(run)["system/cpu_utilization_percentage"] >= 1
    assert "system/process_memory_usage_megabytes" not in system(run)


@pytest.mark.parametrize(
    ("env", "prefix"),
    [
        ({}, None),  # a worker of multiprocessing
        ({VARIABLE: HOST}, None),  # below `gittrack run`
        ({VARIABLE: "other"}, f"system/{HOST}/"),
        ({VARIABLE: "other", "RANK": "5", "LOCAL_RANK": "1"}, None),
        ({VARIABLE: "other", "RANK": "4", "LOCAL_RANK": "0"}, f"system/{HOST}/"),
        ({"LOCAL_RANK": "0"}, "system/"),  # a run of `gittrack start`
        ({"RANK": "0", "LOCAL_RANK": "0"}, "system/"),
        ({"RANK": "1", "LOCAL_RANK": "1"}, None),
        ({"RANK": "4", "LOCAL_RANK": "0"}, f"system/{HOST}/"),
    ],
)
def test_of_the_processes_of_one_run_one_on_each_host_samples(
    env: dict[str, str], prefix: str | None
) -> None:
    joined = {"GITTRACK_RUN_ID": "20261123-153012-7f3a9c1d2b4e"} if env else {}
    if "RANK" in env:
        joined["WORLD_SIZE"] = "8"
    assert choose_prefix(True, {**joined, **env}) == prefix
    assert choose_prefix(False, env) == "system/"
