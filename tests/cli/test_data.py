"""What the command line says of the data that went in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.cli import main as cli
from gittrack.cli.output import text as t
from gittrack.cli.output.formats import LIST_FORMATS
from gittrack.core import codec
from gittrack.core.dataset import encode_dataset
from gittrack.core.model import Dataset, Stamp
from gittrack.repo.seal import first_files
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit
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
    unknown = project.gittrack("data", "--where", "name = 'a'")
    assert (unknown.returncode, "unrecognized arguments: --where" in unknown.stderr) == (2, True)
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
    assert newest["digest"][:16] in table and newest["runs"][0] in table
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


TRAIN = Dataset(
    "train", f"table:{'a' * 24}", "training", "s3://flowers/train.parquet", "pandas", rows=12_000_000,
    columns=3, sampled=True, opaque=("box",),
    schema=(("length", "float64"), ("kind \u202e", "str"), ("box", "object")),
)  # fmt: skip
NEWER = TRAIN._replace(
    digest=f"table:{'b' * 24}", rows=12_000_100, schema=(("length", "float32"), ("wide", "int8"))
)
FILE = Dataset(
    "data/flowers.csv", f"md5:{'c' * 32}", source="data/flowers.csv", kind="file", size_bytes=4_551,
    dvc="data/flowers.csv.dvc",
)  # fmt: skip
ARRAY = Dataset(
    "images", f"array:{'d' * 24}", kind="numpy", size_bytes=376_320, rows=120, shape=(120, 28, 28),
    schema=(("", "float32"),),
)  # fmt: skip
INPUTS = [
    [TRAIN, TRAIN._replace(context="validation"), FILE],
    [NEWER, TRAIN._replace(context="validation"), ARRAY],
]


def test_what_is_printed(
    project: Project, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
    golden: Callable[[str, str], None],
) -> None:  # fmt: skip
    files: dict[str, bytes | None] = dict(first_files())
    for number, inputs in enumerate(INPUTS):
        run_id = f"20261123-15301{number}-{number:012x}"
        facts = {"id": run_id, "start": f"2026-11-23T15:30:1{number}.000Z"}
        notes = {"name": Stamp(f"run-{number}", 1, "w"), "status": Stamp("finished", 1, "w")}
        for name, data in (
            (layout.RUN_FILE, codec.encode_mapping(facts)),
            (layout.NOTES_FILE, codec.encode_stamps(notes)),
            (layout.INPUTS_FILE, codec.encode_mapping(dict(map(encode_dataset, inputs)))),
        ):
            files[f"{layout.run_dir(run_id)}/{name}"] = data
    git = Git(find_paths(project.path, {}))
    commit(git, layout.STORE_REF, None, Tree(files, "x\n"), Person("A", "a@b.c"), 1, fsync=False)
    git.close()
    monkeypatch.chdir(project.path)
    machine = [
        [*words, "--format", form]
        for words in (["data"], ["data", "train"])
        for form in LIST_FORMATS[1:]
    ]
    commands = [
        ["data"], ["data", "train"],
        ["show", "run-0", "--data"], ["show", "run-1"], ["diff", "run-0", "run-1"],
        ["fsck"],
        ["log", "--columns", "name,datasets.train,datasets.images"],
    ]  # fmt: skip
    printed = []
    for columns in ("40", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        for command in [*commands, *(machine if columns == "80" else [])]:
            assert cli.main(command) == 0
            printed.append(f"$ COLUMNS={columns} gittrack {' '.join(command)}\n")
            printed.append(capfd.readouterr().out + "\n")
    golden("data.txt", "".join(printed))
