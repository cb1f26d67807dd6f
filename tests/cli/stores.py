"""Stores whose every byte is known, ids included: empty, with one run, with 300 runs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from gittrack.core import codec, names
from gittrack.core.model import Metric, Stamp
from gittrack.core.record import warning_key
from gittrack.repo.seal import experiment_files, first_files
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, commit
from tests.cli.conftest import Project

#: 2026-11-01T00:00:00Z.
START_MS = 1_793_491_200_000
ADA = Person("Ada Tester", "ada@example.com")
BOB = Person("Bob Tester", "bob@example.com")


def build(folder: Path, runs: int) -> Project:
    """A repository with two commits and a branch, and so many runs."""
    project = Project(Project.create(folder).path)
    project.write("train.py", "print('one')\n")
    project.commit("one")
    project.write("train.py", "print('two')\n")
    project.write("model.py", "depth = 3\n")
    project.commit("two")
    if not runs:
        return project
    commits = project.git("rev-list", "--reverse", "HEAD").split()
    trees = [project.git("rev-parse", f"{commit}^{{tree}}") for commit in commits]
    git = Git(find_paths(project.path, {}))
    files: dict[str, bytes | None] = dict(first_files())
    files.update(experiment_files(names.experiment_id("iris"), "iris"))
    for number in range(runs):
        files.update(run_files(number, commits[number % 2], trees[number % 2]))
    tip = commit(
        git,
        layout.STORE_REF,
        None,
        _tree(files, f"{runs} runs"),
        ADA,
        START_MS // 1000,
        fsync=False,
    )
    edited = dict(run_files(0, commits[0], trees[0]))
    path = f"{layout.run_dir(run_id(0))}/{layout.NOTES_FILE}"
    stamps = codec.decode_stamps(edited[path])
    stamps["tags.team"] = Stamp("vision", START_MS + 10_000_000, "ed17")
    stamps["description"] = Stamp("The first\n\nof all.", START_MS + 10_000_000, "ed17")
    later = _tree({path: codec.encode_stamps(stamps)}, "tag run")
    commit(git, layout.STORE_REF, tip, later, BOB, START_MS // 1000 + 60, fsync=False)
    git.close()
    return project


def _tree(files: dict[str, bytes | None], message: str) -> object:
    from gittrack.store.write import Tree

    return Tree(dict(files), f"{message} [skip ci]\n")


def run_id(number: int) -> str:
    return names.new_run_id(START_MS + number * 60_000, number.to_bytes(6, "big"))


def run_files(number: int, commit_id: str, tree: str) -> dict[str, bytes]:
    """The folder of one run; some are failed, deleted, dirty, hostile or large."""
    start_ms = START_MS + number * 60_000
    name = f"run-{number}"
    if number == 7:
        name = "evil \u202ename \u65e5\u672c\u8a9e"
    if number == 8:
        name = "long-" + "name-" * 59
    facts = {
        "argv": ["python", "train.py", "--seed", str(number)],
        "author": "Ada Tester <ada@example.com>" if number % 3 else "Bob Tester <bob@example.com>",
        "author_source": "git",
        "base": commit_id,
        "branch": "main",
        "commit": commit_id,
        "dirty": False,
        "entry": "train.py",
        "experiment": names.experiment_id("iris")
        if number % 2 == 0
        else names.DEFAULT_EXPERIMENT_ID,
        "host": "node1",
        "id": run_id(number),
        "start": codec.format_time(start_ms),
        "tree": tree,
    }
    if number in (3, 4):
        facts["parent"] = run_id(2)
    if number == 5:
        facts["parent"] = run_id(4)
    params: dict[str, object] = {"lr": 0.1 / (1 + number % 5), "model": "rf", "seed": number}
    if number == 6:
        params.update({f"p{i:03d}": i for i in range(120)}, prompt="x" * 5000)
    points = [
        Metric(key, value, step, start_ms + step * 1000)
        for step in range(12)
        for key, value in (
            ("acc", 0.5 + 0.4 * (1 - math.exp(-(step + number % 7) / 4))),
            ("loss", math.exp(-(step + number % 5) / 3)),
        )
    ]
    rows = [(p.key, p.step, p.timestamp, repr(p.value)) for p in points]
    segment = codec.encode_points(rows)
    segment_name = codec.segment_name("w0", segment)
    status = "failed" if number % 11 == 10 else "finished"
    notes = {
        "name": Stamp(name, start_ms, "w0"),
        "status": Stamp(status, start_ms + 12_000, "w0"),
        "end": Stamp(codec.format_time(start_ms + 12_000), start_ms + 12_000, "w0"),
    }
    if status == "failed":
        notes["exit"] = Stamp(1, start_ms + 12_000, "w0")
    if number == 9:
        notes["deleted"] = Stamp(True, start_ms + 20_000, "w0")
    if number == 12:
        text = "an artifact was left out"
        notes[warning_key(text)] = Stamp(text, start_ms, "w0")
    folder = layout.run_dir(run_id(number))
    return {
        f"{folder}/{layout.RUN_FILE}": codec.encode_mapping(facts),
        f"{folder}/{layout.PARAMS_FILE}": codec.encode_mapping(params),
        f"{folder}/{layout.NOTES_FILE}": codec.encode_stamps(notes),
        f"{folder}/{layout.METRICS_DIR}/{segment_name}": segment,
        f"{folder}/{layout.METRICS_FILE}": codec.encode_summaries(
            [segment_name], codec.summarise(points)
        ),
    }


def build_history(folder: Path, values: Sequence[Sequence[float]]) -> Project:
    """A repository with a commit for each of these, and at it a run for each value of `acc`."""
    project = Project(Project.create(folder).path)
    files: dict[str, bytes | None] = dict(first_files())
    number = 0
    for at, here in enumerate(values):
        project.write("train.py", f"rate = {0.1 if at < 6 else 0.3}\nprint({at})\n")
        if at == 6:
            project.write("data/clean.py", "keep = True\n")
        commit_id = project.commit(f"work {at}")
        tree = project.git("rev-parse", "HEAD^{tree}")
        for value in here:
            files.update(measured_run(number, commit_id, tree, at, value))
            number += 1
    with closing(Git(find_paths(project.path, {}))) as git:
        write = _tree(files, f"{number} runs")
        commit(git, layout.STORE_REF, None, write, ADA, START_MS // 1000, fsync=False)
    return project


def measured_run(number: int, commit_id: str, tree: str, at: int, value: float) -> dict[str, bytes]:
    """The folder of one finished run with a value of `acc`."""
    start_ms = START_MS + number * 60_000
    facts = {
        "author": "Ada Tester <ada@example.com>", "author_source": "git", "base": commit_id,
        "branch": "main", "commit": commit_id, "dirty": False, "entry": "train.py",
        "experiment": names.DEFAULT_EXPERIMENT_ID, "host": "node1", "id": run_id(number),
        "start": codec.format_time(start_ms), "tree": tree,
    }  # fmt: skip
    notes = {
        "name": Stamp(f"try-{number}", start_ms, "w0"),
        "status": Stamp("finished", start_ms + 9, "w0"),
        "end": Stamp(codec.format_time(start_ms + 9), start_ms + 9, "w0"),
    }
    points = [Metric("acc", value, 0, start_ms)]
    segment = codec.encode_points((p.key, p.step, p.timestamp, repr(p.value)) for p in points)
    segment_name = codec.segment_name("w0", segment)
    folder = layout.run_dir(run_id(number))
    return {
        f"{folder}/{layout.RUN_FILE}": codec.encode_mapping(facts),
        f"{folder}/{layout.PARAMS_FILE}": codec.encode_mapping({"rate": 0.1 if at < 6 else 0.3}),
        f"{folder}/{layout.NOTES_FILE}": codec.encode_stamps(notes),
        f"{folder}/{layout.METRICS_DIR}/{segment_name}": segment,
        f"{folder}/{layout.METRICS_FILE}": codec.encode_summaries(
            [segment_name], codec.summarise(points)
        ),
    }
