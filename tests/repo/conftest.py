"""A repository as the current folder, with the runs that the tests of this room read."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import gittrack
from gittrack.repo import Repo
from gittrack.tracking import fluent
from tests.support import GitRepo


@pytest.fixture
def here(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitRepo]:
    """A repository with one commit, as the current folder; closed at the end."""
    repo.write("train.py", "print(1)\n")
    repo.commit("first")
    monkeypatch.chdir(repo.path)
    yield repo
    while gittrack.active_run() is not None:
        gittrack.end_run()
    close()


@pytest.fixture
def opened(here: GitRepo) -> Iterator[Repo]:
    """The same repository, opened to read and to edit."""
    with Repo.find() as found:
        yield found


def record(name: str, experiment: str = "default", parent: bool = False, **metrics: float) -> str:
    """Record one run; its id."""
    with gittrack.start_run(run_name=name, experiment=experiment, nested=parent) as run:
        gittrack.log_metrics(metrics)
        found = run.info.run_id
    if not parent:
        close()
    return found


def close() -> None:
    """Commit what has ended, as the end of the process would."""
    if fluent._session.repo is not None:
        fluent._session.repo.close()
        fluent._session.repo = None
    fluent._session.experiment = None
