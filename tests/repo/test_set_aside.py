"""A damaged run stops nobody: the others are listed, shown, edited, recorded and exchanged."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gittrack.cli import main as cli
from gittrack.repo import Repo
from gittrack.store import layout
from tests.repo.fsck import ROOT, Lab, make_honest
from tests.repo.test_fsck import BAD_YAML, HEAD, fact, noted, written
from tests.store.test_inspect import Forger

DAMAGED = "(damaged)"


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("honest")


@pytest.fixture
def world(honest: Path, tmp_path: Path) -> Iterator[tuple[Lab, Lab]]:
    """Two clones of one hub that have both changed the run `clean` since they met."""
    if not (honest / "ids.json").exists():
        make_honest(honest)
    shutil.copytree(honest / "hub.git", tmp_path / "hub.git")
    a, b = Lab(honest, tmp_path / "a", "a"), Lab(honest, tmp_path / "b", "b")
    for lab in (a, b):
        with Repo.find(lab.repo.path, {}) as opened:
            opened.set_tags([opened.get_run("clean")], {"by": lab.repo.path[-1]})
    yield a, b
    for lab in (a, b):
        lab.git.close()


def in_run(name: str) -> Callable[[Lab], str]:
    return lambda lab: f"{lab.folder('clean')}/{name}"


def spoilt(how: str, name: str = "") -> Callable[[Lab], None]:
    """An object of the run is damaged on disk."""

    def change(lab: Lab) -> None:
        path = f"{lab.folder('clean')}/{name}".rstrip("/")
        if name.endswith("/*"):
            path = lab.one(path[:-2])
        lab.loosen()
        lab.spoil(how, lab.oid(path))

    return change


def forged(name: str, mode: str) -> Callable[[Lab], None]:
    """An entry that no store has."""

    def change(lab: Lab) -> None:
        forger = Forger(lab.repo, lab.repo.git("rev-parse", layout.STORE_REF))
        made = forger.at(f"{lab.folder('clean')}/{name}", mode, forger.blob(b"x"))
        lab.repo.git("update-ref", layout.STORE_REF, made)
        forger.git.close()

    return change


#: What happens to the run, and whether a list of runs can tell.
CASES: dict[str, tuple[Callable[[Lab], object], bool]] = {
    **{
        f"{name} is no YAML": (written("clean", name, BAD_YAML), seen)
        for name, seen in (
            ("run.yaml", True), ("params.yaml", True), ("notes.yaml", True), ("metrics.yaml", True),
            ("artifacts.yaml", True), ("source.yaml", True), ("inputs.set.yaml", False),
            ("conflicts.set.yaml", True), ("disk.yaml", False),
        )
    },
    "no run.yaml": (written("clean", "run.yaml", None), True),
    "no start": (fact("clean", "run.yaml", "start", "today"), True),
    "no end": (noted("clean", "end", "soon", 2**52), True),
    "a segment": (written("clean", "metrics/w-000000000000.csv", b"rubbish\n"), True),
    "a value": (written("clean", "metrics/w-000000000000.csv", HEAD + b"m,0,1,x\n"), True),
    **{
        f"{name or 'the folder'} is {how}": (spoilt(how, name), seen)
        for name, seen in (
            ("run.yaml", True), ("notes.yaml", True), ("params.yaml", True), ("metrics.yaml", True),
            ("artifacts.yaml", True), ("metrics", True), ("", True), ("artifacts", False),
            ("artifacts/report.txt", False), ("writers", False),
        )
        # What cannot be read cannot be read; one of each kind shows that the way does not matter.
        for how in ("deleted", "cut short", "flipped at its end")
        if how == "deleted" or name in ("notes.yaml", "metrics", "")
    },
    "a symlink": (forged("artifacts/x", "120000"), False),
    "a name": (forged("a:b", "100644"), True),
    "a submodule": (forged("metrics/x", "160000"), True),
}  # fmt: skip


def _deep(case: str) -> bool:
    """Of files that are read in one way, one of each kind stands for the others."""
    name, _, how = case.partition(" is ")
    if how == "no YAML":
        return name not in ("run.yaml", "notes.yaml", "artifacts.yaml", "disk.yaml")
    if how == "deleted":
        return name not in ("run.yaml", "metrics", "the folder", "artifacts")
    return bool(how)


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=[pytest.mark.deep] if _deep(c) else []) for c in CASES]
)
def test_a_damaged_run_stops_nobody(
    world: tuple[Lab, Lab], case: str, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    a, b = world
    damage, is_seen = CASES[case]
    damage(a)
    index = Path(a.git.common_dir, "gittrack", "index.sqlite")
    index.unlink()
    a.git.close()
    monkeypatch.chdir(a.repo.path)
    clean = a.ids["clean"]

    said: list[str] = []

    def call(*args: str, codes: tuple[int, ...] = (0,)) -> str:
        code = cli.main(list(args))
        out, err = capfd.readouterr()
        assert code in codes, (args, out, err)
        said.append(err)
        return out

    names = call("log", "--format", "%s").split("\n")
    assert {"nested", "dirty", "dirty too", "theirs"} <= set(names)
    assert (DAMAGED in names) is is_seen
    assert ("clean" in names) is not is_seen
    # Bit by bit it is the same as anew.
    call("tag", "dirty", "a=b")
    again = call("log", "--format", "%s").split("\n")
    assert again == names
    for name in ("nested", "dirty", "theirs"):
        assert name in call("show", name)
    # Whoever asks for that run itself may be told why not; nothing breaks.
    for args in (("show", clean), ("show", f"{clean}:"), ("show", clean, "--files"),
                 ("diff", clean, "dirty"), ("tag", clean, "x=y", "--dry-run"), ("history", clean)):  # fmt: skip
        call(*args, codes=(0, 1))
    call("status")
    # A process of its own: it waits for signals, which threads of this one might get.
    run_new = [sys.executable, "-m", "gittrack", "run", "--name", "new", "--", "true"]
    subprocess.run(run_new, check=True, capture_output=True)
    assert "new" in call("log", "--format", "%s").split("\n")
    call("fsck", codes=(0, 1))
    # Their store changed the same run, and both are joined.
    with Repo.find(b.repo.path, {}) as two:
        two.set_tags([two.get_run("nested")], {"of": "b"})
        two.push("origin")
    out = call("pull", "origin", codes=(0, 1))
    if not out:
        # git itself cannot take what it holds damaged; it is told what to do about that.
        assert "next:  gittrack fsck" in said[-1]
        rows = call("fsck", "--porcelain", codes=(1,)).splitlines()
        (next_,) = {row.split("\t")[5] for row in rows if row.startswith("damaged\t")}
        a.repo.sh(next_)
        call("pull", "origin")
    with Repo.find(a.repo.path, {}) as one:
        assert one.get_run("nested").tags == {"of": "b"}
        assert one.get_run("dirty").tags == {"a": "b"}
    call("purge", clean)
    assert "nested" in call("log", "--format", "%s")
    assert clean not in call("log", "--format", "%H")


def test_what_can_be_sent_is_sent(world: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose files make no sense goes with the others."""
    a, b = world
    for name in ("run.yaml", "notes.yaml"):
        written("clean", name, BAD_YAML)(a)
    with Repo.find(a.repo.path, {}) as one, Repo.find(b.repo.path, {}) as two:
        two.push("origin")
        one.push("origin")
        two.pull("origin")
        assert two.get_run("nested").name == "nested"
        assert {run.id for run in two.search_runs()} == {run.id for run in one.search_runs()}


def test_what_cannot_be_sent_is_told(
    world: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """git sends nothing that it lacks; without that run, and its history, all goes on."""
    a, _ = world
    monkeypatch.chdir(a.repo.path)
    path = written("clean", "new.bin", b"nowhere else")(a)
    a.loosen()
    a.spoil("deleted", a.oid(path))
    a.git.close()
    assert cli.main(["push", "origin"]) == 1
    assert "next:  gittrack fsck" in capfd.readouterr().err
    assert cli.main(["fsck"]) == 1
    assert path in capfd.readouterr().out
    assert cli.main(["purge", a.ids["clean"], "--rewrite-history"]) == 0, capfd.readouterr().err
    assert cli.main(["push", "origin"]) == 0
    capfd.readouterr()
    assert cli.main(["fsck", "--history"]) == 0, capfd.readouterr().out


def test_a_folder_above_runs_that_is_lost_hides_no_others(
    world: tuple[Lab, Lab], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    a, _ = world
    monkeypatch.chdir(a.repo.path)
    other = "20200101-000000-0123456789ab"
    facts = f'id: "{other}"\nstart: "2020-01-01T00:00:00.000Z"\n'.encode()
    a.change({f"{layout.run_dir(other)}/run.yaml": facts})
    a.loosen()
    folder = layout.run_dir(other).rpartition("/")[0]
    whole = a.loose(a.oid(folder)).read_bytes()
    place = a.loose(a.oid(folder))
    place.unlink()
    a.git.close()
    for _ in range(2):
        assert cli.main(["log", "--format", "%H"]) == 0
        out, err = capfd.readouterr()
        assert a.ids["clean"] in out and other not in out
        assert (
            err
            == f"gittrack: {folder} of the store cannot be read and is not shown; next: gittrack fsck\n"
        )
    assert cli.main(["tag", "nested", "a=b"]) == 0
    assert cli.main(["run", "--name", "new", "--", "true"]) == 0
    capfd.readouterr()
    # The changed files that it may have run stay.
    with Repo.find(a.repo.path, {}) as one:
        runs = [one.get_run("dirty"), one.get_run("dirty too")]
        assert one.purge_runs(runs, dry_run=True).overlays == ()
    # When it is back it is shown.
    capfd.readouterr()
    place.write_bytes(whole)
    assert cli.main(["log", "--format", "%H"]) == 0
    out, err = capfd.readouterr()
    assert other in out and err == ""


RESUME = """
import gittrack, sys

with gittrack.start_run(run_id=sys.argv[1]):
    gittrack.log_metric("loss", 0.001)
    gittrack.set_tag("again", "yes")
    print("began", flush=True)
    sys.stdin.readline()
with gittrack.start_run(run_name="beside it") as run:
    pass
"""


#: What happens to a run that goes on, and whether git can add to it all the same.
GOING = {
    "summary": (written("clean", "metrics.yaml", BAD_YAML), True),
    "notes": (written("clean", "notes.yaml", BAD_YAML), True),
    "segment": (written("clean", "metrics/w-000000000000.csv", b"rubbish\n"), True),
    "no notes": (spoilt("deleted", "notes.yaml"), True),
    "no metrics": (spoilt("cut short", "metrics"), False),
    "no folder": (spoilt("deleted"), False),
    "bad folder": (spoilt("flipped at its end"), False),
    "unsafe": (forged("a:b", "100644"), False),
}


@pytest.mark.parametrize("case", GOING)
def test_a_run_that_is_damaged_while_it_goes_on_stops_no_other(
    world: tuple[Lab, Lab], case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    a, _ = world
    damage, is_added_to = GOING[case]
    process = subprocess.Popen(
        [sys.executable, "-c", RESUME, a.ids["clean"]], cwd=a.repo.path, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    damage(a)
    a.git.close()
    _, err = process.communicate("end\n", timeout=60)
    assert process.returncode == 0
    assert (err == "") is is_added_to
    # What could not be committed at once is taken over by the next command.
    with Repo.find(a.repo.path, {}) as one:
        assert one.get_run("beside it").status == "finished"
        assert one.get_run("nested").status == "finished"
        assert one.status().unsealed == (0 if is_added_to else 1)
    a.repo.git("rev-parse", f"{layout.STORE_REF}^{{tree}}")
    with Repo.find(a.repo.path, {}) as one:
        assert one.status().unsealed == (0 if is_added_to else 1)
    said = capfd.readouterr().err
    assert ("cannot be read" in said or "holds 'a:b'" in said) is not is_added_to
