"""Several tips are read as their join would be, refreshed bit by bit or built anew."""

from __future__ import annotations

import random

import pytest

from gittrack.core.model import Experiment, Run
from gittrack.repo import stored
from gittrack.repo.memory import Memory
from gittrack.repo.sync import join_into
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit
from tests.repo.test_sync import some_store
from tests.support import GitRepo

ADA = Person("Ada", "ada@example.org")
REFS = [layout.STORE_REF, "refs/gittrack/remote/a/store/main", "refs/gittrack/remote/b/store/main"]


class Known:
    """What an index holds: runs and experiments, changed by what `find_changes` tells."""

    def __init__(self, git: Git) -> None:
        self._reader = CatFileReader(git)
        self.tips: dict[str, str] = {}
        self.runs: dict[str, Run] = {}
        self.experiments: dict[str, Experiment] = {}

    def refresh(self, tips: dict[str, str]) -> Known:
        changes = stored.find_changes(self._reader, self.tips, tips)
        self.tips = dict(tips)
        for run_id in changes.gone:
            self.runs.pop(run_id, None)
        for run in stored.read_runs(self._reader, changes.runs, str):
            self.runs[run.id] = run
        for item in stored.read_experiments(self._reader, changes.experiments):
            self.experiments[item.id] = item
        return self


def joined(git: Git, tips: dict[str, str]) -> dict[str, str]:
    """One tip that is the committed join of several."""
    first, *others = tips.values()
    git.run("update-ref", layout.STORE_REF, first)
    tip = first
    for other in others:
        tip = join_into(git, other, Memory(git.common_dir), fsync=False)
    return {layout.STORE_REF: tip}


@pytest.mark.parametrize("seed", range(10))
def test_a_refresh_is_a_rebuild_is_the_join(repo: GitRepo, seed: int) -> None:
    git = Git(find_paths(repo.path, {}))
    chance = random.Random(seed)
    commits = []
    for at in range(6):
        files = some_store(chance, at)
        made = Tree(dict(files), f"{at}\n")
        ref = f"refs/gittrack/store/side{at}"
        commits.append(commit(git, ref, None, made, ADA, at + 1, fsync=False))
    known = Known(git)
    for _ in range(12):
        refs = chance.sample(REFS, chance.randint(1, 3))
        tips = {ref: chance.choice(commits) for ref in refs}
        known.refresh(tips)
        anew = Known(git).refresh(tips)
        assert known.runs == anew.runs
        one = Known(git).refresh(joined(git, tips))
        assert anew.runs == one.runs
        assert anew.experiments == one.experiments
        for run_id in (f"20260101-00000{n}-{n:012x}" for n in range(5)):
            record = stored.read_record(CatFileReader(git), tips, run_id)
            assert (record is not None) == (run_id in anew.runs)
            assert set(stored.read_folder(CatFileReader(git), tips, run_id)) == set(
                stored.read_folder(CatFileReader(git), one.tips, run_id)
            )
    git.close()
