"""Any program, any script, any process of a job can record a run."""

from __future__ import annotations

import hashlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gittrack.core.model import Run
from gittrack.repo import Repo
from tests.cli.conftest import Project, environment
from tests.support import started

COMMAND = [sys.executable, "-m", "gittrack"]
CAPTURE = {"GITTRACK_OUTPUT_CAPTURE": "true"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project.create(tmp_path / "repo")
    assert isinstance(made, Project)
    made.write("train.py", "print('x')\n")
    made.commit()
    yield made


def only_run(project: Project) -> Run:
    with Repo.find(project.path, {}) as repo:
        (run,) = repo.search_runs()
        return run


def shell(project: Project, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A shell script in the repository, in which `gittrack` is this one."""
    command = " ".join(COMMAND)
    return subprocess.run(
        ["sh", "-c", f'gittrack() {{ {command} "$@"; }}\n{script}'],
        cwd=project.path, env={**environment(), **env}, capture_output=True, encoding="utf-8",
    )  # fmt: skip


# -- gittrack run --------------------------------------------------------------------------


def test_a_program_is_recorded_with_what_it_leaves(project: Project) -> None:
    project.write("old.txt", "old\n")
    script = (
        "echo out; echo err >&2; mkdir -p plots\n"
        "printf 'lr: 0.1\\nmodel: {depth: 3}\\na: 2\\n' > params.yaml\n"
        'printf \'{"acc": 0.9, "val": {"loss": 0.25}, "when": "now", "ok": true}\' > metrics.json\n'
        "printf 'epoch,acc,note\\n0,0.5,x\\n5,0.9,\\n' > history.csv\n"
        "echo 1 > plots/a.png\n"
    )
    done = project.gittrack(
        "run", "--name", "one", "--experiment", "iris", "--tag", "team=vision", "-P", "a=1",
        "-P", "flag=true", "-P", "text=1_0", "--input", "train.py", "--artifact", "plots/*.png",
        "--artifact", "none*", "--", "sh", "-c", script, **CAPTURE,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout == "out\n"
    run = only_run(project)
    assert (run.name, run.experiment, run.status, run.exit_code) == ("one", "iris", "finished", 0)
    assert run.params == {
        "a": 1, "flag": True, "text": "1_0", "lr": 0.1, "model.depth": 3,
    }  # fmt: skip
    assert run.tags == {"team": "vision"}
    assert sorted(run.metrics) == ["acc", "val.loss"]
    assert run.argv[:2] == ("sh", "-c")
    assert sorted(run.artifacts) == ["plots/a.png"]
    assert sorted(run.warnings) == [
        "no artifact matches none*",
        "params.yaml: param 'a' of run 'one' is 1 and cannot become 2",
    ]
    with Repo.find(project.path, {}) as repo:
        # The table ended with what metrics.json says: that is one point, not two.
        assert [(p.step, p.value) for p in repo.get_metric_history(run.id, "acc")] == [
            (0, 0.5), (5, 0.9),
        ]  # fmt: skip
        (data,) = repo.get_inputs(run)
        assert (data.name, data.source, data.kind) == ("train.py", "train.py", "file")
        with open(os.path.join(project.path, "train.py"), "rb") as file:
            assert data.digest == f"md5:{hashlib.file_digest(file, 'md5').hexdigest()}"
        printed = repo.get_output(run).decode().splitlines()
    assert [line for line in printed if line in ("out", "err")] == ["out", "err"]


def test_a_part_of_a_file_is_named_as_for_commits(project: Project) -> None:
    project.write(
        ".gittrack.yaml",
        "run:\n  params: ['conf/*.yaml:model']\n"
        "  metrics: ['m.json:test', 'all.json:a', all.json]\n  history: ['h.csv:loss']\n",
    )
    script = (
        "mkdir -p conf; printf 'model: {depth: 3}\nother: 1\n' > conf/a.yaml\n"
        'printf \'{"test": {"acc": 0.9, "f1": 0.5}, "train": 1}\' > m.json\n'
        'printf \'{"a": 1, "b": 2}\' > all.json\n'
        "printf 'loss,acc\n2,3\n1,4\n' > h.csv\n"
    )
    assert project.gittrack("run", "--", "sh", "-c", script).returncode == 0
    run = only_run(project)
    assert run.params == {"model.depth": 3}
    counts = {key: summary.count for key, summary in run.metrics.items()}
    assert counts == {"test.acc": 1, "test.f1": 1, "a": 1, "b": 1, "loss": 2}
    assert not run.warnings


def test_files_that_the_program_did_not_touch_are_not_its_results(project: Project) -> None:
    project.write("params.yaml", "lr: 5\n")
    project.write("metrics.json", '{"acc": 1}')
    assert project.gittrack("run", "--", "true").returncode == 0
    run = only_run(project)
    assert (run.params, run.metrics) == ({}, {})


def test_results_that_make_no_sense_are_a_note(project: Project) -> None:
    script = "echo '[1]' > metrics.json; echo 'a: [' > params.yaml; : > history.csv"
    assert project.gittrack("run", "--", "sh", "-c", script).returncode == 0
    warnings = sorted(only_run(project).warnings)
    assert [text.split(":")[0] for text in warnings] == [
        "history.csv was not taken in", "metrics.json was not taken in",
        "params.yaml was not taken in",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        (["sh", "-c", "exit 7"], 7, "failed"),
        (["nosuch-program"], 127, "failed"),
        (["./train.py"], 126, "failed"),
        (["sh", "-c", "kill -9 $$"], 137, "killed"),
        (["sh", "-c", "kill -SEGV $$"], 139, "failed"),
        (["sh", "-c", "kill -TERM $$"], -15, "killed"),
    ],
)
def test_the_exit_code_goes_through(
    project: Project, command: list[str], code: int, status: str
) -> None:
    assert project.gittrack("run", "--", *command).returncode == code
    run = only_run(project)
    assert (run.status, run.exit_code) == (status, code if code > 0 else 128 - code)


def test_the_program_stands_behind_two_dashes(project: Project) -> None:
    done = project.gittrack("run", "python", "train.py")
    assert done.returncode == 2
    assert "gittrack run -- python train.py" in done.stderr
    done = project.gittrack("run", "--input", "nowhere", "--", "touch", "made")
    assert done.returncode == 2
    assert "there is no input nowhere" in done.stderr
    assert not os.path.exists(os.path.join(project.path, "made"))


def test_options_of_the_program_are_its_own(project: Project) -> None:
    done = project.gittrack("run", "--", "echo", "-5", "--name", "--", "x", "--help")
    assert done.stdout == "-5 --name -- x --help\n"
    assert only_run(project).argv == ("echo", "-5", "--name", "--", "x", "--help")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_sent_by_name_reaches_the_program(project: Project, number: int) -> None:
    script = (
        "import signal, sys\n"
        f"signal.signal({int(number)}, lambda *_: sys.exit(5))\n"
        "print('up', flush=True)\nimport time\nwhile True: time.sleep(0.1)\n"
    )
    with started(
        [*COMMAND, "run", "--", sys.executable, "-c", script],
        cwd=project.path, env=environment(), stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        process.send_signal(number)
        assert process.wait(30) == 5
    assert only_run(project).exit_code == 5


def test_ctrl_c_reaches_the_program_once(project: Project) -> None:
    script = (
        "import signal, sys, time\n"
        "seen = []\n"
        "signal.signal(2, lambda *_: seen.append(1))\n"
        "print('up', flush=True)\n"
        "while not seen: time.sleep(0.01)\n"
        "time.sleep(0.3); print('seen', len(seen), sys.stdout.isatty(), flush=True)\n"
    )
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(project.path)
        os.execve(
            sys.executable, [*COMMAND, "run", "--", sys.executable, "-c", script],
            {**environment(), **CAPTURE},
        )  # fmt: skip
    shown = b""
    is_sent = False
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if not select.select([fd], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(fd, 1000)
        except OSError:
            break
        if not data:
            break
        shown += data
        if b"up" in shown and not is_sent:
            is_sent = True
            os.write(fd, b"\x03")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert b"seen 1 True\r\n" in shown
    with Repo.find(project.path, {}) as repo:
        assert repo.get_output(repo.get_run("@")).decode().splitlines()[-1] == "seen 1 True"


def test_steps_and_runs_inside_belong_to_the_run(project: Project) -> None:
    inner = "import gittrack\nwith gittrack.start_run():\n    gittrack.log_metric('m', 1)\n"
    child = "import gittrack\ngittrack.start_run()\ngittrack.end_run()\ngittrack.start_run()\n"
    command = " ".join(COMMAND)
    script = f"{command} metric loss=0.5; cd /; '{sys.executable}' -c \"$INNER\"; "
    script += f"'{sys.executable}' -c \"$CHILD\"; {command} run -- true"
    done = project.gittrack("run", "--name", "outer", "--", "sh", "-c", script,
                            INNER=inner, CHILD=child)  # fmt: skip
    assert done.returncode == 0, done.stderr
    with Repo.find(project.path, {}) as repo:
        runs = {run.name: run for run in repo.search_runs()}
        outer = runs.pop("outer")
        assert sorted(outer.metrics) == ["loss", "m"]
        assert outer.status == "finished"
        assert [run.parent for run in runs.values()] == [outer.id, outer.id]


def test_a_killed_recorder_leaves_a_killed_run_with_all_points(project: Project) -> None:
    script = " ".join(COMMAND) + " metric a=1 a=2; echo up; exec sleep 60"
    with started(
        [*COMMAND, "run", "--", "sh", "-c", script],
        cwd=project.path, env=environment(), stdout=subprocess.PIPE, start_new_session=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)
    run = only_run(project)
    assert run.status == "killed"
    assert run.metrics["a"].count == 1


# -- step by step --------------------------------------------------------------------------


def test_a_script_records_step_by_step(project: Project) -> None:
    done = shell(
        project,
        "set -e\n"
        "export GITTRACK_RUN_ID=$(gittrack start --name steps -P lr=0.1 --input train.py)\n"
        "gittrack param model=forest depth=8\n"
        "gittrack metric loss=0.5 acc=0.25\n"
        "gittrack metric loss=0.25 --step 7\n"
        "gittrack metric loss=0.125\n"
        "gittrack artifact train.py --into code\n"
        'gittrack tag "$GITTRACK_RUN_ID" team=vision\n'
        "gittrack log --where 'attributes.status = \"running\"' --format jsonl\n"
        "gittrack finish --exit 0\n",
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["name"] == "steps"
    run = only_run(project)
    assert (run.name, run.status, run.exit_code) == ("steps", "finished", 0)
    assert run.params == {"lr": 0.1, "model": "forest", "depth": 8}
    assert run.tags == {"team": "vision"}
    assert sorted(run.artifacts) == ["code/train.py"]
    with Repo.find(project.path, {}) as repo:
        points = repo.get_metric_history(run.id, "loss")
        files = repo.list_files(run)
    assert [(p.step, p.value) for p in points] == [(0, 0.5), (7, 0.25), (8, 0.125)]
    # Many steps, one segment, and no writer that is none.
    assert len([name for name in files if name.startswith("metrics/")]) == 1
    assert not any(name.startswith("writers/") for name in files)


def test_steps_need_a_run_that_goes_on(project: Project) -> None:
    done = project.gittrack("metric", "a=1")
    assert done.returncode == 2
    assert "export GITTRACK_RUN_ID=$(gittrack start)" in done.stderr
    run_id = project.out("start").strip()
    assert project.gittrack("finish", "--status", "failed", GITTRACK_RUN_ID=run_id).returncode == 0
    for step in (["metric", "a=1"], ["param", "a=1"], ["artifact", "train.py"], ["finish"]):
        done = project.gittrack(*step, "--run", run_id)
        assert done.returncode == 2, step
        assert "next:" in done.stderr
    assert project.gittrack("metric", "a=1", "--run", "nosuch").returncode == 1
    assert project.gittrack("metric", "a=x", "--run", run_id).returncode == 2
    assert only_run(project).status == "failed"


def test_params_of_a_script_are_written_once(project: Project) -> None:
    run_id = project.out("start", "-P", "a=1").strip()
    assert project.gittrack("param", "a=1", GITTRACK_RUN_ID=run_id).returncode == 0
    done = project.gittrack("param", "b=1", "a=2", GITTRACK_RUN_ID=run_id)
    assert done.returncode == 2
    assert "params are written once" in done.stderr
    project.out("finish", GITTRACK_RUN_ID=run_id)
    assert only_run(project).params == {"a": 1}


def test_a_stream_of_points(project: Project) -> None:
    run_id = project.out("start").strip()
    text = 'a 1\nbad\n\nb 2 7\na nan\n{"c": 1, "d": 2, "step": 4}\n{"key": "e f", "value": 3}\n'
    text += '{"x": "text"}\na 1 1.5\na 2 99999999999999999999\n{"a": 3}{"a": 4}\na 9'
    done = subprocess.run(
        [*COMMAND, "metric", "-"], cwd=project.path, input=text, encoding="utf-8",
        capture_output=True, env={**environment(), "GITTRACK_RUN_ID": run_id},
    )  # fmt: skip
    assert done.returncode == 1
    assert [line.split(" is ")[0] for line in done.stderr.splitlines()] == [
        "line 2", "line 8", "line 9", "line 10", "line 11",
    ]  # fmt: skip
    project.out("finish", GITTRACK_RUN_ID=run_id)
    with Repo.find(project.path, {}) as repo:
        found = {
            key: [(p.step, str(p.value)) for p in repo.get_metric_history(run_id, key)]
            for key in repo.get_run(run_id).metrics
        }
    assert found == {
        "a": [(0, "1.0"), (1, "nan"), (2, "9.0")], "b": [(7, "2.0")], "c": [(4, "1.0")],
        "d": [(4, "2.0")], "e f": [(0, "3.0")],
    }  # fmt: skip


def test_a_stream_is_written_as_it_comes(project: Project) -> None:
    run_id = project.out("start").strip()
    with started(
        [*COMMAND, "metric", "-"], cwd=project.path, stdin=subprocess.PIPE,
        env={**environment(), "GITTRACK_RUN_ID": run_id},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(b"a 1\na 2\n")
        process.stdin.flush()
        deadline = time.monotonic() + 30
        count = 0
        while count != 2 and time.monotonic() < deadline:
            with Repo.find(project.path, {}) as repo:
                count = len(repo.get_metric_history(run_id, "a"))
        process.kill()
    assert count == 2


def test_recording_without_a_repository(tmp_path: Path, project: Project) -> None:
    folder = tmp_path / "journal"
    env = {**environment(), "GITTRACK_JOURNAL": str(folder)}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    env["GIT_CEILING_DIRECTORIES"] = str(tmp_path)
    for args in (["run", "--name", "far", "--", "sh", "-c", "exit 3"], ["start", "--name", "open"]):
        done = subprocess.run([*COMMAND, *args], cwd=elsewhere, env=env, capture_output=True)
        assert done.returncode == (3 if args[0] == "run" else 0), done.stderr
    env["GITTRACK_RUN_ID"] = done.stdout.decode().strip()
    for args in (["metric", "a=1"], ["finish"]):
        subprocess.run([*COMMAND, *args], cwd=elsewhere, env=env, check=True)
    project.out("recover", str(folder))
    with Repo.find(project.path, {}) as repo:
        found = {run.name: (run.status, sorted(run.metrics)) for run in repo.search_runs()}
    assert found == {"far": ("failed", []), "open": ("finished", ["a"])}


# -- environments, output, scan ------------------------------------------------------------


def test_the_environment_is_shown_and_compared(project: Project) -> None:
    project.write("uv.lock", "version = 1\n")
    project.out("run", "--name", "a", "--", "true")
    project.write("uv.lock", "version = 2\n")
    project.out("run", "--name", "b", "--", "true")
    shown = json.loads(project.out("env", "a", "--format", "json"))
    assert shown["python"].count(".") == 2
    assert "packages.pytest" in shown
    changed = json.loads(project.out("env", "b", "--diff", "a", "--format", "json"))
    assert list(changed) == ["locks.uv.lock"]
    assert (
        changed["locks.uv.lock"]["b"]
        == json.loads(project.out("env", "b", "--format", "json"))["locks.uv.lock"]
    )
    assert "~ locks.uv.lock" in project.out("env", "b", "--diff", "a")
    assert max(map(len, project.out("env", "b", COLUMNS="50").splitlines())) == 50
    assert shown["locks.uv.lock"] in project.out("env", "a")
    assert f"pytest=={shown['packages.pytest']}" in project.out(
        "env", "a", "--format", "requirements"
    )
    with Repo.find(project.path, {}) as repo:
        digest = shown["locks.uv.lock"].removeprefix("sha256:")
        listed = repo.git.run("ls-tree", "-r", "--name-only", "refs/gittrack/store/main").decode()
        assert f"env/{digest[:2]}/{digest}.uv.lock" in listed


def test_output_is_followed_until_the_run_ends(project: Project) -> None:
    script = (
        "import time, os\nprint('one', flush=True)\n"
        "while not os.path.exists('go'): time.sleep(0.02)\n"
        "for i in range(1000): print('line', i)\n"
    )
    with started(
        [*COMMAND, "run", "--name", "long", "--", sys.executable, "-c", script],
        cwd=project.path, env={**environment(), **CAPTURE}, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"one\n"
        with started(
            [*COMMAND, "show", "long", "--stdout", "--follow"],
            cwd=project.path, env=environment(), stdout=subprocess.PIPE,
        ) as reader:  # fmt: skip
            assert reader.stdout is not None
            assert reader.stdout.readline() == b"one\n"
            project.write("go", "")
            process.stdout.read()
            rest = reader.stdout.read()
            assert reader.wait(30) == 0
    assert rest == b"".join(b"line %d\n" % i for i in range(1000))


def test_scan_names_secrets_that_are_not_pushed(project: Project) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    project.out("run", "--", "true")
    assert project.gittrack("scan").returncode == 0
    project.write("leak.txt", f"token = '{secret}'\n")
    project.out("run", "--name", "leaky", "--artifact", "leak.txt", "--", "true")
    done = project.gittrack("scan")
    assert done.returncode == 1
    assert "artifacts/leak.txt" in done.stdout
    assert secret not in done.stdout + done.stderr
    rows = json.loads(project.gittrack("scan", "--format", "json").stdout)
    assert [row["path"] for row in rows] == ["artifacts/leak.txt"]
    # What a remote has already is not looked at again.
    tip = project.git("rev-parse", "refs/gittrack/store/main").strip()
    project.git("update-ref", "refs/gittrack/remote/origin/store/main", tip)
    assert project.gittrack("scan").returncode == 0


def test_secrets_of_a_command_are_redacted_and_marked(project: Project) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    script = f"echo token {secret}; printf 'api_key: hunter2hunter2\\n' > params.yaml"
    project.out("run", "--", "sh", "-c", script, **CAPTURE)
    run = only_run(project)
    assert run.params == {"api_key": "<redacted>"}
    assert any("output" in text for text in run.redacted)
    assert any("argv" in text for text in run.redacted)
    packed = project.git("rev-list", "--objects", "refs/gittrack/store/main").split("\n")
    for line in packed:
        if line:
            data = subprocess.run(
                ["git", "cat-file", "-p", line.split(" ")[0]], cwd=project.path,
                capture_output=True, check=True,
            ).stdout  # fmt: skip
            assert secret.encode() not in data
            assert b"hunter2" not in data
