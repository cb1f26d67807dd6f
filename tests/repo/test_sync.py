"""Clones converge through a bare repository, whoever pulls first."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from gittrack.core import join
from gittrack.core.codec import encode_mapping, encode_points, encode_stamps, segment_name
from gittrack.core.model import Stamp
from gittrack.core.names import DEFAULT_EXPERIMENT_ID
from gittrack.errors import CorruptStoreError, RemoteError, StoreFormatError
from gittrack.repo import Repo
from gittrack.repo.memory import Memory
from gittrack.repo.seal import first_files
from gittrack.repo.sync import join_into
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import CatFileReader
from gittrack.store.paths import find_paths
from gittrack.store.union import join_trees
from gittrack.store.write import Person, Tree, commit, read_ref
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ADA = Person("Ada", "ada@example.org")
REF = layout.STORE_REF


def clones(tmp_path: Path, count: int) -> list[GitRepo]:
    """Clones of one bare repository, each with a commit of the same code."""
    GitRepo.create(tmp_path / "hub.git", "--bare")
    first = GitRepo.create(tmp_path / "clone0")
    first.write("a.txt", "a\n")
    first.commit()
    first.git("remote", "add", "origin", "../hub.git")
    first.git("push", "-q", "-u", "origin", "HEAD")
    made = [first]
    for number in range(1, count):
        first.git("clone", "-q", "../hub.git", f"../clone{number}")
        made.append(GitRepo(tmp_path / f"clone{number}"))
    return made


def record(repo: GitRepo, name: str) -> str:
    script = (
        "import gittrack\n"
        f"with gittrack.start_run(run_name='{name}') as run:\n"
        "    gittrack.log_metric('m', 1); print(run.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo.path,
        env={**os.environ, "PYTHONPATH": ROOT}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def tip(repo: GitRepo) -> str:
    return repo.git("rev-parse", REF)


def tree(repo: GitRepo) -> str:
    return repo.git("rev-parse", f"{REF}^{{tree}}")


def names(repo: GitRepo) -> set[str]:
    with Repo.find(repo.path, {}) as opened:
        return {run.name for run in opened.search_runs()}


def test_two_clones_come_to_one_history(tmp_path: Path) -> None:
    a, b = clones(tmp_path, 2)
    record(a, "of-a")
    record(b, "of-b")
    with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
        assert one.share_remote().is_new and two.share_remote("origin").is_new
        assert not one.share_remote().is_new
        assert one.push("origin").sent == 1
        done = two.push("origin")
        assert (done.received, done.sent) == (1, 1)
        assert one.pull("origin").received == 1
        assert one.pull("origin").received == 0
    assert names(a) == names(b) == {"of-a", "of-b"}
    assert tip(a) == tip(b)
    # Plain git fetch goes on working, and the user's repository is as it was.
    a.git("fetch", "--prune")
    assert a.git("status", "--porcelain") == ""
    assert not os.path.exists(os.path.join(b.path, ".git", "FETCH_HEAD"))
    assert a.git("fsck", "--strict") == ""


def test_edits_on_both_sides_are_both_kept(tmp_path: Path) -> None:
    a, b = clones(tmp_path, 2)
    run_id = record(a, "one")
    with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
        one.share_remote(), two.share_remote()
        one.push("origin")
        two.pull("origin")
        one.set_tags([one.get_run(run_id)], {"x": "1", "both": "of a"})
        two.set_tags([two.get_run(run_id)], {"y": "2", "both": "of b"})
        one.push("origin")
        two.push("origin")
        one.pull("origin")
        tags = one.get_run(run_id).tags
        assert tags == two.get_run(run_id).tags
        assert tags == {"x": "1", "y": "2", "both": "of b"}
    assert tip(a) == tip(b)


def test_a_remote_that_is_not_there_is_an_error_that_says_so(tmp_path: Path) -> None:
    (a,) = clones(tmp_path, 1)
    record(a, "one")
    a.git("remote", "add", "gone", str(tmp_path / "nowhere"))
    with Repo.find(a.path, {}) as one:
        with pytest.raises(RemoteError, match="no remote 'nosuch'"):
            one.share_remote("nosuch")
        one.share_remote("gone")
        for step in (one.pull, one.push):
            with pytest.raises(RemoteError) as caught:
                step("gone", deadline_s=20)
            assert "nowhere" in caught.value.why
        assert one.unshare_remote("gone")
        assert one.shared_remotes() == []
    assert names(a) == {"one"}


def test_a_remote_that_does_not_answer_is_left_at_the_deadline(tmp_path: Path) -> None:
    (a,) = clones(tmp_path, 1)
    record(a, "one")
    script = tmp_path / "slow"
    script.write_text("#!/bin/sh\nexec sleep 60\n")
    script.chmod(0o755)
    a.git("remote", "add", "slow", "ssh://example.invalid/x")
    a.git("config", "core.sshCommand", str(script))
    with Repo.find(a.path, {}) as one, pytest.raises(RemoteError) as caught:
        one.push("slow", deadline_s=0.5)
    assert re.match(r"no answer within 0\.[4-9]\d? seconds", caught.value.why)


@pytest.mark.deep
def test_sixteen_that_push_at_once_lose_nothing(tmp_path: Path) -> None:
    made = clones(tmp_path, 8)
    for number, repo in enumerate(made):
        record(repo, f"run{number}")
    script = (
        "import sys; from gittrack.repo import Repo\n"
        "with Repo.find(sys.argv[1], {}) as repo:\n"
        "    repo.share_remote(); repo.push('origin')\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, repo.path],
            env={**os.environ, "PYTHONPATH": ROOT}, stderr=subprocess.PIPE, text=True,
        )
        for repo in made for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    with Repo.find(made[0].path, {}) as one:
        one.pull("origin")
        assert {run.name for run in one.search_runs()} == {f"run{n}" for n in range(8)}


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"readme": b"no store\n"}, CorruptStoreError),
        (
            {"store.yaml": b"format: 99\nmin_reader: 99\nmin_writer: 99\nepoch: 0\n"},
            StoreFormatError,
        ),
        ({"store.yaml": b"[1]\n"}, CorruptStoreError),
    ],
)
def test_a_store_that_is_none_is_refused(
    tmp_path: Path, files: Mapping[str, bytes], error: type[Exception]
) -> None:
    a, b = clones(tmp_path, 2)
    record(a, "mine")
    before = tip(a)
    git = Git(find_paths(b.path, {}))
    made = commit(git, REF, None, Tree(dict(files), "x\n"), ADA, 1, fsync=False)
    git.close()
    b.git("push", "-q", "origin", f"{made}:{REF}")
    with Repo.find(a.path, {}) as one:
        one.share_remote()
        with pytest.raises(error):
            one.pull("origin")
        with pytest.raises(error):
            one.push("origin")
    assert tip(a) == before
    assert names(a) == {"mine"}


# -- the join of two commits is the join of their files --------------------------------------


def some_store(random: random.Random, clock: int) -> dict[str, bytes]:
    """A store of a few runs out of few, so that two of them overlap in every way."""
    files = dict(first_files())
    for number in random.sample(range(5), random.randint(0, 4)):
        run_id = f"20260101-00000{number}-{number:012x}"
        folder = layout.run_dir(run_id)
        if random.random() < 0.15:
            files[layout.tombstone("run", run_id)] = b""
            continue
        files[f"{folder}/run.yaml"] = encode_mapping({"id": run_id, "v": random.choice([1, 1, 2])})
        if random.random() < 0.6:
            params = {key: random.choice([1, 2]) for key in random.sample("abc", 2)}
            files[f"{folder}/params.yaml"] = encode_mapping(params)
        notes = {
            f"tags.{key}": Stamp(random.choice("uvw"), clock + random.randint(0, 3), "w")
            for key in random.sample("xyz", random.randint(0, 3))
        }
        if notes:
            files[f"{folder}/notes.yaml"] = encode_stamps(notes)
        for segment in random.sample("123", random.randint(0, 2)):
            data = encode_points([("m", int(segment), 1, f"{segment}.0")])
            files[f"{folder}/metrics/{segment_name('w', data)}"] = data
        if random.random() < 0.3:
            files[f"{folder}/unknown/{random.choice('ab')}"] = random.choice([b"1", b"2"])
    if random.random() < 0.6:
        notes = {
            key: Stamp(random.choice("pqr"), clock + random.randint(0, 3), "w")
            for key in ("name", "tags.a")
        }
        files[f"experiments/{DEFAULT_EXPERIMENT_ID}/notes.yaml"] = encode_stamps(notes)
    if random.random() < 0.5:
        files[f"env/ab/{random.choice('cd') * 24}.yaml"] = b"python: 3\n"
    return files


def whole(git: Git, commit_id: str) -> dict[str, bytes]:
    listed = git.run("ls-tree", "-r", "-z", "--name-only", commit_id).decode().split("\0")
    found = git.cat_file().read_many(f"{commit_id}:{path}" for path in listed if path)
    return {
        path: item.data for path, item in zip([p for p in listed if p], found, strict=True) if item
    }


@pytest.mark.parametrize("seed", range(12))
def test_joining_commits_is_joining_files(tmp_path: Path, seed: int) -> None:
    repo = GitRepo.create(tmp_path / "repo")
    git = Git(find_paths(repo.path, {}))
    memory = Memory(git.common_dir)
    chance = random.Random(seed)
    for at in range(6):
        stores = [some_store(chance, at), some_store(chance, at)]
        # A store holds nothing of what its own tombstones name.
        stores = [join.join(store, store) for store in stores]
        commits = []
        for number, files in enumerate(stores):
            ref = f"refs/gittrack/store/side{at}{number}"
            write = Tree(dict(files), f"{at}\n")
            commits.append(commit(git, ref, None, write, ADA, at + 1, fsync=False))
        expected = join.join(*stores)
        for ours, theirs in (commits, commits[::-1]):
            git.run("update-ref", REF, ours)
            after = join_into(git, theirs, memory, fsync=False)
            assert whole(git, after) == expected
            # Twice is the same as once.
            assert join_into(git, theirs, memory, fsync=False) == after
        assert read_ref(git, REF) is not None
        # Either side joined with the join is the join.
        joined = repo.git("rev-parse", f"{REF}^{{tree}}")
        for side in commits:
            tree_of_side = repo.git("rev-parse", f"{side}^{{tree}}")
            assert join_trees(CatFileReader(git), joined, tree_of_side) == {}
    git.close()


@pytest.mark.parametrize("seed", range(12))
def test_clones_that_meet_in_any_order_come_to_rest(tmp_path: Path, seed: int) -> None:
    """Four clones write, and pull from each other at random; then all pull until nothing moves."""
    chance = random.Random(seed)
    repos = [GitRepo.create(tmp_path / f"c{n}") for n in range(4)]
    gits = [Git(find_paths(repo.path, {})) for repo in repos]
    clock, written = 0, set()
    for at in range(24):
        one, two = chance.sample(range(4), 2)
        if chance.random() < 0.5:
            clock += 1
            run_id = f"20260101-000000-{clock:012x}"
            path = f"{layout.run_dir(run_id)}/run.yaml"
            files: dict[str, bytes | None] = {path: encode_mapping({"id": run_id})}
            old = read_ref(gits[one], REF)
            if old is None:
                files.update(first_files())
            commit(gits[one], REF, old, Tree(files, f"{at}\n"), ADA, at + 1, fsync=False)
            written.add(path)
        else:
            meet(repos, gits, one, two)
    for _ in range(8):
        for one in range(4):
            meet(repos, gits, one, (one + 1) % 4)
    tips = {read_ref(git, REF) for git in gits}
    assert len(tips) == 1
    (last,) = tips
    assert last is None or written <= set(whole(gits[0], last))
    for git in gits:
        git.close()


def meet(repos: list[GitRepo], gits: list[Git], one: int, two: int) -> None:
    """The first takes what the second has."""
    theirs = read_ref(gits[two], REF)
    if theirs is not None:
        repos[one].git("fetch", "-q", "--no-write-fetch-head", repos[two].path, theirs)
        join_into(gits[one], theirs, Memory(gits[one].common_dir), fsync=False, is_peer=True)


def test_what_plain_git_brought_is_seen_without_a_commit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    a, b = clones(tmp_path, 2)
    with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
        lines = one.init().lines + two.init().lines
        assert sum("wrote a fetch refspec" in line for line in lines) == 2
    # Two stores that were made apart begin with the same commit.
    assert tip(a) == tip(b)
    record(a, "one")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    b.git("pull", "-q")
    assert names(b) == {"one"}
    assert tip(a) == tip(b)
    record(a, "two")
    record(b, "mine")
    with Repo.find(a.path, {}) as one:
        one.push("origin")
    b.git("fetch", "-q")
    before = tip(b)
    capfd.readouterr()
    # A read shows the union of both, and commits nothing.
    assert names(b) == {"one", "two", "mine"}
    with Repo.find(b.path, {}) as two:
        assert two.status().unjoined == ("origin",)
        assert two.get_metric_history("two", "m")[0].value == 1
    assert tip(b) == before
    # A write makes the join.
    with Repo.find(b.path, {}) as two:
        two.set_tags([two.get_run("two")], {"seen": "yes"})
        assert two.status().unjoined == ()
        assert {run.name for run in two.search_runs()} == {"one", "two", "mine"}
        assert two.get_run("two").tags == {"seen": "yes"}
        assert two.push("origin").sent == 2
    assert capfd.readouterr().err == ""
    with Repo.find(a.path, {}) as one:
        assert one.pull("origin").received == 2
    assert tip(a) == tip(b)


def test_two_joins_of_the_same_runs_do_not_block_a_push(tmp_path: Path) -> None:
    """Joined in another order, the same commits give another join, which git would not replace."""
    made = clones(tmp_path, 4)
    for number, repo in enumerate(made[:3]):
        record(repo, f"run{number}")
    roots = [tip(repo) for repo in made[:3]]
    work = made[3]
    for number, repo in enumerate(made[:3]):
        work.git("fetch", "-q", repo.path, f"{REF}:refs/gittrack/store/r{number}")
    git = Git(find_paths(work.path, {}))
    joins = []
    for order in ((0, 1, 2), (1, 2, 0)):
        git.run("update-ref", REF, roots[order[0]])
        for number in order[1:]:
            join_into(git, roots[number], Memory(git.common_dir), fsync=False)
        joins.append(tip(work))
    assert joins[0] != joins[1]
    git.run("push", "-q", "origin", f"{joins[1]}:{REF}")
    git.run("update-ref", REF, joins[0])
    git.close()
    for number in range(3):
        work.git("update-ref", "-d", f"refs/gittrack/store/r{number}")
    record(work, "new")
    with Repo.find(work.path, {}) as opened:
        opened.share_remote()
        assert opened.push("origin").sent == 1
    with Repo.find(made[0].path, {}) as other:
        other.share_remote()
        other.pull("origin")
        assert {run.name for run in other.search_runs()} == {"run0", "run1", "run2", "new"}
    assert tip(made[0]) == tip(work)
