"""The command line becomes params, by `log_args` or by itself, and the program notices nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gittrack
from gittrack.core.model import Run
from gittrack.errors import InvalidValueError
from gittrack.repo import Repo
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ON = {"GITTRACK_PARAMS_CAPTURE_ARGS": "true"}
SECRET = "hunter22-and-more"


@pytest.fixture
def repo(repo: GitRepo) -> GitRepo:
    repo.write("a.txt", "a\n")
    repo.commit()
    return repo


def call(repo: GitRepo, script: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    path = repo.write("main.py", script)
    return subprocess.run(
        [sys.executable, path, *args], cwd=repo.path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": ROOT, **env}, check=False,
    )  # fmt: skip


def runs(repo: GitRepo) -> dict[str, Run]:
    with Repo.find(repo.path, {}) as opened:
        return {run.name: run for run in opened.search_runs()}


ARGPARSE = """
import argparse
import gittrack
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--token")
commands = parser.add_subparsers(dest="command")
fit = commands.add_parser("fit")
fit.add_argument("--epochs", type=int)
args = parser.parse_args()
# What a library of its own reads is not the program's.
other = argparse.ArgumentParser()
other.add_argument("--unrelated")
other.parse_args(["--unrelated", "x"])
with gittrack.start_run("a"):
    with gittrack.start_run("inside", nested=True): pass
with gittrack.start_run("b"): pass
"""


@pytest.mark.parametrize("way", ["variable", "file", "git config", "code", "off"])
def test_argparse(repo: GitRepo, way: str) -> None:
    script = ARGPARSE
    if way == "file":
        repo.write(".gittrack.yaml", "params: {capture_args: yes}\n")
    elif way == "git config":
        # It holds from the first run on.
        repo.git("config", "gittrack.params.captureArgs", "true")
        script = script.replace("args =", "run = gittrack.start_run('a'); args =")
        script = script.replace('with gittrack.start_run("a"):', "with run:")
    elif way == "code":
        script = script.replace("import gittrack", "import gittrack; gittrack.capture_args()")
    env = ON if way == "variable" else {}
    done = call(repo, script, "--lr", "0.5", "--token", SECRET, "fit", "--epochs", "3", **env)
    assert done.returncode == 0, done.stderr
    found = runs(repo)
    expected = {"lr": 0.5, "token": "<redacted>", "command": "fit", "epochs": 3}
    assert found["a"].params == ({} if way == "off" else expected)
    assert found["b"].params == found["a"].params
    assert found["inside"].params == {}


def test_a_wrapped_parser_is_as_it_was(repo: GitRepo) -> None:
    script = (
        "import argparse, inspect\n{}"
        "parser = argparse.ArgumentParser(prog='p', exit_on_error=False)\n"
        "parser.add_argument('--n', type=int)\n"
        "print(inspect.signature(parser.parse_args), parser.parse_args.__doc__)\n"
        "print(parser.parse_known_args(['--n', '1', 'rest']), parser.parse_intermixed_args([]))\n"
        "class Mine: pass\n"
        "print(vars(parser.parse_args(args=['--n', '2'], namespace=Mine())))\n"
        "try: parser.parse_args(['--n', 'x'])\n"
        "except argparse.ArgumentError as error: print(error)\n"
        "parser.parse_args(['--wrong'])\n"
    )
    plain = call(repo, script.format(""))
    wrapped = call(repo, script.format("import gittrack\n"), **ON)
    assert wrapped.returncode == plain.returncode == 2
    assert wrapped.stdout == plain.stdout
    assert wrapped.stderr == plain.stderr


def test_parsing_twice_is_a_note(repo: GitRepo) -> None:
    script = (
        "import argparse, gittrack\n"
        "parser = argparse.ArgumentParser(); parser.add_argument('--n', type=int)\n"
        "gittrack.start_run('a')\n"
        "parser.parse_args(); parser.parse_args([]); gittrack.log_args({'n': 3, 'm': 4})\n"
    )
    done = call(repo, script, "--n", "1", **ON)
    assert done.returncode == 0
    assert "param 'n' of run 'a' is 1 and cannot become None: the first value stays" in done.stderr
    assert runs(repo)["a"].params == {"n": 1, "m": 4}
    assert len(runs(repo)["a"].warnings) == 2


def test_what_is_captured_makes_no_program_fail_that_logs_a_param_of_its_own(repo: GitRepo) -> None:
    script = (
        "import argparse, gittrack\n"
        "parser = argparse.ArgumentParser(); parser.add_argument('--size', type=int)\n"
        "size = parser.parse_args().size\n"
        "with gittrack.start_run('a'):\n"
        "    gittrack.log_params({'size': size * 4, 'own': 1})\n"
        "    try: gittrack.log_param('own', 2)\n"
        "    except gittrack.GittrackError as error: print(error.message)\n"
    )
    done = call(repo, script, "--size", "8", **ON)
    assert done.returncode == 0, done.stderr
    assert "param 'size' of run 'a' is 8 and cannot become 32: the first value stays" in done.stderr
    assert "param 'own' of run 'a' is 1 and cannot become 2" in done.stdout
    assert runs(repo)["a"].params == {"size": 8, "own": 1}


CLICK = """
import click, gittrack
{before}
@click.group()
@click.option("--seed", default=0)
def main(seed): pass
@main.command()
@click.option("--lr", default=0.1)
@click.option("--pin", prompt=True, hide_input=True)
@click.option("--api-token")
@click.argument("path", type=click.Path())
def fit(**options):
    {inside}
    print(options["lr"])
    return 7
assert main(standalone_mode=False) == 7
{after}
"""


@pytest.mark.parametrize("place", ["before", "inside", "after"])
def test_click(repo: GitRepo, place: str) -> None:
    start = dict.fromkeys(("before", "inside", "after"), "")
    start[place] = "gittrack.start_run('a')"
    args = ("--seed", "4", "fit", "--lr", "0.5", "--pin", "1234", "--api-token", SECRET, "x.csv")
    done = call(repo, CLICK.format(**start), *args, **ON)
    assert (done.returncode, done.stdout) == (0, "0.5\n"), done.stderr
    assert runs(repo)["a"].params == {
        "seed": 4, "lr": 0.5, "api_token": "<redacted>", "path": "x.csv",
    }  # fmt: skip


@pytest.mark.parametrize("place", ["before", "inside"])
def test_typer(repo: GitRepo, place: str) -> None:
    script = (
        "import gittrack, typer\n"
        "app = typer.Typer()\n{before}\n"
        "@app.command()\n"
        "def main(lr: float = 0.1, password: str = typer.Option('', hide_input=True)):\n"
        "    {inside}\n"
        "    raise typer.Exit(3)\n"
        "app()\n"
    )
    start = {"before": "", "inside": "", place: "gittrack.start_run('a')"}
    done = call(repo, script.format(**start), "--lr", "0.5", "--password", SECRET, **ON)
    assert done.returncode == 3, done.stderr
    assert runs(repo)["a"].params == {"lr": 0.5}


HYDRA = """
import os
import gittrack, hydra
@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    with gittrack.start_run(f"lr{config.lr}"): pass
main()
"""


@pytest.mark.parametrize("folder", [".hydra", None])
def test_hydra(repo: GitRepo, folder: str | None) -> None:
    repo.write(
        "conf/config.yaml",
        "lr: 0.1\ndouble: ${lr}\nkey: ${oc.env:API_KEY}\nmodel: {depth: 3, name: '${hydra:job.name}'}\n",
    )
    env = {**ON, "API_KEY": SECRET}
    args = ["hydra.output_subdir=null"] if folder is None else []
    done = call(repo, HYDRA, "-m", "lr=1,2", "+db.password=" + SECRET, *args, **env)
    assert done.returncode == 0, done.stderr
    for lr in (1, 2):
        params = runs(repo)[f"lr{lr}"].params
        assert params.pop("db.password") == "<redacted>"
        if folder is None:
            assert params == {"lr": str(lr)}
        else:
            assert params == {
                "lr": lr, "double": lr, "key": "${oc.env:API_KEY}", "model.depth": 3,
                "model.name": "main",
            }  # fmt: skip


def test_ranks_of_one_run_tell_it_once(repo: GitRepo) -> None:
    script = (
        "import argparse, gittrack, os\n"
        "parser = argparse.ArgumentParser(); parser.add_argument('--local-rank', type=int)\n"
        "parser.parse_args()\n"
        "with gittrack.start_run(): gittrack.log_metric('m', 1)\n"
    )
    repo.write("train.py", script)
    ranks = "; ".join(
        f"RANK={n} LOCAL_RANK={n} WORLD_SIZE=2 {sys.executable} train.py --local-rank {n}"
        for n in (1, 0)
    )
    done = subprocess.run(
        [sys.executable, "-m", "gittrack", "run", "--name", "job", "--", "sh", "-c", ranks],
        cwd=repo.path, env={**os.environ, "PYTHONPATH": ROOT, **ON}, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0
    assert runs(repo)["job"].params == {"local_rank": 0}
    assert runs(repo)["job"].warnings == ()


def test_without_being_asked_nothing_is_wrapped_or_imported(repo: GitRepo) -> None:
    done = call(
        repo,
        "import sys, gittrack\n"
        "assert not {'argparse', 'click', 'typer', 'hydra', 'omegaconf'} & set(sys.modules)\n"
        "gittrack.start_run('a')\n"
        "import argparse\n"
        "assert not hasattr(argparse.ArgumentParser.parse_args, '_gittrack')\n",
    )
    assert done.returncode == 0, done.stderr


def test_log_args(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.path)
    with gittrack.start_run("a") as run:
        gittrack.log_args({"lr": 0.1, "text": "x" * 2_000_000}, prefix="opt.")
        with pytest.raises(InvalidValueError, match="log_args: args is of type int"):
            run.log_args(3)
        loop: dict[str, object] = {}
        loop["loop"] = loop
        with pytest.raises(InvalidValueError, match="a param holds itself"):
            run.log_params(loop)
    found = runs(repo)["a"]
    assert found.params["opt.lr"] == 0.1
    assert len(str(found.params["opt.text"])) <= 500
    assert "its beginning was recorded" in found.warnings[0]


def test_a_setting_that_cannot_be_read_early_is_none_of_the_imports(
    repo: GitRepo, tmp_path: Path
) -> None:
    repo.write(".gittrack.yaml", b"\xff capture_args: [")
    done = call(repo, "import gittrack; print('imported')")
    assert (done.stdout, done.stderr) == ("imported\n", "")
