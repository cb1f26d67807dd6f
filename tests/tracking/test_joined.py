"""Many processes record one run: each writes a file of its own, one of them ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gittrack.core.model import Run
from gittrack.repo import Repo
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.fixture
def repo(repo: GitRepo) -> Iterator[GitRepo]:
    repo.write("a.txt", "a\n")
    repo.commit()
    yield repo


def python(repo: GitRepo, script: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", f"import gittrack, sys, os\n{script}"],
        cwd=repo.path, env={**os.environ, "PYTHONPATH": ROOT, **env}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(repo: GitRepo, script: str, **env: str) -> str:
    process = python(repo, script, **env)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out


def runs(repo: GitRepo) -> list[Run]:
    with Repo.find(repo.path, {}) as opened:
        return opened.search_runs()


def steps(repo: GitRepo, run: Run, key: str) -> list[int]:
    with Repo.find(repo.path, {}) as opened:
        return [point.step for point in opened.get_metric_history(run.id, key)]


def files(repo: GitRepo, run: Run, folder: str) -> list[str]:
    with Repo.find(repo.path, {}) as opened:
        return [name for name in opened.list_files(run) if name.startswith(folder)]


def test_eight_processes_write_one_run_and_some_are_killed(repo: GitRepo) -> None:
    owner = python(
        repo,
        "r = gittrack.start_run(run_name='job'); print(r.id, flush=True); sys.stdin.readline()\n",
    )
    assert owner.stdout is not None and owner.stdin is not None
    run_id = owner.stdout.readline().strip()
    script = (
        "rank = int(os.environ['RANK'])\n"
        "r = gittrack.start_run(); assert r.joined\n"
        "for i in range(50): gittrack.log_metric(f'rank{rank}', i, step=i)\n"
        "gittrack.log_param(f'p{rank}', rank)\n"
        "print('up', flush=True); sys.stdin.readline()\n"
        "if rank % 3 == 2: os.kill(os.getpid(), 9)\n"
        "gittrack.log_metric(f'rank{rank}', 50, step=50)\n"
    )
    workers = [
        python(repo, script, GITTRACK_RUN_ID=run_id, RANK=str(n), WORLD_SIZE="8", LOCAL_RANK=str(n))
        for n in range(8)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "up\n", worker.communicate()[1]
    for worker in workers:
        worker.communicate("\n", timeout=60)
    assert [w.returncode for w in workers] == [0, 0, -9, 0, 0, -9, 0, 0]
    # None of them has ended it.
    (run,) = runs(repo)
    assert run.status == "running"
    owner.communicate("\n", timeout=60)
    (run,) = runs(repo)
    assert (run.name, run.status) == ("job", "finished")
    assert run.params == {f"p{n}": n for n in range(8)}
    for n in range(8):
        count = 50 if n % 3 == 2 else 51
        assert steps(repo, run, f"rank{n}") == list(range(count))
    with Repo.find(repo.path, {}) as opened:
        said = [
            opened.read_run_file(run, name).decode()
            for name in opened.list_files(run)
            if name.startswith("writers/") and not name.endswith(".end.yaml")
        ]
        ends = [
            opened.read_run_file(run, name).decode()
            for name in opened.list_files(run)
            if name.endswith(".end.yaml")
        ]
    assert sorted(int(text.split("\nrank: ")[1].split("\n")[0]) for text in said) == list(range(8))
    assert all("world_size: 8" in text for text in said)
    assert sum("killed" in text for text in ends) == 2
    assert os.listdir(os.path.join(repo.path, ".git/gittrack/journal")) in (
        [".environments"], [".alive", ".environments"], [".environments", ".alive"],
    )  # fmt: skip


def test_a_fork_in_the_middle_of_logging_loses_nothing(repo: GitRepo) -> None:
    ended(
        repo,
        "import threading\n"
        "gittrack.start_run()\n"
        "stop = threading.Event()\n"
        "def log():\n"
        "    i = 0\n"
        "    while not stop.is_set() or i < 2000:\n"
        "        gittrack.log_metric('parent', i, step=i); i += 1\n"
        "thread = threading.Thread(target=log); thread.start()\n"
        "pids = []\n"
        "for n in range(6):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        for i in range(100): gittrack.log_metric(f'child{n}', i)\n"
        "        os._exit(0)\n"
        "    pids.append(pid)\n"
        "for pid in pids: os.waitpid(pid, 0)\n"
        "stop.set(); thread.join()\n",
    )
    (run,) = runs(repo)
    assert run.status == "finished"
    assert steps(repo, run, "parent") == list(range(run.metrics["parent"].count))
    assert run.metrics["parent"].count >= 2000
    for n in range(6):
        assert steps(repo, run, f"child{n}") == list(range(100))
    assert len(files(repo, run, "metrics/")) == 7


def test_a_file_may_be_the_first_that_a_forked_child_keeps(repo: GitRepo) -> None:
    ended(
        repo,
        "with gittrack.start_run():\n"
        "    gittrack.log_text('0', '0.txt')\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        gittrack.log_text('child', 'c.txt')\n"
        "        os._exit(0)\n"
        "    os.waitpid(pid, 0)\n"
        "    gittrack.log_text('parent', 'p.txt')\n",
    )
    (run,) = runs(repo)
    assert not run.warnings
    with Repo.find(repo.path, {}) as opened:
        kept = {name: opened.read_artifact(run.id, name) for name in run.artifacts}
    assert kept == {"0.txt": b"0", "c.txt": b"child", "p.txt": b"parent"}


def test_a_worker_forked_at_the_start_imports_what_it_likes(repo: GitRepo) -> None:
    """A thread that reads the environment imports meanwhile, and holds Python's locks for that."""
    ended(
        repo,
        "import signal\n"
        "gittrack.start_run()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    signal.alarm(20)\n"
        "    import email.parser, importlib.metadata, zipfile\n"
        "    os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n",
    )


def test_a_worker_forked_while_a_thread_logs_its_first_table_logs_its_own(repo: GitRepo) -> None:
    ended(
        repo,
        "import signal, threading\n"
        "within, forks = threading.Event(), threading.Event()\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'gittrack.capture.tables': within.set(); forks.wait()\n"
        "sys.meta_path.insert(0, Slow())\n"
        "run = gittrack.start_run()\n"
        "thread = threading.Thread(target=run.log_table, args=({'a': [1]}, 'thread.json'))\n"
        "thread.start()\n"
        "within.wait()\n"
        "os.register_at_fork(before=forks.set)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    signal.alarm(20)\n"
        "    run.log_table({'a': [2]}, 'child.json')\n"
        "    os._exit(0)\n"
        "thread.join()\n"
        "assert os.waitpid(pid, 0)[1] == 0\n",
    )
    (run,) = runs(repo)
    assert sorted(run.artifacts) == ["child.json", "thread.json"]


def test_a_worker_that_lives_on_does_not_keep_the_process(repo: GitRepo) -> None:
    ended(
        repo,
        "from gittrack.tracking import fluent\n"
        "gittrack.start_run(); gittrack.end_run()\n"
        "fluent._session.repo.recorder()._git.cat_file()\n"
        "source, end = os.pipe()\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.close(end)\n"
        # It waits for the end of its parent, but not for ever.
        "    import signal; signal.alarm(20)\n"
        "    os._exit(len(os.read(source, 1)))\n"
        "fluent._at_exit()\n"
        "os.close(end)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n",
    )


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_of_multiprocessing_join_by_themselves(repo: GitRepo, method: str) -> None:
    repo.write(
        "job.py",
        "import gittrack, multiprocessing, sys\n"
        "def work(n):\n"
        "    with gittrack.start_run() as run:\n"
        "        gittrack.log_metric(f'w{n}', n)\n"
        "        return run.id\n"
        "if __name__ == '__main__':\n"
        "    with gittrack.start_run() as run:\n"
        "        context = multiprocessing.get_context(sys.argv[1])\n"
        "        with context.Pool(2) as pool:\n"
        "            ids = pool.map(work, range(2), 1)\n"
        "            pool.close(); pool.join()\n"
        "        gittrack.log_metric('last', 1)\n",
    )
    done = subprocess.run(
        [sys.executable, "job.py", method], cwd=repo.path,
        env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = runs(repo)
    outer = next(run for run in found if run.parent is None)
    assert outer.status == "finished"
    assert "last" in outer.metrics
    # One worker may have taken both: its second start is a run of its own, below the first.
    keys = {key for run in found for key in run.metrics}
    assert {"w0", "w1", "last"} <= keys
    assert all(run.parent == outer.id for run in found if run is not outer)


def test_further_runs_of_a_joined_process_are_children(repo: GitRepo) -> None:
    owner = python(repo, "r = gittrack.start_run(); print(r.id, flush=True); sys.stdin.readline()")
    assert owner.stdout is not None
    run_id = owner.stdout.readline().strip()
    ended(
        repo,
        "a = gittrack.start_run(run_name='mine'); assert a.id == os.environ['GITTRACK_RUN_ID']\n"
        "gittrack.end_run('FAILED')\n"
        "b = gittrack.start_run(run_name='other'); gittrack.end_run()\n",
        GITTRACK_RUN_ID=run_id,
    )
    owner.communicate("\n", timeout=60)
    found = {run.name: run for run in runs(repo)}
    assert found["mine"].id == run_id
    assert found["mine"].status == "finished"
    assert found["other"].parent == run_id


def test_a_run_started_in_one_process_is_finished_in_another(repo: GitRepo) -> None:
    from tests.cli.conftest import Project

    project = Project(repo.path)
    run_id = project.out("start", "--name", "relay").strip()
    ended(repo, "gittrack.start_run(); gittrack.log_metric('m', 1)", GITTRACK_RUN_ID=run_id)
    (run,) = runs(repo)
    assert run.status == "running"
    project.out("finish", GITTRACK_RUN_ID=run_id)
    (run,) = runs(repo)
    assert (run.status, sorted(run.metrics)) == ("finished", ["m"])


def test_who_joins_after_the_end_adds_to_it(repo: GitRepo) -> None:
    run_id = ended(repo, "r = gittrack.start_run(); gittrack.end_run(); print(r.id)").strip()
    ended(repo, "gittrack.start_run(); gittrack.log_metric('late', 1)", GITTRACK_RUN_ID=run_id)
    (run,) = runs(repo)
    assert (run.status, sorted(run.metrics)) == ("finished", ["late"])


def test_a_run_that_is_nowhere_is_an_error_that_says_what_to_do(repo: GitRepo) -> None:
    process = python(repo, "gittrack.start_run()", GITTRACK_RUN_ID="20200101-000000-aaaaaaaaaaaa")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "20200101-000000-aaaaaaaaaaaa" in err or "aaaaaaaaaaaa" in err


def test_an_owner_that_is_killed_leaves_its_workers_points(repo: GitRepo) -> None:
    owner = python(repo, "r = gittrack.start_run(); print(r.id, flush=True); sys.stdin.readline()")
    assert owner.stdout is not None
    run_id = owner.stdout.readline().strip()
    worker = python(
        repo,
        "gittrack.start_run(); gittrack.log_metric('m', 1); print('up', flush=True)\n"
        "sys.stdin.readline(); gittrack.log_metric('m', 2)\n",
        GITTRACK_RUN_ID=run_id,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "up\n"
    owner.send_signal(signal.SIGKILL)
    owner.communicate(timeout=60)
    worker.communicate("\n", timeout=60)
    (run,) = runs(repo)
    assert run.status == "killed"
    assert steps(repo, run, "m") == [0, 1]


# -- what cannot be captured ---------------------------------------------------------------


def test_what_cannot_be_captured_is_one_note_of_each_run(repo: GitRepo) -> None:
    os.makedirs(os.path.join(repo.path, ".git/gittrack/journal"))
    # A file where the folder of environments would be.
    repo.write(".git/gittrack/journal/.environments", "in the way")
    out = ended(
        repo,
        "from gittrack.capture import output\n"
        "def fail(*_): raise OSError(24, 'Too many open files')\n"
        "output.start = fail\n"
        "for _ in range(2):\n"
        "    with gittrack.start_run(): print('x'); gittrack.log_metric('m', 1)\n",
        GITTRACK_OUTPUT_CAPTURE="true",
    )
    assert out == "x\nx\n"
    for run in runs(repo):
        assert run.status == "finished"
        assert run.metrics["m"].count == 1
        kinds = [text.split(" could not be recorded")[0] for text in run.warnings]
        assert sorted(kinds) == ["output", "the environment"]
        assert sum("Too many open files" in text for text in run.warnings) == 1
