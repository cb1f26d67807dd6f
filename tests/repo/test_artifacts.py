"""Artifacts of any size: kept, sealed, joined and read back, whatever is given."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from hashlib import md5
from pathlib import Path

import pytest

import gittrack
from gittrack.cli import main as cli
from gittrack.core import codec, kept
from gittrack.core.model import Stamp
from gittrack.errors import (
    ArtifactError,
    GittrackError,
    InvalidValueError,
    NotARepositoryError,
)
from gittrack.repo import Repo
from gittrack.repo.artifacts import lay_out
from gittrack.repo.files import FileNotInRunError
from gittrack.store import layout
from gittrack.store.write import NOBODY, Tree, commit, read_ref
from tests.repo.conftest import close
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIG = 150_000


def data_of(name: str, size: int = BIG) -> bytes:
    return (name.encode("utf-8", "surrogateescape") + b"\n") * (size // (len(name) + 1) + 1)


def fill(top: Path, names: list[str], size: int = BIG) -> None:
    for name in names:
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data_of(name, size))


def objects(repo: GitRepo) -> list[str]:
    with Repo.find(repo.path) as found:
        return [item.md5 for item in found.objects]


def tree(repo: GitRepo, run: str) -> list[str]:
    with Repo.find(repo.path) as found:
        names = found.list_files(found.get_run(run))
    return [name for name in names if name.startswith("artifacts")]


def read_all(run: str, paths: list[str]) -> dict[str, bytes]:
    return {path: Path(gittrack.get_artifact(run, path)).read_bytes() for path in paths}


# -- files -----------------------------------------------------------------------------------


def test_a_large_file_is_an_object_with_a_pointer(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path, ["model.pt", "run.sh"])
    (tmp_path / "run.sh").chmod(0o750)
    before = (tmp_path / "model.pt").stat()
    with gittrack.start_run() as run:
        gittrack.log_artifact(tmp_path / "model.pt", "models")
        gittrack.log_artifact(tmp_path / "run.sh")
        gittrack.log_text("x" * BIG, "notes.txt")
        gittrack.log_text("small", "small.txt")
        live = read_all(run.id, ["models/model.pt", "notes.txt"])
    assert live == read_all(run.id, ["models/model.pt", "notes.txt"])
    assert live["models/model.pt"] == data_of("model.pt")
    close()
    assert tree(here, run.id) == [
        "artifacts.yaml", "artifacts/models/model.pt.dvc", "artifacts/notes.txt.dvc",
        "artifacts/run.sh.dvc", "artifacts/small.txt",
    ]  # fmt: skip
    found = gittrack.get_run(run.id)
    assert found.warnings == ()
    digest = md5(data_of("model.pt")).hexdigest()
    assert found.artifacts["models/model.pt"].md5 == digest
    assert found.artifacts["run.sh"].mode == "755"
    with Repo.find() as repo:
        pointer = repo.read_run_file(found, "artifacts/models/model.pt.dvc").decode()
        assert repo.read_run_file(found, "models/model.pt") == data_of("model.pt")
    assert f"- md5: {digest}\n" in pointer
    after = (tmp_path / "model.pt").stat()
    assert (after.st_ino, after.st_mode, after.st_nlink) == (
        before.st_ino, before.st_mode, before.st_nlink,
    )  # fmt: skip
    assert len(objects(here)) == 3
    # git got no large blob.
    sizes = here.git("cat-file", "--batch-all-objects", "--batch-check=%(objectsize)").split()
    assert max(map(int, sizes)) < 10_000


def test_what_does_not_fit_in_git_any_more_is_an_object(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        for n in range(12):
            gittrack.log_text(f"{n}" * 99_000, f"{n:02}.txt")
    kinds = [a.md5 is not None for a in gittrack.get_run(run.id).artifacts.values()]
    assert sum(kinds) == 2
    assert read_all(run.id, ["11.txt"])["11.txt"].startswith(b"1111")


def test_the_later_version_counts_whatever_its_size(here: GitRepo) -> None:
    with gittrack.start_run() as run:
        gittrack.log_text("small", "x")
        gittrack.log_text("y" * BIG, "y")
    with gittrack.start_run(run_id=run.id):
        gittrack.log_text("x" * BIG, "x")
        gittrack.log_text("small", "y")
        gittrack.log_text("below", "y/z")
    close()
    assert tree(here, run.id) == [
        "artifacts.yaml", "artifacts/x.dvc", "artifacts/y%2F", "artifacts/y/z",
    ]  # fmt: skip
    assert read_all(run.id, ["x", "y", "y/z"]) == {
        "x": b"x" * BIG, "y": b"small", "y/z": b"below",
    }  # fmt: skip


# -- folders ---------------------------------------------------------------------------------


def test_a_small_folder_is_files_in_git(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path / "out", ["a.txt", "b/c.txt"], 10)
    fill(tmp_path / "out", ["model.pt"])
    with gittrack.start_run() as run:
        gittrack.log_artifact(tmp_path / "out")
    assert set(gittrack.get_run(run.id).artifacts) == {"out/a.txt", "out/b/c.txt", "out/model.pt"}
    folder = Path(gittrack.get_artifact(run.id, "out"))
    assert (folder / "b" / "c.txt").read_bytes() == data_of("b/c.txt", 10)
    assert (folder / "model.pt").read_bytes() == data_of("model.pt")


@pytest.mark.parametrize("into", [None, "ckpt", "a/b"])
def test_a_folder_of_many_files_is_kept_as_one(
    here: GitRepo, tmp_path: Path, into: str | None
) -> None:
    names = [f"{n % 7}/{n}.bin" for n in range(300)]
    fill(tmp_path / "out", names, 300)
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "out", into)
        gittrack.log_text("beside", f"{into}/3/note.txt" if into else "3/note.txt")
        live = len(gittrack.list_artifacts(run.id))
    close()
    found = gittrack.get_run(run.id)
    assert len(found.artifacts) == 2
    (key,) = [key for key in found.artifacts if "//" in key]
    layer = found.artifacts[key]
    assert (layer.path, layer.files) == (into or "", 300)
    assert layer.size_bytes == sum(len(data_of(name, 300)) for name in names)
    assert kept.shown(key) == f"{into or '.'}/"
    listed = gittrack.list_artifacts(run.id)
    assert len(listed) == live == 301
    prefix = f"{into}/" if into else ""
    assert {file.path for file in listed} == {prefix + n for n in [*names, "3/note.txt"]}
    assert len(gittrack.list_artifacts(run.id, f"{prefix}3")) == 44
    path = f"{prefix}5/5.bin"
    assert Path(gittrack.get_artifact(run.id, path)).read_bytes() == data_of("5/5.bin", 300)
    folder = Path(gittrack.get_artifact(run.id, f"{prefix}3"))
    assert len(list(folder.iterdir())) == 44
    with pytest.raises(FileNotInRunError):
        gittrack.get_artifact(run.id, f"{prefix}5/nothing")


def test_what_is_logged_into_a_folder_again_adds_to_it(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path / "one", [f"{n}" for n in range(30)])
    fill(tmp_path / "two", [f"{n}" for n in range(20, 50)])
    (tmp_path / "two" / "20").write_bytes(b"new" * BIG)
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "one", "out")
        gittrack.log_text("first" * BIG, "out/49")
        gittrack.log_artifacts(tmp_path / "two", "out")
        gittrack.log_text("last", "out/21")
    close()
    assert len(gittrack.list_artifacts(run.id, "out")) == 50
    found = read_all(run.id, ["out/0", "out/20", "out/21", "out/49"])
    assert found["out/0"] == data_of("0")
    assert found["out/20"] == b"new" * BIG
    assert found["out/21"] == b"last"
    assert found["out/49"] == data_of("49")


RANK = """
import os, sys
import gittrack
rank = sys.argv[1]
with gittrack.start_run(run_id=sys.argv[2]):
    gittrack.log_artifacts(sys.argv[3], "out")
"""


def test_two_processes_that_fill_one_folder_lose_nothing(here: GitRepo, tmp_path: Path) -> None:
    for rank in "01":
        fill(tmp_path / rank, [f"{rank}-{n}" for n in range(25)])
    with gittrack.start_run() as run:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", RANK, rank, run.id, str(tmp_path / rank)],
                env={**os.environ, "PYTHONPATH": ROOT},
            )
            for rank in "01"
        ]
        assert [process.wait() for process in processes] == [0, 0]
    close()
    assert len(gittrack.list_artifacts(run.id, "out")) == 50


# -- bad input -------------------------------------------------------------------------------


def test_what_is_no_file_is_noted_and_the_rest_is_kept(
    here: GitRepo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    top = tmp_path / "out"
    fill(top, ["a", "sub/b"], 10)
    os.mkfifo(top / "pipe")
    (top / "broken").symlink_to("nowhere")
    (top / "itself").symlink_to("itself")
    (top / "sub" / "up").symlink_to("..")
    (top / "linked").symlink_to(top / "sub" / "b")
    with gittrack.start_run() as run:
        gittrack.log_artifacts(top)
        with pytest.raises(InvalidValueError, match="broken link"):
            gittrack.log_artifact(top / "broken")
        gittrack.log_artifact(top / "pipe", "p")
    found = gittrack.get_run(run.id)
    assert set(found.artifacts) == {"a", "sub/b", "linked"}
    said = capsys.readouterr().err
    for name, why in (
        ("pipe", "not a regular file"), ("broken", "a broken link"), ("itself", "a broken link"),
        ("sub/up", "a link to a folder above it"), ("p/pipe", "not a regular file"),
    ):  # fmt: skip
        assert any(f"artifact {name} " in text and why in text for text in found.warnings), name
        assert f"artifact {name} " in said


def test_names_that_dvc_and_git_know(here: GitRepo, tmp_path: Path) -> None:
    names = ["dvc.yaml", "x.dvc", ".dvcignore", ".git/config", ".gitignore", "CON", "a b", "é"]
    fill(tmp_path / "out", names, 10)
    fill(tmp_path / "big", names)
    fill(tmp_path / "big", [f"{n}" for n in range(20)])
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "out", "small")
        gittrack.log_artifacts(tmp_path / "big", "large")
    close()
    for folder, size in (("small", 10), ("large", BIG)):
        for name in names:
            path = gittrack.get_artifact(run.id, f"{folder}/{name}")
            assert Path(path).read_bytes() == data_of(name, size)
    # Nothing in the tree is taken for a file of DVC's but our pointer.
    stored = [name for name in tree(here, run.id) if name.endswith((".dvc", "dvc.yaml"))]
    assert len(stored) == 1
    assert not [name for name in tree(here, run.id) if "/.git" in name or "/.dvc" in name]


def test_names_that_are_no_text(here: GitRepo, tmp_path: Path) -> None:
    top = tmp_path / "out"
    fill(top, ["fine"], 10)
    (top / "new\nline").write_bytes(b"1")
    with open(os.fsencode(str(top)) + b"/\xff\xfe", "wb") as file:
        file.write(b"2")
    with gittrack.start_run() as run:
        gittrack.log_artifacts(top, "out")
    close()
    files = gittrack.list_artifacts(run.id)
    assert [file.path for file in files] == ["out/fine", "out/new\nline", "out/\udcff\udcfe"]
    read = [Path(gittrack.get_artifact(run.id, file.path)).read_bytes() for file in files]
    assert read == [data_of("fine", 10), b"1", b"2"]
    assert json.dumps(list(gittrack.get_run(run.id).artifacts))


def test_an_empty_folder(here: GitRepo, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with gittrack.start_run() as run:
        gittrack.log_artifact(tmp_path / "empty")
        gittrack.log_artifacts(tmp_path / "empty")
    close()
    (layer,) = gittrack.get_run(run.id).artifacts.values()
    assert layer == ("empty", 0, "644", None, "d751713988987e9331980363e24189ce.dir", 0)
    assert gittrack.list_artifacts(run.id) == []


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file")]
)  # fmt: skip
def test_a_file_that_may_not_be_read_or_vanishes(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    from gittrack.store import copying

    fill(tmp_path / "out", ["secret", "open"])
    real = copying.open_regular

    def refuse(path: str) -> int:
        if path.endswith("secret"):
            raise error  # root may read everything
        return real(path)

    monkeypatch.setattr(copying, "open_regular", refuse)
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "out")
    found = gittrack.get_run(run.id)
    assert list(found.artifacts) == ["open"]
    assert found.warnings == (f"artifact secret was not kept: {error.strerror}",)


def test_a_full_disk_is_noted_once(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gittrack.store import copying

    def full(file: int, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    fill(tmp_path / "out", [f"{n}" for n in range(30)])
    with gittrack.start_run() as run:
        monkeypatch.setattr(copying, "write_all", full)
        gittrack.log_artifacts(tmp_path / "out", "out")
        gittrack.log_artifact(tmp_path / "out" / "1")
        monkeypatch.undo()
        gittrack.log_artifact(tmp_path / "out" / "2")
    close()
    os.chdir(here.path)
    with Repo.find(here.path) as repo:
        found = repo.get_run(run.id)
        assert list(found.artifacts) == ["2"]
        assert len(found.warnings) == 2
    assert len(objects(here)) == 1


# -- where the bytes are ---------------------------------------------------------------------


def test_an_object_that_is_damaged_or_gone_is_never_served(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path, ["model.pt"])
    with gittrack.start_run("r") as run:
        gittrack.log_artifact(tmp_path / "model.pt")
    close()
    with Repo.find() as repo:
        place = Path(repo.objects.path(md5(data_of("model.pt")).hexdigest()))
    place.chmod(0o644)
    place.write_bytes(b"rubbish")
    with pytest.raises(ArtifactError) as caught:
        gittrack.get_artifact(run.id, "model.pt")
    assert "model.pt" in caught.value.message
    assert run.info.run_name in caught.value.message
    assert "are not those of its name" in caught.value.why
    place.unlink()
    with pytest.raises(ArtifactError, match="is not here"):
        gittrack.get_artifact(run.id, "model.pt")
    with Repo.find() as repo, pytest.raises(ArtifactError):
        repo.read_artifact(run.id, "model.pt")


def test_a_journal_elsewhere_keeps_its_objects(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "out", [f"{n}" for n in range(30)])
    monkeypatch.setenv("GITTRACK_JOURNAL", str(tmp_path / "scratch"))
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "out", "out")
        gittrack.log_artifact(tmp_path / "out" / "1", "one")
        assert objects(here) == []
        assert len(gittrack.list_artifacts(run.id, "out")) == 30
    close()
    monkeypatch.delenv("GITTRACK_JOURNAL")
    shutil.rmtree(tmp_path / "scratch")
    assert len(objects(here)) == 31
    assert read_all(run.id, ["out/7"]) == {"out/7": data_of("7")}


def test_a_journal_without_a_repository_brings_its_objects(
    here: GitRepo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "node", ["model.pt"])
    script = (
        "import gittrack\nwith gittrack.start_run() as run:\n"
        " gittrack.log_artifact('model.pt')\n print(run.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path / "node", capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ROOT, "GITTRACK_JOURNAL": str(tmp_path / "j"),
             "GIT_CEILING_DIRECTORIES": str(tmp_path)}, check=True,
    )  # fmt: skip
    shutil.move(tmp_path / "j", tmp_path / "carried")
    with Repo.find() as repo:
        repo.recover(str(tmp_path / "carried"))
    shutil.rmtree(tmp_path / "carried", ignore_errors=True)
    run = done.stdout.strip()
    assert read_all(run, ["model.pt"]) == {"model.pt": data_of("model.pt")}


KILLED = """
import os, sys
import gittrack
run = gittrack.start_run(run_name="killed")
gittrack.log_artifact(sys.argv[1] + "/model.pt")
gittrack.log_artifacts(sys.argv[1] + "/out", "out")
os.kill(os.getpid(), 9)
"""


def test_what_was_kept_survives_kill_9(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path, ["model.pt", *(f"out/{n}" for n in range(25))])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], check=False,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == -9
    shutil.rmtree(tmp_path / "out")
    with Repo.find() as repo:
        run = repo.get_run("killed")
        assert run.status == "killed"
        assert repo.read_artifact(run.id, "model.pt") == data_of("model.pt")
        assert repo.read_artifact(run.id, "out/7") == data_of("out/7")
        assert repo.verify_artifacts([run]).troubles == ()


AT_EXIT = """
import atexit, os, sys
import gittrack
run = gittrack.start_run(run_name="late")
def keep():
    gittrack.log_artifact(sys.argv[1] + "/model.pt")
    gittrack.log_artifacts(sys.argv[1] + "/out", "out")
atexit.register(keep)
"""


def test_what_is_kept_while_python_ends(here: GitRepo, tmp_path: Path) -> None:
    """No thread can be started any more then."""
    fill(tmp_path, ["model.pt"], 3_000_000)
    fill(tmp_path, [f"out/{n}" for n in range(25)])
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, str(tmp_path)], check=True, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.stderr == ""
    with Repo.find() as repo:
        run = repo.get_run("late")
        assert repo.read_artifact(run.id, "model.pt") == data_of("model.pt", 3_000_000)
        assert len(repo.list_artifacts(run.id, "out")) == 25
        assert run.warnings == ()


def test_no_network_and_no_dvc_in_a_run(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path, ["model.pt"])
    script = f"""
import sys
went = []
sys.addaudithook(lambda event, args: went.append(event) if event.startswith("socket.con") else None)
import gittrack
with gittrack.start_run():
    gittrack.log_artifact({str(tmp_path / "model.pt")!r})
gittrack.end_run()
print(went, [name for name in ("dvc", "dvc_data", "fsspec") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.stdout == "[] []\n"


# -- laid out --------------------------------------------------------------------------------


def test_a_run_is_laid_out(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path / "out", ["a.sh", "d/b"], 10)
    fill(tmp_path / "out", ["d/model.pt"])
    (tmp_path / "out" / "a.sh").chmod(0o755)
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "out", "out")
    close()
    with Repo.find() as repo:
        artifacts = repo.artifacts_of(repo.get_run(run.id))
        into = tmp_path / "into"
        assert lay_out(artifacts, artifacts.files("out/d"), "out/d", str(into)) == [
            str(into / "b"), str(into / "model.pt"),
        ]  # fmt: skip
        lay_out(artifacts, artifacts.files(), "", str(into))
        lay_out(artifacts, artifacts.files("out/a.sh"), "out/a.sh", str(into))
        assert (into / "out" / "d" / "model.pt").read_bytes() == data_of("d/model.pt")
        for path in (into / "a.sh", into / "out" / "a.sh"):
            assert stat.S_IMODE(path.stat().st_mode) & 0o700 == 0o700
        # It is the user's own from now on.
        (into / "model.pt").write_bytes(b"mine")
        with pytest.raises(ArtifactError, match="is there already"):
            lay_out(artifacts, artifacts.files("out/d"), "out/d", str(into))
        assert (into / "model.pt").read_bytes() == b"mine"
        lay_out(artifacts, artifacts.files("out/d"), "out/d", str(into), force=True)
        assert (into / "model.pt").read_bytes() == data_of("d/model.pt")
        assert list(into.rglob("*.tmp")) == []


def test_no_hostile_path_is_laid_out(here: GitRepo, tmp_path: Path) -> None:
    fill(tmp_path / "out", [".git/hooks/post-checkout", "a/.GIT/x", "fine"], 10)
    with gittrack.start_run() as run:
        gittrack.log_artifacts(tmp_path / "out", "out")
    close()
    with Repo.find() as repo:
        artifacts = repo.artifacts_of(repo.get_run(run.id))
        for path in ("out", "out/a", "out/.git"):
            with pytest.raises(ArtifactError, match=r"not written|no path"):
                lay_out(artifacts, artifacts.files(path), "", str(tmp_path / "into"))
        assert not (tmp_path / "into").exists()


HOSTILE = {
    "../../up": {"blob": "0" * 40, "size": 1},
    "/etc/passwd": {"md5": "0" * 32, "size": 1},
    "a": {"md5": "../../../../etc/passwd", "size": 1},
    "b//0123456789ab": {"md5": "../" * 10 + ".dir", "size": -1, "files": "x"},
    "..//0123456789ab": {"md5": "0" * 32 + ".dir", "size": 2**80, "files": -1},
    "c\x00": {"md5": ["x"]},
    "d": {},
    "e": {"md5": "0" * 32 + ".dir"},
}


def test_no_entry_from_elsewhere_leads_anywhere(here: GitRepo, tmp_path: Path) -> None:
    with gittrack.start_run(run_name="r") as run:
        gittrack.log_text("fine", "fine.txt")
    close()
    with Repo.find() as repo:
        path = f"{layout.run_dir(run.id)}/artifacts.yaml"
        tip = read_ref(repo.git, layout.STORE_REF)
        known = repo.git.cat_file().read(f"{layout.STORE_REF}:{path}")
        assert known is not None
        entries = codec.decode_stamps(known.data)
        entries.update({key: Stamp(value, 1, "aa") for key, value in HOSTILE.items()})
        tree = Tree({path: codec.encode_stamps(entries)}, "hostile\n")
        commit(repo.git, layout.STORE_REF, tip, tree, NOBODY, 2_000_000_000, fsync=False)
    with Repo.find() as repo:
        found = repo.get_run("r")
        assert repo.read_artifact(run.id, "fine.txt") == b"fine"
        for file in repo.list_artifacts(run.id):
            if file.path != "fine.txt":
                with pytest.raises(GittrackError):
                    repo.get_artifact(run.id, file.path)
                with pytest.raises(GittrackError):
                    repo.lay_out_artifacts(found, [file.path], str(tmp_path / "into"))
        assert not (tmp_path / "into").exists()
        repo.verify_artifacts([found])
        repo.artifact_usage()
        assert repo.fsck().count("broken") > 3
        assert cli.main(["show", "r"]) == 0
        assert cli.main(["artifacts", "ls", "r"]) == 0


def test_there_is_nothing_to_read_without_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARepositoryError):
        gittrack.list_artifacts("x")
