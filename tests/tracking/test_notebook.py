"""Real notebooks, executed: what a run in them records, shows, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gittrack.core.model import Run
from gittrack.repo import Repo
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DRIVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel.py")
Drive = Callable[..., str]


@pytest.fixture
def drive(repo: GitRepo, tmp_path: Path) -> Drive:
    """Run a Python program in a folder of the repository, where Jupyter finds its own folders."""
    repo.write("nb/train.ipynb", "{}")
    repo.commit()
    env = {
        **os.environ,
        "PYTHONPATH": ROOT,
        "GITTRACK_OUTPUT_CAPTURE": "true",
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }

    def run(*argv: str, input: str = "") -> str:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", *argv],
            cwd=os.path.join(repo.path, "nb"),
            env=env, input=input, capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def runs(repo: GitRepo) -> dict[str, Run]:
    with Repo.find(repo.path, {}) as opened:
        return {run.name: run for run in opened.search_runs()}


def file_of(repo: GitRepo, run: Run, path: str) -> str:
    with Repo.find(repo.path, {}) as opened:
        return Path(opened.get_artifact(run.id, path)).read_text(encoding="utf-8")


def output_of(repo: GitRepo, run: Run) -> str:
    with Repo.find(repo.path, {}) as opened:
        return opened.get_output(run).decode()


OPEN = "import gittrack\nr = gittrack.start_run({!r})\ngittrack.log_metric('m', 1)"
CELLS = [
    # VS Code says so, before any other.
    "import os\n__vsc_ipynb_file__ = os.path.abspath('train.ipynb')\nprint('before')",
    "password = 'hunter2x9'",
    OPEN.format("over cells") + "\nprint('one')\nr",
    "print('token=abc123def9')\n!echo three",
    "1/0",
    "import sys, warnings; warnings.simplefilter('ignore'); sys.exit(3)",
    "gittrack.log_metric('m', 2)\nprint('four', file=sys.stderr)",
    "gittrack.end_run()",
    "print('after')",
    "%load_ext gittrack",
    "name = 'magic'",
    "%%run {name} -e iris --tag team=vision\nprint('in it')\ngittrack.log_param('<b>', 1)\n6 * 7",
    "%%run bad\n1/0",
    "%%run --no-such\npass",
    "with gittrack.start_run('with'):\n    raise ValueError('no')",
    "gittrack.start_run('forgotten')\n1/0",
    "gittrack.start_run('again', nested=False)",
    "found = gittrack.search_runs()\nfound",
    "repo = gittrack.Repo.find()\nrepo.diff(found[0], found[1])",
    "repo.compare(found)",
    "%gittrack log -1 --where \"params.`<b>` = 1\" --format '%s'",
    "%gittrack show 'half",
    "gittrack.start_run('same cell')\ngittrack.start_run('same cell')",
]


def test_a_notebook_from_its_first_cell_to_its_last(repo: GitRepo, drive: Drive) -> None:
    gave: list[list[dict[str, Any]]] = json.loads(drive(DRIVER, json.dumps(CELLS)))
    given = dict(zip(CELLS, gave, strict=True))
    found = runs(repo)

    over = found["over cells"]
    assert (over.status, over.exit_code, over.metrics["m"].count) == ("finished", None, 2)
    # The kernel's folder is not the repository's top; the store is the one there is.
    assert over.entry == "nb/train.ipynb"
    assert over.argv == ()
    assert not os.path.exists(os.path.join(repo.path, "nb", ".git"))
    cells = file_of(repo, over, "notebook/cells.py")
    assert cells.startswith("# %% [1]\nimport os\n")
    assert "\n\n# %% [2]\npassword = '<redacted>'\n\n# %% [3]\nimport gittrack\n" in cells
    assert "\n!echo three\n" in cells
    assert cells.endswith("# %% [8]\ngittrack.end_run()\n")
    assert "notebook: password (once)" in over.redacted
    assert output_of(repo, over) == "one\ntoken=<redacted>\nthree\nfour\n"

    magic = found["magic"]
    assert (magic.status, magic.experiment, magic.tags) == ("finished", "iris", {"team": "vision"})
    assert output_of(repo, magic) == "in it\n"
    _, shown, value = given[CELLS[11]]
    assert "&lt;b&gt;" in shown["text/html"] and "finished" in shown["text/html"]
    assert shown["text/plain"].startswith("<ActiveRun ")
    assert value == {"text/plain": "42"}
    shown, error = given[CELLS[12]]
    assert "failed" in shown["text/html"]
    assert error == {"error": "ZeroDivisionError: division by zero"}
    assert "is used as %%run [NAME]" in given[CELLS[13]][0]["error"]

    assert (found["bad"].status, found["with"].status) == ("failed", "failed")
    # Its cell had raised, and a later one started another run.
    assert found["forgotten"].status == "failed"
    assert "was still active when a later cell" in found["forgotten"].warnings[0]
    assert "was still active" in given[CELLS[16]][0]["stderr"]
    for at, text in ((17, "<table>"), (18, "→"), (19, "<table>")):
        assert text in given[CELLS[at]][0]["text/html"]
    assert given[CELLS[20]] == [{"stdout": "magic\n"}]
    assert "UsageError: %gittrack: No closing quotation" in given[CELLS[21]][0]["error"]
    # Twice in one cell is a mistake here as elsewhere.
    assert "is still active" in given[CELLS[22]][-1]["error"]
    assert found["again"].status == "finished"
    # The kernel has ended, asked to, with a run that the last cell had begun, and raised in.
    assert found["same cell"].status == "failed"


BUSY = "\nprint('on', flush=True)\nwhile True: pass"


def test_runs_end_with_their_kernel(repo: GitRepo, drive: Drive) -> None:
    drive(DRIVER, "--life", json.dumps([
        # Reading leaves a helper process of git behind, which must not hold up the kernel.
        OPEN.format("idle") + "\ngittrack.search_runs()", "restart",
        "busy " + OPEN.format("busy") + BUSY, "restart",
        OPEN.format("killed"), "kill",
    ]))  # fmt: skip
    found = runs(repo)
    assert {name: run.status for name, run in found.items()} == {
        "idle": "finished", "busy": "killed", "killed": "killed",
    }  # fmt: skip
    for run in found.values():
        assert run.metrics["m"].count == 1
        assert "# %% [1]\nimport gittrack\n" in file_of(repo, run, "notebook/cells.py")
    # It was asked to end once, and did; 2 s would have brought a signal.
    assert (found["idle"].duration_ms or 0) < 2000


@pytest.mark.parametrize(
    "end",
    [pytest.param("exit\n", id="exit"), pytest.param("", id="ctrl-d", marks=pytest.mark.deep)],
)
def test_a_prompt_of_ipython(repo: GitRepo, drive: Drive, end: str) -> None:
    lines = "import gittrack\nr = gittrack.start_run('typed')\n1/0\nimport sys; sys.exit(3)\n"
    drive("-m", "IPython", "--simple-prompt", "--no-banner", input=lines + end)
    (run,) = runs(repo).values()
    assert (run.status, run.exit_code) == ("finished", None)
    assert run.entry == ""
    cells = file_of(repo, run, "notebook/cells.py")
    assert cells.startswith("# %% [1]\nimport gittrack\n\n# %% [2]\n")
    assert "# %% [4]\nimport sys; sys.exit(3)\n" in cells


def test_a_script_that_ipython_runs_ends_as_a_script(repo: GitRepo, drive: Drive) -> None:
    repo.write(
        "nb/train.py", "import gittrack\ngittrack.start_run('script')\nimport sys; sys.exit(1)\n"
    )
    code = "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.argv[1:]]) - 1)"
    drive("-c", code, "-m", "IPython", "train.py")
    (run,) = runs(repo).values()
    assert (run.status, run.exit_code) == ("failed", 1)
    assert not run.artifacts
