"""However a process ends, its runs are in the store, with the status that fits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from gittrack.core.model import Run
from gittrack.repo import Repo
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def repo(repo: GitRepo) -> GitRepo:
    repo.write("a.txt", "a\n")
    repo.commit()
    return repo


def python(repo: GitRepo, script: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import gittrack, sys, os\n{script}"],
        cwd=repo.path,
        env={**os.environ, "PYTHONPATH": ROOT, **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(repo: GitRepo, script: str, **env: str) -> tuple[int, str, str]:
    process = python(repo, script, **env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def runs(repo: GitRepo) -> list[Run]:
    with Repo.find(repo.path, {}) as opened:
        return opened.search_runs()


def stored(repo: GitRepo) -> str:
    return repo.git("ls-tree", "-r", "--name-only", "refs/gittrack/store/main")


START = "r = gittrack.start_run(); gittrack.log_metric('m', 0.5)\n"


@pytest.mark.parametrize(
    ("script", "status", "code"),
    [
        (START, "finished", 0),
        (START + "gittrack.end_run('FAILED')", "failed", 0),
        (START + "gittrack.end_run('KILLED')", "killed", 0),
        (START + "sys.exit(0)", "finished", 0),
        (START + "sys.exit(3)", "failed", 3),
        (START + "sys.exit('no')", "failed", 1),
        (START + "exit(4)", "failed", 4),
        (START + "raise ValueError('x')", "failed", 1),
        (START + "raise KeyboardInterrupt", "killed", 130),
        (START + "os.kill(os.getpid(), 15)", "killed", -signal.SIGTERM),
        ("with gittrack.start_run():\n    gittrack.log_metric('m', 0.5)", "finished", 0),
        ("with gittrack.start_run():\n    gittrack.log_metric('m', .5)\n    1/0", "failed", 1),
        ("with gittrack.start_run():\n    gittrack.log_metric('m', .5)\n    raise SystemExit(7)",
         "failed", 7),
        ("with gittrack.start_run():\n    gittrack.log_metric('m', .5)\n    sys.exit()",
         "finished", 0),
    ],
)  # fmt: skip
def test_the_end_of_the_process_ends_the_run(
    repo: GitRepo, script: str, status: str, code: int
) -> None:
    returncode, _, err = ended(repo, script)
    if status == "killed" and code == 130:
        assert returncode in (130, -signal.SIGINT)
    else:
        assert returncode == code, err
    # In the store already: nobody had to take over anything.
    assert not os.listdir(os.path.join(repo.path, ".git/gittrack/journal/.alive"))
    assert "run.yaml" in stored(repo)
    (run,) = runs(repo)
    assert run.status == status
    assert run.metrics["m"].last == 0.5
    assert run.end_ms is not None
    assert run.info.status == status.upper()


def test_a_signal_where_a_run_ends_ends_the_process(repo: GitRepo) -> None:
    script = (
        START + "import signal\nfrom gittrack.tracking import fluent\n"
        "with fluent._session.repo.recorder()._sealer._wake: os.kill(os.getpid(), signal.SIGTERM)"
    )
    began = time.monotonic()
    code, _, err = ended(repo, script)
    assert (code, err) == (-signal.SIGTERM, "")
    assert time.monotonic() - began < 20
    assert runs(repo)[0].status == "killed"


def test_a_signal_within_a_request_to_git_ends_the_process(repo: GitRepo) -> None:
    script = (
        START + "import signal\nfrom gittrack.tracking import fluent\n"
        "reader = fluent._session.repo.recorder()._git.cat_file()\n"
        "reader._send = lambda specs: os.kill(os.getpid(), signal.SIGTERM)\n"
        "reader.read('HEAD')"
    )
    code, _, err = ended(repo, script)
    assert (code, err) == (-signal.SIGTERM, "")
    assert runs(repo)[0].status == "killed"


@pytest.mark.parametrize(
    "held",
    [
        # A record is written while the environment is read, by a thread that will write, too.
        "r._journal.append_point('x', 1.0, 0, 0, lambda key: os.kill(os.getpid(), 15) or key)",
        # What has ended is committed by the thread that is waited for in the end.
        """gittrack.start_run(nested=True); gittrack.end_run()
r._journal.append_rows((os.kill(os.getpid(), 15) or ('x', 1.0, 0, 0) for _ in '1'), str)""",
    ],
)
def test_a_signal_within_a_record_waits_for_its_end(repo: GitRepo, held: str) -> None:
    began = time.monotonic()
    code, _, err = ended(repo, START + held + "\nimport time; time.sleep(60)")
    assert (code, err) == (-signal.SIGTERM, "")
    assert time.monotonic() - began < 15
    run = runs(repo)[-1]
    assert run.status == "killed"
    assert run.metrics["x"].last == 1.0
    # What a thread found out meanwhile is there.
    assert not run.warnings


def test_a_signal_at_the_end_does_not_cut_the_commit_off(repo: GitRepo) -> None:
    script = (
        START + "from gittrack.repo import sealer\nbefore = sealer.seal\n"
        "def seal(*args, **kwargs):\n"
        "    os.kill(os.getpid(), 15)\n"
        "    return before(*args, **kwargs)\n"
        "sealer.seal = seal\n"
    )
    _, _, err = ended(repo, script)
    assert err == ""
    assert "run.yaml" in stored(repo)
    assert runs(repo)[0].status == "finished"


def test_an_exception_in_with_is_raised_again(repo: GitRepo) -> None:
    _, out, _ = ended(
        repo,
        "try:\n    with gittrack.start_run(): raise KeyError('mine')\n"
        "except KeyError as e: print('caught', e)",
    )
    assert out == "caught 'mine'\n"


def test_kill_minus_9_loses_no_point_whose_call_had_returned(repo: GitRepo) -> None:
    process = python(
        repo,
        "gittrack.start_run(run_name='doomed')\ngittrack.log_params({'a': 1})\n"
        "for i in range(10**9):\n"
        "    gittrack.log_metric('m', i * 0.5)\n"
        "    print(i, flush=True)",
    )
    assert process.stdout is not None
    returned = -1
    for line in process.stdout:
        returned = int(line)
        if returned == 500:
            process.send_signal(signal.SIGKILL)
            break
    returned = max([returned, *map(int, process.stdout.read().split())])
    process.communicate()
    (run,) = runs(repo)
    assert run.status == "killed"
    assert run.name == "doomed"
    assert run.params == {"a": 1}
    assert run.metrics["m"].count in (returned + 1, returned + 2)
    assert run.metrics["m"].last == (run.metrics["m"].count - 1) * 0.5
    with Repo.find(repo.path, {}) as opened:
        points = opened.get_metric_history(run.id, "m")
    assert [p.step for p in points] == list(range(run.metrics["m"].count))
    # Taken over for good: in the store, and no journal left.
    assert "run.yaml" in stored(repo)
    left = os.listdir(os.path.join(repo.path, ".git/gittrack/journal"))
    assert {".alive"} <= set(left) <= {".alive", ".environments"}


def test_a_running_run_is_seen_by_others(repo: GitRepo) -> None:
    process = python(
        repo,
        "gittrack.start_run(run_name='alive')\ngittrack.log_metric('m', 1.5)\n"
        "print('on', flush=True)\nsys.stdin.read()",
    )
    assert process.stdout is not None
    process.stdout.readline()
    (run,) = runs(repo)
    process.communicate()
    assert (run.status, run.name, run.metrics["m"].last) == ("running", "alive", 1.5)
    assert run.end_ms is None


def test_many_processes_at_once_lose_nothing(repo: GitRepo) -> None:
    script = (
        "for i in range(5):\n"
        "    with gittrack.start_run(run_name=f'{sys.argv[1]}-{i}'):\n"
        "        gittrack.log_param('i', i); gittrack.log_metric('m', i)"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"import gittrack, sys\n{script}", str(n)],
            cwd=repo.path,
            env={**os.environ, "PYTHONPATH": ROOT},
        )
        for n in range(16)
    ]
    assert [process.wait() for process in processes] == [0] * 16
    found = runs(repo)
    assert sorted(run.name for run in found) == sorted(
        f"{n}-{i}" for n in range(16) for i in range(5)
    )
    assert {run.status for run in found} == {"finished"}
    assert all(run.params["i"] == run.metrics["m"].last for run in found)
    repo.git("fsck", "--strict")


def test_a_fork_in_the_middle_logs_to_the_same_run(repo: GitRepo) -> None:
    code, _, err = ended(
        repo,
        "gittrack.start_run(run_name='both')\ngittrack.log_metric('m', 0.0)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    gittrack.log_metric('child', 1.0); os._exit(0)\n"
        "os.waitpid(pid, 0)\ngittrack.log_metric('m', 2.0)",
    )
    assert code == 0, err
    (run,) = runs(repo)
    assert run.status == "finished"
    assert {key: item.last for key, item in run.metrics.items()} == {"m": 2.0, "child": 1.0}
    assert run.metrics["m"].count == 2


def test_a_forked_child_that_exits_does_not_end_the_run(repo: GitRepo) -> None:
    code, _, err = ended(
        repo,
        "gittrack.start_run()\npid = os.fork()\n"
        "if pid == 0: sys.exit(5)\n"
        "os.waitpid(pid, 0)\nprint(gittrack.active_run().status)\ngittrack.log_metric('m', 1)",
    )
    assert code == 0, err
    (run,) = runs(repo)
    assert (run.status, run.metrics["m"].last) == ("finished", 1.0)


def test_threads_log_to_the_run_of_the_process(repo: GitRepo) -> None:
    code, _, err = ended(
        repo,
        "import threading\ngittrack.start_run()\n"
        "def work():\n    for _ in range(200): gittrack.log_metric('m', 1.0)\n"
        "ts = [threading.Thread(target=work) for _ in range(8)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]",
    )
    assert code == 0, err
    (run,) = runs(repo)
    assert run.metrics["m"].count == 1600
    with Repo.find(repo.path, {}) as opened:
        steps = [point.step for point in opened.get_metric_history(run.id, "m")]
    assert steps == list(range(1600))


def test_threads_can_have_runs_of_their_own(repo: GitRepo) -> None:
    code, _, err = ended(
        repo,
        "import threading\n"
        "def work(n):\n    with gittrack.start_run(run_name=str(n)): gittrack.log_metric('m', n)\n"
        "ts = [threading.Thread(target=work, args=(n,)) for n in range(6)]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]",
    )
    assert code == 0, err
    assert {run.name: run.metrics["m"].last for run in runs(repo)} == {
        str(n): float(n) for n in range(6)
    }
