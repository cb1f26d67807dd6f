"""Which data went into runs: recorded, found, compared, listed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import gittrack
from gittrack import Dataset
from gittrack.core import codec
from gittrack.core.diff import CHANGED
from gittrack.errors import (
    DatasetNotFoundError,
    InvalidNameError,
    InvalidValueError,
    QueryError,
    UsageError,
)
from gittrack.repo import Repo
from gittrack.store import layout
from tests.repo.conftest import close
from tests.repo.test_dvc_gc import dvc
from tests.repo.test_hostile import EVIL, GOOD, forge
from tests.support import GitRepo

FRAME = pd.DataFrame({"x": [1, 2, 3], "y": ["a", "b", None]})


def record(name: str, *inputs: tuple[Any, str, str | None]) -> str:
    """A run with these datasets: data, name, context."""
    with gittrack.start_run(run_name=name) as run:
        for data, called, context in inputs:
            gittrack.log_input(data, called, context)
    close()
    return run.id


def test_a_run_has_its_datasets(here: GitRepo) -> None:
    here.write("data/a.txt", "hello\n")
    here.write("data/sub/b.txt", "b\n")
    with gittrack.start_run() as run:
        first = gittrack.log_input(
            FRAME, "train", "training", source="https://me:pw@x.org/t?token=s3cr3t"
        )
        gittrack.log_input(FRAME, "train", "validation")
        gittrack.log_input(FRAME.head(2), "train", "training")
        for _ in range(3):
            gittrack.log_input(np.zeros((2, 3)), context="test")
        gittrack.log_input(Path("data/a.txt"))
        gittrack.log_input("data/", "folder")
        gittrack.log_input(
            "s3://key:very-secret@bucket/data.parquet?sig=abcdefghijklmnopqrstuvwxyz0123"
        )
        journal = Path(here.path, ".git/gittrack/journal", run.id)
        lines = [line for file in journal.glob("*.log") for line in file.read_bytes().splitlines()]
        assert (
            sum(line.startswith(b"I ") for line in lines) == 7
        )  # what is said again is not written
        with Repo.find() as repo:
            live = repo.get_run(run.id)
    close()
    with Repo.find() as repo:
        (found,) = repo.search_runs()
        full = repo.get_inputs(found)
        assert found.inputs == live.inputs == tuple(item._replace(schema=()) for item in full)
        assert repo.fsck().findings == ()
        stored = repo.read_run_file(found, layout.INPUTS_FILE)
    assert first in full and first is not None
    assert (first.rows, first.columns, first.kind) == (3, 2, "pandas")
    assert first.source == "https://me:<redacted>@x.org/t?token=<redacted>"
    assert b"s3cr3t" not in stored and b"very-secret" not in stored and b"abcdefghijk" not in stored
    said = {(item.name, item.context, item.digest.partition(":")[0]) for item in full}
    assert said == {
        ("train", "training", "table"), ("train", "validation", "table"), ("dataset", "test", "array"),
        ("data/a.txt", "", "md5"), ("folder", "", "md5"),
        ("s3://key:<redacted>@bucket/data.parquet?sig=<redacted>", "", "uri"),
    }  # fmt: skip
    assert len([item for item in full if item.name == "train"]) == 3
    by_name = {item.name: item for item in full}
    assert by_name["data/a.txt"].digest == "md5:b1946ac92492d2347c6235b4d2611184"
    assert (by_name["folder"].files, by_name["folder"].size_bytes, by_name["folder"].source) == (
        2, 8, "data",
    )  # fmt: skip


class Explosive:
    """An array that cannot be had."""

    def __array__(self, *_: object, **__: object) -> Any:
        raise RuntimeError("the device is gone")


def test_wrong_use_is_an_error_that_names_the_argument_and_trouble_is_a_note(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        for data in (object(), 3, [], {"x": object()}):
            with pytest.raises(InvalidValueError, match="`data` cannot be recorded"):
                gittrack.log_input(data)
        with pytest.raises(InvalidValueError, match="there is no input nowhere"):
            gittrack.log_input("nowhere")
        os.mkfifo("pipe")
        with pytest.raises(InvalidValueError, match="neither a file nor a folder"):
            gittrack.log_input("pipe")
        with pytest.raises(InvalidNameError, match="dataset key"):
            gittrack.log_input(FRAME, "a\nb")
        with pytest.raises(InvalidNameError, match="context key"):
            gittrack.log_input(FRAME, "a", "")
        assert gittrack.log_input(Explosive(), "bad") is None
        odd = gittrack.log_input(pd.DataFrame({"o": [object()]}), "odd")
        assert odd is not None and odd.opaque == ("o",)
        gittrack.log_metric("still", 1)
    with pytest.raises(UsageError, match="has ended"):
        run.log_input(FRAME)
    close()
    with Repo.find() as repo:
        (found,) = repo.search_runs()
    assert found.metrics["still"].last == 1 and [item.name for item in found.inputs] == ["odd"]
    assert sorted(found.warnings) == [
        "log_input: data 'bad' could not be read: RuntimeError: the device is gone",
        "the digest of input 'odd' does not cover the values of o: they are objects of types that are not known",
    ]  # fmt: skip


#: What is opened of the data, by log_input alone.
WATCH = """
import sys
import gittrack
opened = []
sys.addaudithook(lambda event, args: event == "open" and opened.append(str(args[0])))
with gittrack.start_run() as run:
    for path in sys.argv[1:]:
        print(gittrack.log_input(path))
print([path for path in opened if path.endswith((".bin", ".txt", ".out"))])
"""


def watched(here: GitRepo, *paths: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", WATCH, *paths], cwd=here.path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(Path(gittrack.__file__).parents[1])}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


TOKEN = "ghp_" + "A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


def test_columns_bring_in_no_secret_and_no_megabyte(here: GitRepo) -> None:
    frame = pd.DataFrame({TOKEN: [object()], "x" * 100_000: [1]})
    with gittrack.start_run() as run:
        found = gittrack.log_input(frame, "odd")
    close()
    assert found is not None
    assert found.opaque == ("<redacted>",)
    assert [len(name) for name, _ in found.schema] == [10, 200]
    with Repo.find() as repo:
        kept = repo.get_run(run.id)
    assert "the values of <redacted>" in kept.warnings[0]


def test_data_that_fails_as_a_file_would_is_a_note(here: GitRepo) -> None:
    class Remote:
        def __array__(self, *_: object) -> np.ndarray[Any, Any]:
            raise OSError("the connection is gone")

    with gittrack.start_run() as run:
        assert gittrack.log_input(Remote(), "far") is None
        with pytest.raises(InvalidValueError, match="`source` is of type int"):
            gittrack.log_input(np.ones(1), source=5)  # type: ignore[arg-type]
        with pytest.raises(InvalidValueError) as raised:
            gittrack.log_input("jdbc:x://me:s3cr3t-pw@h\n1,2")
    assert raised.value.message == "there is no input jdbc:x://me:<redacted>@h"
    close()
    with Repo.find() as repo:
        (note,) = repo.get_run(run.id).warnings
    assert note == "log_input: data 'far' could not be read: OSError: the connection is gone"


def test_a_folder_of_which_a_part_cannot_be_read_has_no_digest(
    here: GitRepo, monkeypatch: pytest.MonkeyPatch
) -> None:
    here.write("data/a.txt", "a\n")
    here.write("data/locked/b.txt", "b\n")
    scan = os.scandir

    def refuse(path: str) -> Any:  # root may read everything, so no mode does
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    with gittrack.start_run() as run, monkeypatch.context() as patched:
        patched.setattr(os, "scandir", refuse)
        assert gittrack.log_input("data") is None
    close()
    with Repo.find() as repo:
        assert repo.get_run(run.id).warnings == (
            "input data could not be read: data/locked: Permission denied",
        )


def test_a_file_that_is_not_there_is_named(here: GitRepo) -> None:
    here.write("data/a.txt", "a\n")
    Path(here.path, "data", "link").symlink_to("nowhere")
    with gittrack.start_run() as run:
        assert gittrack.log_input("data") is None
    close()
    with Repo.find() as repo:
        (note,) = repo.get_run(run.id).warnings
    assert note == "input data could not be read: data/link: No such file or directory"


def test_what_dvc_leaves_out_of_a_folder_is_no_data(here: GitRepo) -> None:
    here.write("cloned/train.csv", "1\n")
    here.write("cloned/.git/HEAD", "ref: refs/heads/main\n")
    here.write("set/a.txt", "a\n")
    here.write("set/b.tmp", "b\n")
    here.write(".dvcignore", "*.tmp\n")
    dvc(here, ("init", "-q"), ("add", "-q", "cloned", "set"))
    with gittrack.start_run():
        tracked = {name: gittrack.log_input(name) for name in ("cloned", "set")}
        os.remove(os.path.join(here.path, "cloned.dvc"))
        here.write("cloned/.git/FETCH_HEAD", "changes by itself\n")
        read = gittrack.log_input("cloned")
        os.remove(os.path.join(here.path, "set", "a.txt"))
        changed = gittrack.log_input("set")
        here.write("other/.dvcignore", "*\n")
        plain = gittrack.log_input("other")
    assert {name: item.dvc for name, item in tracked.items() if item} == {
        "cloned": "cloned.dvc", "set": "set.dvc",
    }  # fmt: skip
    assert read is not None and read._replace(dvc="cloned.dvc") == tracked["cloned"]
    assert changed is not None and (changed.dvc, changed.files) == ("", 0)
    assert plain is not None and plain.files == 1


def test_what_dvc_tracks_is_not_read(here: GitRepo) -> None:
    here.write("data/big.bin", b"x" * 1000)
    here.write("set/a.txt", "a\n")
    here.write("set/deep/b.txt", "b\n")
    here.write("params.yaml", "a: 1\n")
    stage = "stages:\n  make:\n    cmd: cp params.yaml made.out\n    deps: [params.yaml]\n    outs: [made.out]\n"
    here.write("dvc.yaml", stage)
    here.write("plain.txt", "plain\n")
    dvc(here, ("init", "-q"), ("add", "-q", "data/big.bin", "set"), ("repro", "-q"))
    places = ["data/big.bin", "set", "made.out"]
    *said, opened = watched(here, *places)
    assert opened == "[]"
    assert watched(here, "plain.txt")[-1] == "['plain.txt']"  # what is watched is seen
    with Repo.find() as repo:
        tracked = {item.name: item for item in repo.search_runs()[-1].inputs}
    assert {name: item.dvc for name, item in tracked.items()} == {
        "data/big.bin": "data/big.bin.dvc", "set": "set.dvc", "made.out": "dvc.lock",
    }  # fmt: skip
    # The same as when it is read.
    for name in ("data/big.bin.dvc", "set.dvc", "dvc.lock"):
        os.rename(os.path.join(here.path, name), os.path.join(here.path, f"{name}.away"))
    watched(here, *places)
    with Repo.find() as repo:
        read = {item.name: item for item in repo.search_runs()[0].inputs}
    assert {name: item._replace(dvc="") for name, item in tracked.items()} == read
    for name in ("data/big.bin.dvc", "set.dvc", "dvc.lock"):
        os.rename(os.path.join(here.path, f"{name}.away"), os.path.join(here.path, name))
    # What was changed since is read, and what is not here has the digest that DVC has.
    here.write("data/big.bin", b"y" * 999)
    here.write("set/more.txt", "c\n")
    os.remove(os.path.join(here.path, "made.out"))
    *said, opened = watched(here, *places)
    assert "data/big.bin" in opened and "more.txt" in opened and "made.out" not in opened
    assert tracked["made.out"].digest in said[2]
    # In a folder of its own, from another one, by a file of another name; and DVC 2's digests.
    here.write("sub/x.dvc", f"wdir: ..\nouts:\n- md5: {'a' * 32}\n  size: 6\n  path: plain.txt\n")
    here.write("y.dvc", f"outs:\n- md5: {'b' * 32}\n  size: 6\n  path: plain.txt\n")
    here.write("broken.dvc", "outs: [")
    *said, opened = watched(here, os.path.join(here.path, "plain.txt"))
    assert opened == "[]" and f"md5-dos2unix:{'b' * 32}" in said[0]


def test_datasets_are_searched_compared_and_listed(here: GitRepo) -> None:
    newer = pd.DataFrame({"x": [1.5, 2], "y": ["a", "b"]})
    one = record("one", (FRAME, "train", "training"), (np.zeros(3), "test", None))
    two = record("two", (newer, "train", "training"), (FRAME, "train", "validation"))
    gone = record("gone", (FRAME, "other", None))
    record("none")
    with Repo.find() as repo:
        digest = repo.get_inputs(repo.get_run(one))[1].digest

        def found(where: str) -> list[str]:
            return [run.name for run in repo.search_runs(where)]

        assert found("datasets.name = 'train'") == ["two", "one"]
        assert found(f"dataset.digest = '{digest}' and dataset.name = 'train'") == ["two", "one"]
        assert found("datasets.context = 'validation'") == ["two"]
        assert found("datasets.name IN ('test', 'other')") == ["gone", "one"]
        assert found("datasets.name ILIKE 'TR%'") == ["two", "one"]
        assert found("datasets.name is null") == ["none"]
        assert found("not datasets.name = 'train'") == ["none", "gone"]
        for wrong in ("datasets.size = 3", "datasets.name = 3"):
            with pytest.raises(QueryError):
                found(wrong)
        with pytest.raises(QueryError):
            repo.search_runs("", ["datasets.name"])
        changes = repo.diff(repo.get_run(one), repo.get_run(two)).data
        assert [(item.key, item.kind) for item in changes] == [
            ("test", "removed"), ("train (training)", CHANGED), ("train (training): x", CHANGED),
            ("train (validation)", "added"),
        ]  # fmt: skip
        assert (changes[1].a.rows, changes[1].b.rows) == (3, 2)
        repo.delete_runs([repo.get_run(gone)])
        names = {item.name: item for item in repo.datasets()}
        assert list(names) == ["train", "test"]
        assert (names["train"].versions, names["train"].runs) == (2, 2)
        last, first = sorted(
            repo.dataset_versions("train"), key=lambda version: version.dataset.rows or 0
        )
        assert (last.dataset.rows, last.contexts) == (2, ("training",))
        assert [run.name for run in first.runs] == ["two", "one"]
        assert first.contexts == ("training", "validation")
        assert first.dataset.schema == (("x", "int64"), ("y", str(FRAME["y"].dtype)))
        for name in ("trian", "other"):
            with pytest.raises(DatasetNotFoundError):
                repo.dataset_versions(name)
        # A run that goes on counts too.
        with gittrack.start_run(run_name="live"):
            gittrack.log_input(FRAME, "fresh")
            assert repo.datasets()[0].name == "fresh"
            assert [run.name for run in repo.dataset_versions("fresh")[0].runs] == ["live"]
            assert found("datasets.name = 'fresh'") == ["live"]
            assert repo.get_inputs(repo.get_run("live"))[0].schema


def test_an_old_store_reads_the_same(repo: GitRepo) -> None:
    old = {"data/train.csv": {"digest": "md5:" + "9" * 32, "size": 4096}}
    new = {
        "a//0123456789ab": {"digest": "\x1b]0;evil\x07", "rows": "many", "schema": [[1, 2], "x"]}
    }
    forge(
        repo,
        {
            "run.yaml": codec.encode_mapping({"id": EVIL, "start": "2026-01-01T00:00:01.000Z"}),
            "inputs.set.yaml": codec.encode_mapping({**old, **new, "x": 3, "y": {"digest": []}}),
        },
    )
    with Repo.find(repo.path, {}) as opened:
        run = opened.get_run(EVIL)
        assert run.inputs == (
            Dataset("a", "\x1b]0;evil\x07"),
            Dataset("data/train.csv", "md5:" + "9" * 32, size_bytes=4096),
        )
        assert opened.get_run(GOOD).inputs == ()
        assert {item.name for item in opened.datasets()} == {"a", "data/train.csv"}
