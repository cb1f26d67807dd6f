"""`gittrack demo`: a throwaway repository in which real models are trained and recorded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

from gittrack.errors import GittrackError, MissingExtraError

_HERE = os.path.dirname(os.path.abspath(__file__))
#: The two versions of the training script that the demo commits, and the edit that it does not.
_FIRST, _SECOND = "train_v1.py.txt", "train_v2.py.txt"
_DIRTY_EDIT = ("max_depth=2", "max_depth=3")


class Demo(NamedTuple):
    """A finished demo: where it lies, and two runs worth comparing."""

    folder: str
    best: str
    first: str


def build(into: str | None, say: Callable[[str], None]) -> Demo:
    """Make a repository and train in it: two commits, and once with an edit not committed.

    Args:
        into: the folder that becomes the repository; new or empty. None: a temporary one.
        say: gets a line about each step.
    Raises:
        MissingExtraError: scikit-learn is not installed.
        GittrackError: the folder is in use, or a training run failed.
    """
    if find_spec("sklearn") is None:
        raise MissingExtraError(
            "the demo cannot train models",
            why="scikit-learn is not installed",
            next="pip install 'gittrack[demo]'",
        )
    folder = _new_folder(into)
    say(f"a repository in {folder}")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    if not _has_identity(folder):
        _git(folder, "config", "user.name", "gittrack demo")
        _git(folder, "config", "user.email", "demo@localhost")

    say("commit 1: a first training script; 4 runs")
    _commit(folder, _FIRST, "train: logistic regression and a forest")
    _train(folder, "logistic", "forest")
    say("commit 2: scale the features, deeper forests, boosting; 8 runs")
    _commit(folder, _SECOND, "train: scale the features, deeper forests, boosting")
    _train(folder, "logistic", "forest", "deep-forest", "boosting")
    say("an edit that is not committed (deeper boosting); 1 run")
    _edit(folder)
    _train(folder, "boosting", seeds=1)
    return _chosen(folder)


def _new_folder(into: str | None) -> str:
    if into is None:
        return tempfile.mkdtemp(prefix="gittrack-demo-")
    folder = os.path.abspath(into)
    if os.path.exists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise GittrackError(
            f"{folder} is in use",
            why="the demo makes a repository of its own and writes over nothing",
            next="gittrack demo --into NEW_FOLDER",
        )
    os.makedirs(folder, exist_ok=True)
    return folder


def _commit(folder: str, script: str, message: str) -> None:
    shutil.copyfile(os.path.join(_HERE, script), os.path.join(folder, "train.py"))
    _git(folder, "add", "train.py")
    _git(folder, "commit", "--quiet", "--message", message)


def _edit(folder: str) -> None:
    path = os.path.join(folder, "train.py")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace(*_DIRTY_EDIT))


def _train(folder: str, *models: str, seeds: int = 2) -> None:
    done = subprocess.run(
        [sys.executable, "train.py", "--seeds", str(seeds), *models],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GittrackError(
            "a training run of the demo failed",
            why=done.stderr.strip() or f"exit code {done.returncode}",
            next=f"cd {folder} && python train.py {' '.join(models)}",
        )


def _chosen(folder: str) -> Demo:
    from gittrack.repo import Repo

    with Repo.find(folder, {}) as repo:
        best = repo.search_runs(order_by=["metrics.test/accuracy DESC"], max_results=1)[0]
        first = repo.search_runs(f"params.model = '{best.params['model']}'")[-1]
    return Demo(folder, best.short_id, first.short_id)


def _has_identity(folder: str) -> bool:
    done = subprocess.run(
        ["git", "var", "GIT_AUTHOR_IDENT"],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _git(folder: str, *args: str) -> None:
    done = subprocess.run(
        ["git", *args],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GittrackError(f"git {args[0]} failed in {folder}", why=done.stderr.strip())


def _environment() -> dict[str, str]:
    """Ours, without variables that would point git or gittrack at another repository."""
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GITTRACK_"))
    }
