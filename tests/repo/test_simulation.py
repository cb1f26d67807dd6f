"""Eight clones and a bare repository, real git, everything at random: nothing acknowledged is lost.

Some clones are shallow, some begin stores of their own, some processes are killed in the middle of
recording and pushing. In the end all sync twice, and all have the same tip.
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.core.model import Run
from gittrack.errors import GittrackError, RunNotFoundError
from gittrack.repo import Repo
from gittrack.repo.values import NewRun
from tests.repo.test_sync import ROOT, tip
from tests.support import GitRepo

CLONES = 8
STEPS = 110

#: Tells what it has been told is kept, then goes on; it is killed somewhere.
DOOMED = """
import sys, gittrack
from gittrack.repo import Repo
for number in range(6):
    run = gittrack.start_run(run_name=f"{sys.argv[1]}-{number}")
    print("run", run.id, flush=True)
    for step in range(4):
        gittrack.log_metric("m", float(step), step=step)
        print("point", run.id, step, flush=True)
    gittrack.end_run()
    with Repo.find() as repo:
        try:
            repo.push("origin", deadline_s=20)
        except Exception as error:
            print("push", error, file=sys.stderr)
"""


class Simulation:
    """The clones, and what their users have been told is kept."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.folder = folder
        self.count = 0
        self.points: set[tuple[str, int, float]] = set()
        self.params: dict[str, dict[str, int]] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.runs: set[str] = set()
        GitRepo.create(folder / "hub.git", "--bare")
        first = GitRepo.create(folder / "c0")
        for number in range(3):
            first.write("code.py", f"{number}\n")
            first.commit()
        first.git("remote", "add", "origin", f"file://{folder}/hub.git")
        first.git("push", "-q", "-u", "origin", "HEAD")
        self.clones = [first]
        for number in range(1, CLONES):
            depth = ["--depth", "1"] if number % 3 == 0 else []
            first.git("clone", "-q", *depth, f"file://{folder}/hub.git", f"../c{number}")
            self.clones.append(GitRepo(folder / f"c{number}"))
        for number, clone in enumerate(self.clones):
            with Repo.find(clone.path) as repo:
                # Half of them begin with a commit of their own, not with init's.
                if number % 2:
                    self.record(repo)
                    repo.share_remote(hooks=False)
                else:
                    repo.init(hooks=False)

    # -- what happens --------------------------------------------------------------------

    def step(self) -> None:
        clone = self.chance.choice(self.clones)
        actions = (
            ("record", 4), ("tag", 3), ("rename", 1), ("delete", 1), ("resume", 2), ("pull", 4),
            ("push", 5), ("fetch", 2), ("kill", 1), ("commit", 1), ("pack", 1),
        )  # fmt: skip
        action = self.chance.choices([a for a, _ in actions], [w for _, w in actions])[0]
        if action in ("kill", "fetch", "commit", "pack"):
            getattr(self, action)(clone)
            return
        with Repo.find(clone.path) as repo:
            getattr(self, action)(repo)

    def record(self, repo: Repo) -> None:
        self.count += 1
        name, experiment = f"run{self.count}", self.chance.choice(["default", "iris"])
        began = repo.begin_run(NewRun(name, experiment, captures=False))
        params = {f"p{n}": self.count for n in range(self.chance.randint(0, 3))}
        began.journal.append("P", params)
        self.write_points(began.run_id, began.journal, self.chance.randint(0, 5))
        repo.recorder().end(began, "finished", 0)
        if self.chance.random() < 0.7:
            repo.flush()
        self.runs.add(began.run_id)
        self.params[began.run_id] = params

    def write_points(self, run_id: str, log: object, count: int) -> None:
        for _ in range(count):
            self.count += 1
            log.append_point("m", float(self.count), None, None, str)  # type: ignore[attr-defined]
            self.points.add((run_id, 0, float(self.count)))

    def some_run(self, repo: Repo) -> Run | None:
        runs = repo.search_runs("", include_deleted=True)
        return self.chance.choice(runs) if runs else None

    def tag(self, repo: Repo) -> None:
        run = self.some_run(repo)
        if run is None:
            return
        self.count += 1
        # A tag of its own, and one that all clones write.
        repo.set_tags([run], {f"t{self.count}": "x", "contested": str(self.count)})
        self.tags.setdefault(run.id, {})[f"t{self.count}"] = "x"

    def rename(self, repo: Repo) -> None:
        run = self.some_run(repo)
        self.count += 1
        if run is not None:
            repo.rename_run(run, f"renamed{self.count}")

    def delete(self, repo: Repo) -> None:
        run = self.some_run(repo)
        if run is not None:
            (repo.restore_runs if run.deleted else repo.delete_runs)([run])

    def resume(self, repo: Repo) -> None:
        run = self.some_run(repo)
        if run is None:
            return
        began = repo.resume_run(run.id, name=None, notes={})
        self.write_points(run.id, began.journal, 2)
        repo.recorder().end(began, "finished", 0)

    def pull(self, repo: Repo) -> None:
        repo.pull("origin", deadline_s=60)

    def push(self, repo: Repo) -> None:
        repo.push("origin", deadline_s=60)

    def fetch(self, clone: GitRepo) -> None:
        """The user's own git, in shallow clones with a depth that cuts our history, too."""
        depth = ["--depth", "1"] if os.path.exists(os.path.join(clone.path, ".git/shallow")) else []
        clone.git("fetch", "-q", *depth)
        if self.chance.random() < 0.5:
            with Repo.find(clone.path) as repo:
                repo.search_runs()

    def commit(self, clone: GitRepo) -> None:
        self.count += 1
        clone.write("code.py", f"{self.count}\n")
        if self.chance.random() < 0.5:
            clone.commit()

    def pack(self, clone: GitRepo) -> None:
        clone.git("gc", "-q", "--prune=now")

    def kill(self, clone: GitRepo) -> None:
        self.count += 1
        process = subprocess.Popen(
            [sys.executable, "-c", DOOMED, f"doomed{self.count}"], cwd=clone.path, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": ROOT, "GITTRACK_ENVIRONMENT_CAPTURE": "no"},
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(self.chance.uniform(0.2, 2.5))
        process.kill()
        out, _ = process.communicate()
        for line in out.splitlines():
            kind, run_id, *rest = line.split(" ")
            self.runs.add(run_id)
            if kind == "point":
                self.points.add((run_id, int(rest[0]), float(rest[0])))

    # -- the end -------------------------------------------------------------------------

    def settle(self) -> None:
        for _ in range(2):
            for clone in self.chance.sample(self.clones, CLONES):
                with Repo.find(clone.path) as repo:
                    repo.recover(force=True)
                    repo.pull("origin")
                    repo.push("origin")
        for clone in self.clones:
            with Repo.find(clone.path) as repo:
                repo.pull("origin")

    def check(self) -> None:
        tips = {tip(clone) for clone in self.clones}
        tips.add(GitRepo(self.folder / "hub.git").git("rev-parse", "refs/gittrack/store/main"))
        assert len(tips) == 1
        contested: list[dict[str, tuple[str, str | None]]] = []
        for clone in (self.clones[0], self.clones[3], self.clones[-1]):
            with Repo.find(clone.path) as repo:
                runs = {run.id: run for run in repo.search_runs("", include_deleted=True)}
                assert self.runs <= runs.keys()
                for run_id, params in self.params.items():
                    assert {k: runs[run_id].params.get(k) for k in params} == params
                for run_id, tags in self.tags.items():
                    assert tags.items() <= runs[run_id].tags.items()
                found = {
                    (run_id, point.value)
                    for run_id in self.runs
                    for point in repo.get_metric_history(run_id, "m")
                }
                assert {(run_id, value) for run_id, _, value in self.points} <= found
                contested.append({r.id: (r.name, r.tags.get("contested")) for r in runs.values()})
        assert contested[0] == contested[1] == contested[2]
        for clone in self.clones:
            # A clone that was whole stays so, and its worktree is its user's.
            shallow = os.path.exists(os.path.join(clone.path, ".git", "shallow"))
            assert shallow is (self.clones.index(clone) % 3 == 0 and clone is not self.clones[0])
            assert clone.git("fsck", "--connectivity-only", "--no-dangling") == ""


@pytest.mark.deep
@pytest.mark.parametrize("seed", [1, 2])
def test_eight_clones_lose_nothing_and_come_to_one_tip(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITTRACK_ENVIRONMENT_CAPTURE", "no")
    simulation = Simulation(tmp_path, seed)
    for _ in range(STEPS):
        try:
            simulation.step()
        except RunNotFoundError:
            continue  # somebody had named it so, or not yet
        except GittrackError as error:
            raise AssertionError(str(error)) from error
    simulation.settle()
    simulation.check()
