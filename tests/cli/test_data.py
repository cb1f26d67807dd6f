"""What the command line says of the data that went in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gittrack.cli.output import text as t
from gittrack.core.model import Dataset
from tests.cli.conftest import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(Project.create(tmp_path / "repo").path)
    made.write("a.txt", "a\n")
    made.write("b.txt", "b\n")
    made.commit()
    return made


def said(project: Project, *args: str) -> str:
    done = project.gittrack(*args, COLUMNS="100")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_inputs_of_a_program_are_listed_and_compared(project: Project) -> None:
    assert "no run has recorded data" in project.gittrack("data").stderr
    uri = "https://ada:pass-word-9@example.org/x?token=abcd-1234"
    shell = ("--", "sh", "-c", "true")
    project.gittrack("run", "--name", "one", "--input", "a.txt", "--input", uri, *shell)
    project.write("a.txt", "changed\n")
    project.gittrack("run", "--name", "two", "--input", "a.txt", "--input", "b.txt", *shell)
    assert project.gittrack("start", "--name", "three", "--input", "b.txt").returncode == 0
    listed = json.loads(said(project, "data", "--format", "json"))
    assert {item["name"]: (item["versions"], item["runs"]) for item in listed} == {
        "a.txt": (2, 2), "b.txt": (1, 2), "https://ada:<redacted>@example.org/x?token=<redacted>": (1, 1),
    }  # fmt: skip
    assert said(project, "data").splitlines()[0].split() == [
        "name", "versions", "runs", "last", "digest",
    ]  # fmt: skip
    newest, oldest = json.loads(said(project, "data", "a.txt", "--format", "json"))
    assert (newest["size"], oldest["size"], newest["kind"]) == (8, 2, "file")
    assert len(newest["runs"]) == len(oldest["runs"]) == 1
    table = said(project, "data", "a.txt")
    assert newest["digest"] in table and newest["runs"][0] in table
    csv = said(project, "data", "a.txt", "--format", "csv").splitlines()
    assert (
        csv[0] == "digest,kind,rows,columns,shape,size,files,sampled,source,dvc,context,last,runs"
    )
    diff = said(project, "diff", "one", "two")
    assert (
        "~ a.txt" in diff and "2 B  md5:" in diff and "-> 8 B  md5:" in diff and "+ b.txt" in diff
    )
    changes = json.loads(said(project, "diff", "one", "two", "--format", "json"))["data"]
    assert changes["a.txt"]["change"] == "changed" and changes["a.txt"]["b"]["size"] == 8
    assert "a.txt" in said(project, "show", "two", "--data")
    shown = json.loads(said(project, "show", "two", "--format", "json"))
    assert [item["name"] for item in shown["inputs"]] == ["a.txt", "b.txt"]
    log = said(project, "log", "--columns", "name,datasets.*", "--format", "csv").splitlines()
    assert log[0].startswith("name,datasets.a.txt,datasets.b.txt,")
    assert said(project, "log", "--where", "datasets.name = 'b.txt'", "--format", "%s").split() == [
        "three", "two",
    ]  # fmt: skip
    assert "a.txt" in said(project, "__complete", "data", "a")
    wrong = project.gittrack("data", "a.tx")
    assert wrong.returncode == 1 and "did you mean 'a.txt'?" in wrong.stderr


def test_a_name_of_the_store_cannot_steer_a_terminal() -> None:
    evil = Dataset("x", "md5:\x1b]0;evil\x07", rows=3, columns=2, sampled=True)
    assert t.data_text(evil) == "3 x 2  md5:\\x1b]0;evil\\x07  (of a sample)"
    array = Dataset("x", f"array:{'a' * 24}", shape=(1000, 2), size_bytes=16_000, files=2)
    assert t.data_text(array, short=True) == "1,000 x 2  2 files  16 kB  array:aaaaaaaaaaaa"
    assert t.data_text(array._replace(shape=())).startswith("one value")
