"""A run as a commit, read by the real DVC: where it was made, and in other people's hands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gittrack
from gittrack.cli.main import main
from gittrack.core import dvcfiles, kept, listing
from gittrack.errors import ArtifactError, UsageError
from gittrack.repo import Repo
from gittrack.repo.export import exported_objects, find_exports
from gittrack.store import layout
from tests.githttp import GitWebServer
from tests.repo.conftest import close
from tests.support import GitRepo

LARGE = 110_000
HOSTILE = ("dvc.yaml", "dvc.lock", "x.dvc", ".dvcignore", ".gitignore", ".dvc/config", ".git/HEAD")
BAD = b"{{{ neither YAML nor a pointer"
KEYS = ("loss", "val/acc", "a", "a.b", "größe", "..", "x[0]", "${lr} 'q\" *?")

#: Several command lines of DVC in one process: it takes a second to start.
RUN_ALL = """\
import json, os, sys, tempfile
from dvc.cli import main
answers, real = [], os.dup(1)
for line in json.load(sys.stdin):
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        os.dup2(out.fileno(), 1), os.dup2(err.fileno(), 2)
        code = main(line)
        sys.stdout.flush(), sys.stderr.flush()
        texts = [file.seek(0) or file.read().decode() for file in (out, err)]
    answers.append([code, *texts])
os.write(real, json.dumps(answers).encode())
"""


def dvc(cwd: str | Path, *lines: Sequence[str]) -> list[str]:
    """What DVC prints for each of these command lines, none of which may fail."""
    done = python(cwd, RUN_ALL, json.dumps(lines))
    printed = []
    for line, (code, out, err) in zip(lines, json.loads(done), strict=True):
        assert code == 0, f"dvc {' '.join(line)}\n{out}{err}"
        printed.append(out)
    return printed


def python(cwd: str | Path, script: str, text: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=cwd, input=text, capture_output=True, text=True,
        env={
            **os.environ, "DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": f"{cwd}/../dvc-site",
            "PYTHONPATH": "", "PYTHONIOENCODING": "utf-8",
        },
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def data_of(name: str, size: int = LARGE) -> bytes:
    return (name.encode() + b"\n") * (size // (len(name.encode()) + 1) + 1)


def write(path: Path, data: bytes, mode: int = 0o644) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return str(path)


def record(files: Path, name: str, lr: float) -> str:
    """A run with everything that is hard to carry over; its id."""
    with gittrack.start_run(run_name=name) as run:
        gittrack.log_params(
            {"lr": lr, "optim.name": "adam", "a": 1, "a.b": 2, "größe/x": True, "${lr}": "${lr}",
             "none": None, "layers": "[1, 2]", "nan": float("nan")}
        )  # fmt: skip
        for step in range(5):
            for at, key in enumerate(KEYS):
                gittrack.log_metric(key, step * lr + at, step=step)
        gittrack.log_metrics({"never": float("nan"), "once": lr, "up": float("inf")})
        gittrack.log_artifact(write(files / "note.txt", f"lr is {lr}".encode()))
        gittrack.log_artifact(write(files / "model größe.pt", data_of(f"model{lr}")))
        gittrack.log_artifact(write(files / "run.sh", b"#!/bin/sh\n", 0o755))
        gittrack.log_artifact(write(files / "tool", data_of("tool"), 0o755))
        gittrack.log_text("root", "dvc.yaml")
        for path in HOSTILE:
            gittrack.log_artifact(
                write(files / path, BAD), os.path.join("hostile", os.path.dirname(path)).rstrip("/")
            )
        for number in range(21):
            write(files / "one" / f"{number}.bin", data_of(f"{number}"))
            write(files / "more" / "sub" / f"{number}.bin", data_of(f"more {number}"))
        gittrack.log_artifacts(str(files / "one"), "whole")
        gittrack.log_artifacts(str(files / "one"), "layers")
        write(files / "more" / "0.bin", data_of("newer"))
        write(files / "more" / ".dvcignore", b"*")
        gittrack.log_artifacts(str(files / "more"), "layers")
        gittrack.log_artifact(write(files / "1.bin", b"newest", 0o755), "layers")
        gittrack.log_text("small", "layers/deep/small.txt")
        found = run.info.run_id
    close()
    return found


class World:
    """A repository with two runs, a DVC remote, and a server that serves both."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.store = top / "web" / "store"
        self.repo = GitRepo(top / "repo")

    def make(self) -> None:
        GitRepo.create(self.repo.path)
        self.repo.write("train.py", "print(1)\n")
        self.repo.commit("first")
        # Without DVC's own files: `dvc init` is not needed to have a remote.
        self.repo.write(".git/info/exclude", ".dvc\n")
        os.chdir(self.repo.path)
        record(self.top / "files", "one", 0.1)
        record(self.top / "files", "two", 0.2)

    def use_remote(self, url: str) -> None:
        config = f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n"
        self.repo.write(".dvc/config", config)

    def push_objects(self) -> None:
        with Repo.find(self.repo.path) as repo:
            assert not repo.push_artifacts().lacking


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world") / "world"


@pytest.fixture
def world(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sealed: Path
) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    if not shared.exists():
        World(shared).make()
    shutil.copytree(shared, tmp_path / "world", symlinks=True)
    found = World(tmp_path / "world")
    monkeypatch.chdir(found.repo.path)
    yield found
    close()


@pytest.fixture
def web(world: World) -> Iterator[GitWebServer]:
    (world.top / "web").mkdir()
    server = GitWebServer(world.top / "web")
    yield server
    server.close()


def export(name: str, tag: str | None = None, **how: Any) -> str:
    with Repo.find() as repo:
        return repo.export_dvc(repo.get_run(name), tag, **how).commit


def names_in(repo: GitRepo, commit: str) -> list[str]:
    return repo.git("ls-tree", "-r", "-z", "--name-only", commit).rstrip("\0").split("\0")


# -- the real DVC ----------------------------------------------------------------------------


def test_dvc_compares_runs_where_they_are(world: World) -> None:
    old, new = export("one"), export("two")
    params, metrics, plots, listed = dvc(
        world.repo.path,
        ["params", "diff", "--all", "--json", old, new],
        ["metrics", "diff", "--all", "--json", old, new],
        ["plots", "diff", "--json", old, new],
        ["list", ".", "-R", "--rev", old],
    )
    both = json.loads(params)["params.yaml"]
    assert both["lr"]["new"] == 0.2
    assert {key: value["old"] for key, value in both.items()} == {
        "lr": 0.1, "optim.name": "adam", "a": 1, "a.b": 2, "größe/x": True, "${lr}": "${lr}",
        "none": None, "layers": "[1, 2]", "nan": "nan",
    }  # fmt: skip
    found = json.loads(metrics)["metrics.json"]
    assert set(found) == {*KEYS, "never", "once", "up"}
    assert found["val/acc"] == {"old": 1.4, "new": 1.8, "diff": pytest.approx(0.4)}
    assert (found["never"]["old"], found["up"]["new"]) == ("nan", "inf")
    drawn = json.loads(plots)
    assert not drawn.get("errors")
    titles = {plot[0]["content"]["title"]["text"] for plot in drawn["data"].values()}
    assert titles == set(KEYS)
    (loss,) = drawn["data"]["plots/loss.csv"]
    assert len(loss["content"]["data"]["values"]) == 10
    assert loss["content"]["encoding"]["x"]["field"] == "step"
    assert "artifacts/hostile/dvc%2Eyaml" in listed.splitlines()
    assert world.repo.git("status", "--short") == ""


def test_dvc_has_the_files_at_once_where_it_has_a_cache(world: World) -> None:
    world.repo.write(".git/info/exclude", "")
    dvc(world.repo.path, ["init", "--quiet"])
    old, new = export("one"), export("two")
    before = world.repo.git("status", "--short")
    shown, *_ = dvc(
        world.repo.path,
        ["exp", "show", "--rev", old, "--rev", new, "--json"],
        ["get", ".", "artifacts/layers", "--rev", old, "-o", "../layers"],
        ["get", ".", "artifacts/model größe.pt", "--rev", new, "-o", "../model.pt"],
        ["get", ".", "artifacts/run.sh", "--rev", new, "-o", "../run.sh"],
    )
    by_rev = {row["rev"]: row["data"] for row in json.loads(shown)}
    assert by_rev[old]["params"]["params.yaml"]["data"]["lr"] == 0.1
    assert by_rev[new]["metrics"]["metrics.json"]["data"]["val/acc"] == 1.8
    check_layers(world.top / "layers")
    assert (world.top / "model.pt").read_bytes() == data_of("model0.2")
    assert world.repo.git("status", "--short") == before
    cached = list(Path(world.repo.path, ".dvc", "cache").rglob("*"))
    assert all(path.stat().st_nlink == 2 for path in cached if path.is_file())


def check_layers(folder: Path) -> None:
    """Two layers and two files of one folder, each file as it was kept last."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert found == {
        **{f"{number}.bin": data_of(f"{number}") for number in range(21)},
        **{f"sub/{number}.bin": data_of(f"more {number}") for number in range(21)},
        "0.bin": data_of("newer"),
        "1.bin": b"newest",
        "%2Edvcignore": b"*",
        "deep/small.txt": b"small",
    }


def test_dvc_has_the_files_without_a_cache_when_told_where(world: World) -> None:
    commit = export("one")
    with Repo.find() as repo:
        notes = repo.export_dvc(repo.get_run("one")).notes
    told = next(note for note in notes if "--remote-config" in note)
    options = told.partition(" needs ")[2].split()
    dvc(
        world.top,
        ["get", "repo", "artifacts/layers", "--rev", commit, "-o", "layers", *options],
        ["get", "repo", "artifacts/note.txt", "--rev", commit[:9], "-o", "note.txt"],
    )
    check_layers(world.top / "layers")
    assert (world.top / "note.txt").read_text() == "lr is 0.1"


API = """
import sys, dvc.api
url, rev = sys.stdin.read().split()
with dvc.api.open("artifacts/model größe.pt", repo=url, rev=rev, mode="rb") as file:
    print(len(file.read()))
print(dvc.api.read("artifacts/note.txt", repo=url, rev=rev))
print(dvc.api.read("artifacts/layers/1.bin", repo=url, rev=rev))
print(dvc.api.get_url("artifacts/tool", repo=url, rev=rev))
"""


@pytest.mark.deep
@pytest.mark.parametrize("kind", ["http", "disk"])
def test_others_have_it_from_a_server_without_us(
    kind: str, world: World, web: GitWebServer
) -> None:
    world.use_remote(str(world.store))
    export("two", "exports/two")
    world.push_objects()
    if kind == "http":
        # The same objects, read through the server.
        world.use_remote(f"{web.url}/store")
        export("two", "exports/two", force=True)
    commit = world.repo.git("rev-parse", "exports/two")
    hub = world.top / "web" / "hub.git"
    world.repo.git("init", "-q", "--bare", str(hub))
    world.repo.git("push", "-q", str(hub), "main", "exports/two")
    url = f"{web.url}/hub.git"

    other = GitRepo.create(world.top / "other")
    _, *_, shown = dvc(
        other.path,
        ["init", "--quiet"],
        ["get", url, "artifacts/layers", "--rev", commit, "-o", "layers"],
        ["get", url, "artifacts/run.sh", "--rev", "exports/two"],
        ["import", url, "artifacts/whole", "--rev", "exports/two"],
        ["import", url, "artifacts/model größe.pt", "--rev", commit, "-o", "model.pt"],
        ["import", url, "params.yaml", "--rev", commit],
        ["list", url, "artifacts/layers", "--rev", commit],
    )
    check_layers(Path(other.path) / "layers")
    assert other.read("whole/3.bin") == data_of("3")
    assert other.read("model.pt") == data_of("model0.2")
    assert b"lr: 0.2" in other.read("params.yaml")
    assert "deep" in shown.splitlines()
    printed = python(other.path, API, f"{url} {commit}").splitlines()
    assert printed[:3] == [str(len(data_of("model0.2"))), "lr is 0.2", "newest"]
    where = f"{web.url}/store" if kind == "http" else str(world.store)
    assert printed[3].startswith(f"{where}/gittrack/files/md5/")

    # A clone of it is a whole DVC repository.
    clone = GitRepo(world.top / "clone")
    other.git("clone", "-q", "-b", "exports/two", "--depth", "1", url, clone.path)
    shown, _ = dvc(clone.path, ["exp", "show", "--rev", commit, "--csv"], ["pull", "--quiet"])
    assert "val/acc" in shown
    assert clone.read("artifacts/layers/deep/small.txt") == b"small"
    assert os.stat(f"{clone.path}/artifacts/tool").st_mode & 0o111
    assert os.stat(f"{clone.path}/artifacts/run.sh").st_mode & 0o111


# -- what is in the commit -------------------------------------------------------------------


def test_the_commit_is_the_same_for_the_same_run(world: World) -> None:
    first = export("one")
    assert export("one") == first
    shutil.copytree(world.repo.path, world.top / "elsewhere", symlinks=True)
    with Repo.find(str(world.top / "elsewhere")) as repo:
        assert repo.export_dvc(repo.get_run("one")).commit == first
    assert world.repo.git("log", "--format=%an %ae %P", first) == "gittrack gittrack "
    with Repo.find() as repo:
        repo.set_tags([repo.get_run("one")], {"team": "vision"})
    assert export("one") != first
    refs = world.repo.git("for-each-ref", "--format=%(refname)", layout.REFS).splitlines()
    assert len([ref for ref in refs if ref.startswith(layout.EXPORT_REFS)]) == 1
    assert not [ref for ref in refs if ref.startswith(layout.SCRATCH_REFS)]
    assert world.repo.git("fsck", "--strict") == ""


def test_no_file_of_a_users_is_taken_for_one_of_dvcs(world: World) -> None:
    commit = export("one")
    there = names_in(world.repo, commit)
    assert {name for name in there if name.endswith(("dvc.yaml", "dvc.lock", ".dvcignore"))} == {
        "dvc.yaml"
    }
    pointers = {name for name in there if name.endswith(".dvc")}
    assert pointers == {
        f"artifacts/{name}.dvc" for name in ("layers", "whole", "tool", "model größe.pt")
    }
    assert not [name for name in there if name.split("/")[-2:-1] in ([".git"],)]
    assert {name.partition("/")[0] for name in there} == {
        ".dvc", "artifacts", "dvc.yaml", "logs", "metrics.json", "notes.yaml", "params.yaml",
        "plots", "run.yaml",
    } - ({"logs"} if "logs" not in {n.partition("/")[0] for n in there} else set())  # fmt: skip
    with Repo.find() as repo:
        done = repo.export_dvc(repo.get_run("one"))
    assert set(done.renamed) == {
        "dvc.yaml", "layers/.dvcignore", *(f"hostile/{path}" for path in HOSTILE)
    }  # fmt: skip
    assert done.renamed["hostile/.git/HEAD"] == "hostile/%2Egit/HEAD"
    for path, name in done.renamed.items():
        if path.startswith("hostile/"):
            assert world.repo.git("show", f"{commit}:artifacts/{name}") == BAD.decode()


def test_a_folder_of_all_artifacts_is_one_with_those_beside_it(
    here: GitRepo, tmp_path: Path
) -> None:
    for number in range(21):
        write(tmp_path / "all" / "a" / f"{number}.bin", data_of(f"{number}"))
    with gittrack.start_run(run_name="all"):
        gittrack.log_artifacts(str(tmp_path / "all"))
        gittrack.log_text("one", "a")
        gittrack.log_text("two", "b/c.txt")
    close()
    commit = export("all")
    there = names_in(here, commit)
    assert [name for name in there if name.startswith("artifacts")] == ["artifacts.dvc"]
    with Repo.find() as repo:
        (md5,) = exported_objects(repo.git)[repo.get_run("all").id]
        listed = listing.decode_listing(repo.objects.read(md5) or b"", md5)
    # What is both a file and a folder cannot be both in a listing.
    assert {file.path for file in listed} == {
        "a%2F", "b/c.txt", *(f"a/{number}.bin" for number in range(21))
    }  # fmt: skip
    where = ["--remote", "here", "--remote-config", f"url={here.path}/.git/gittrack/odb"]
    dvc(
        here.path,
        ["get", ".", "artifacts", "--rev", commit, "-o", str(tmp_path / "got"), *where],
        ["get", ".", "artifacts/b/c.txt", "--rev", commit, "-o", str(tmp_path / "c.txt"), *where],
    )
    assert (tmp_path / "got" / "a%2F").read_text() == "one"
    assert (tmp_path / "c.txt").read_text() == "two"


def test_folders_that_are_empty_or_of_names_that_are_no_text(here: GitRepo, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path / "raw")
    os.makedirs(top)
    for name in (b"\xff.bin", b"dvc.yaml", b"new\nline"):
        with open(os.path.join(top, name), "wb") as file:
            file.write(BAD)
    (tmp_path / "empty").mkdir()
    with gittrack.start_run(run_name="odd"):
        gittrack.log_artifacts(str(tmp_path / "raw"), "raw")
        gittrack.log_artifacts(str(tmp_path / "empty"), "empty")
        gittrack.log_text("x", "empty.dvc")
        gittrack.log_text("y", "a")
    close()
    commit = export("odd")
    where = ["--remote", "here", "--remote-config", f"url={here.path}/.git/gittrack/odb"]
    dvc(
        here.path,
        ["get", ".", "artifacts/raw", "--rev", commit, "-o", str(tmp_path / "got"), *where],
        ["get", ".", "artifacts/a", "--rev", commit, "-o", str(tmp_path / "a")],
    )
    assert {path.name for path in (tmp_path / "got").iterdir()} == {
        "%FF.bin", "dvc%2Eyaml", "new%0Aline"
    }  # fmt: skip


def test_an_empty_run_and_a_running_one(here: GitRepo) -> None:
    with gittrack.start_run(run_name="empty"):
        pass
    close()
    with gittrack.start_run(run_name="going"):
        gittrack.log_metric("loss", 1.0)
        gittrack.log_text("x", "note.txt")
        commits = [export("empty"), export("going")]
    assert (
        dvc(
            here.path,
            ["params", "diff", *commits, "--json"],
            ["metrics", "diff", *commits, "--json"],
            ["plots", "diff", *commits, "--json"],
            ["get", ".", "artifacts/note.txt", "--rev", commits[1], "-o", "../note.txt"],
        )[1].strip()
        == '{"metrics.json": {"loss": {"old": null, "new": 1.0}}}'
    )


def test_a_folder_whose_listing_is_lost_says_so(world: World) -> None:
    export("one")
    with Repo.find() as repo:
        run = repo.get_run("one")
        layer = next(layer for layer in repo.artifacts_of(run).layers() if layer.path == "whole")
        repo.objects.remove(str(layer.md5))
        with pytest.raises(ArtifactError, match="whole"):
            repo.export_dvc(run)


def test_bytes_that_are_not_here_are_only_named(world: World) -> None:
    first = export("one")
    with Repo.find() as repo:
        run = repo.get_run("one")
        tool = repo.artifacts_of(run).files("tool")["tool"]
        repo.objects.remove(str(tool.md5))
        done = repo.export_dvc(run)
    assert done.commit == first
    assert done.missing == ("tool",)
    assert any("tool" in note for note in done.notes)


def test_what_exports_need_is_no_garbage(world: World) -> None:
    export("one")
    with Repo.find() as repo:
        before = {item.md5 for item in repo.objects}
        repo.collect_garbage(grace_s=-1)
        assert {item.md5 for item in repo.objects} == before
        run = repo.get_run("one")
        assert set(exported_objects(repo.git)[run.id].values()) == {
            "layers/", "whole/", "tool", "model größe.pt"
        }  # fmt: skip
        world.repo.git("update-ref", "-d", layout.export_ref(run.short_id))
        assert repo.collect_garbage(grace_s=-1).objects > 0


# -- refs ------------------------------------------------------------------------------------


def test_a_tag_moves_only_when_forced(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    first = export("one", "best")
    assert export("one", "best") == first
    with pytest.raises(UsageError, match="'best' already"):
        export("two", "best")
    second = export("two", "best", force=True)
    assert world.repo.git("rev-parse", "best") == second
    for name in ("-x", "a..b", "", "a b"):
        with pytest.raises(UsageError, match="cannot be called"):
            export("one", name)
    capfd.readouterr()
    assert main(["export", "@", "--to", "dvc", "--tag", "best"]) == 0
    out, err = capfd.readouterr()
    assert out == f"{second}\n"
    assert "gittrack: " in err


AT_ONCE = """
from gittrack.repo import Repo
with Repo.find() as repo:
    run = repo.get_run("one")
    print({repo.export_dvc(run, "race").commit for _ in range(10)})
"""


@pytest.mark.deep
def test_processes_that_export_at_once_make_one_commit(world: World) -> None:
    command = [sys.executable, "-c", AT_ONCE]
    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    printed = {racer.communicate()[0] for racer in racers}
    assert printed == {f"{ {export('one')} }\n"}
    assert world.repo.git("rev-parse", "race") == export("one")


def test_tags_of_others_are_no_exports(world: World) -> None:
    commit = world.repo.git("rev-parse", "HEAD")
    world.repo.git("tag", "-a", "-m", "one\u2028two\x0bthree", "odd", commit)
    world.repo.git("tag", "blob", world.repo.git("rev-parse", "HEAD:train.py"))
    mine = export("one")
    world.repo.git("tag", "-a", "-m", "annotated", "annotated", mine)
    with Repo.find() as repo:
        found = {item.ref: item.commit for item in find_exports(repo.git)}
        assert found["refs/tags/annotated"] == mine
        assert len(found) == 2
        # A tag with a message is on the commit, too.
        assert repo.export_dvc(repo.get_run("one"), "annotated").commit == mine


def test_purged_runs_lose_their_exports(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    export("one", "kept")
    export("two")
    with Repo.find() as repo:
        assert {found.ref for found in find_exports(repo.git)} == {
            "refs/tags/kept",
            *(layout.export_ref(repo.get_run(name).short_id) for name in ("one", "two")),
        }
        assert repo.fsck().is_sound
    assert main(["purge", "one"]) == 0
    assert "git tag -d kept" in capfd.readouterr().err
    with Repo.find() as repo:
        left = [found.ref for found in find_exports(repo.git)]
        assert left == [layout.export_ref(repo.get_run("two").short_id), "refs/tags/kept"]


def test_exports_are_not_sent_unasked(world: World) -> None:
    hub = world.top / "hub.git"
    world.repo.git("init", "-q", "--bare", str(hub))
    world.repo.git("remote", "add", "origin", str(hub))
    export("one")
    assert main(["push"]) == 0
    assert main(["sync"]) == 0
    there = GitRepo(hub).git("for-each-ref", "--format=%(refname)").splitlines()
    assert there
    assert not [ref for ref in there if "export" in ref]


# -- pure ------------------------------------------------------------------------------------


def test_no_secret_is_published() -> None:
    remotes = {
        "base": {"url": "https://ada:secret@host:1/dvc/?sig=secret#x", "user": "ada",
                 "password": "secret", "ssl_verify": "/etc/secret.pem", "jobs": 4, "verify": False},
        "team": {"url": "remote://Base/team/", "ask_password": True, "new_option": "secret",
                 "custom_auth_header": 'X "T"', "auth": "custom"},
        "loop": {"url": "remote://loop/x"},
        "s3": {"url": "s3://bucket/x", "access_key_id": "secret", "secret_access_key": "secret",
               "session_token": "secret", "configpath": "/secret", "region": "eu, west",
               "sse_customer_key": "secret", "use_ssl": True, "worktree": True},
    }  # fmt: skip
    team = dvcfiles.publish("team", remotes, "gittrack")
    assert team is not None
    assert team.options == {
        "url": "https://ada@host:1/dvc/team",
        "ask_password": "true", "auth": "custom", "custom_auth_header": 'X "T"', "jobs": "4",
        "user": "ada",
    }  # fmt: skip
    assert team.left_out == ("new_option", "password", "ssl_verify")
    assert dvcfiles.publish("loop", remotes, "gittrack") is None
    s3 = dvcfiles.publish("s3", remotes, "gittrack")
    assert s3 is not None
    assert s3.options == {"url": "s3://bucket/x", "region": "eu, west"}
    text = (dvcfiles.encode_config(team) + dvcfiles.encode_config(s3)).decode()
    assert "secret" not in text
    assert "custom_auth_header = 'X \"T\"'\n" in text
    assert 'region = "eu, west"\n' in text
    assert "['remote \"s3-gittrack\"']\n    url = remote://s3/gittrack\n" in text


def test_what_one_clone_alone_says_is_not_published_and_holds_all_the_same(
    here: GitRepo, tmp_path: Path
) -> None:
    """An address in config.local is that clone's own, and DVC finds our folder below it."""
    here.write(
        ".dvc/config", "[core]\n    remote = team\n['remote \"team\"']\n    url = ../../common\n"
    )
    here.write(".dvc/config.local", "['remote \"team\"']\n    url = ../../mine\n    jobs = 3\n")
    here.write("model.bin", "m" * 200_000)
    with gittrack.start_run(run_name="one"):
        gittrack.log_artifact("model.bin")
    close()
    with Repo.find() as repo:
        assert repo.push_artifacts().sent == 1
        done = repo.export_dvc(repo.get_run("one"))
    assert (tmp_path / "mine" / "gittrack").is_dir()
    config = here.git("show", f"{done.commit}:.dvc/config")
    assert f"url = {tmp_path / 'common'}" in config
    assert "mine" not in config
    assert "jobs" not in config
    shutil.rmtree(Path(here.path, ".dvc", "cache"), ignore_errors=True)
    got = tmp_path / "got.bin"
    dvc(here.path, ["get", "-q", ".", "artifacts/model.bin", "--rev", done.commit, "-o", str(got)])
    assert got.read_bytes() == b"m" * 200_000


@pytest.mark.parametrize(
    ("path", "safe"),
    [
        ("model größe.pt", "model größe.pt"),
        (".hydra/config.yaml", ".hydra/config.yaml"),
        ("a+b (1), #2 [x]{y}.txt", "a+b (1), #2 [x]{y}.txt"),
        ("x.dvc", "x%2Edvc"),
        ("X.DVC/y", "X%2EDVC/y"),
        ("x%2Edvc", "x%252Edvc"),
        ("Dvc.Yaml", "Dvc%2EYaml"),
        (".DVC/config", "%2EDVC/config"),
        (".git", "%2Egit"),
        ("git~1/x", "git%7E1/x"),
        (".gitattributes", "%2Egitattributes"),
        ("con.txt", "%63on.txt"),
        ("a.", "a%2E"),
        ("a\\b", "a%5Cb"),
        ("${x}", "%24%7Bx%7D"),
        (".g\u200cit", "%2Eg%E2%80%8Cit"),
        ("a\udcff", "a%FF"),
        ("a\ud800", "a%5Cud800"),
        ("ä" * 150, None),
    ],
)
def test_names(path: str, safe: str | None) -> None:
    found = dvcfiles.safe_path(path)
    assert found == safe or (safe is None and len(found.encode()) <= 200 and "~" in found)


NAMES = st.sampled_from(
    [".git", ".dvc", "dvc.yaml", "x.dvc", "x%2Edvc", "a", "A", "a%2F", "..", ".", "con", "a" * 300,
     f"{'a' * 183}~98107d5a5b9b8f9f", "ä" * 101, "\ud800", "\udcff", "\n", "git~1", ""]
) | st.text(max_size=6)  # fmt: skip


@given(st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=8))
def test_no_two_artifacts_become_one_and_none_is_taken_for_dvcs_own(paths: set[str]) -> None:
    parents = kept.parents_of(paths)
    found = {dvcfiles.safe_path(path, is_parent=path in parents) for path in paths}
    assert len(found) == len(paths)
    assert not kept.parents_of(found) & found
    for part in {part for path in found for part in path.split("/")}:
        assert part not in ("", ".", "..")
        assert part.isprintable()
        assert len(part.encode()) <= 203
        assert not part.lower().startswith((".git", ".dvc", "git~"))
        assert part.lower() not in ("dvc.yaml", "dvc.lock")
        assert not part.lower().endswith(".dvc")


def test_curves_of_any_key_have_files_of_their_own() -> None:
    keys = ["a", "a.csv/b", "a/b", "/", "..", "x//y", "dvc.yaml", "A"]
    files = dvcfiles.plot_files(keys)
    assert len(set(files.values())) == len(keys)
    assert not kept.parents_of(files.values()) & set(files.values())
    assert all("//" not in file and "/../" not in file for file in files.values())
