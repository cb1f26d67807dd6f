"""A store that real recording, editing, purging and joining made, and ways to damage it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from gittrack.repo import Repo
from gittrack.repo.fsck import Finding, FsckReport
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from gittrack.store.write import Person, Tree, commit, read_ref
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ADA = Person("Ada", "ada@example.org")
#: A file whose name is cut in the store.
LONG = f"{'é' * 60}.py"

_FIRST = """
import gittrack, json, sys

ids = {}
with gittrack.start_run(run_name="clean", experiment="Iris & co", tags={"team": "x"}) as run:
    print("training")
    ids["clean"] = run.id
    gittrack.log_params({"lr": 1e-05, "layers": [64, 32], "deep": {"er": None}, "a b": "\\u00e9"})
    for step in range(5):
        gittrack.log_metrics({"loss": 1 / (step + 1), "val/acc": step / 10})
    gittrack.log_metric("loss", float("nan"))
    for _ in range(2):
        gittrack.log_metric("twice", 1.0, step=3, timestamp=5)
    for path in ("report.txt", "a", ".env", "\\u00e9t\\u00e9/con.txt", "x" * 300, "dvc.yaml"):
        gittrack.log_text(path, path)
    with gittrack.start_run(run_name="nested", nested=True) as child:
        ids["nested"] = child.id
for name in ("deleted", "purged"):
    with gittrack.start_run(run_name=name) as run:
        ids[name] = run.id
        gittrack.log_metric("m", 1)
print(json.dumps(ids), file=sys.stderr)
"""
_DIRTY = """
import gittrack, json, sys

ids = {}
for name in ("dirty", "dirty too"):
    with gittrack.start_run(run_name=name) as run:
        ids[name] = run.id
print(json.dumps(ids), file=sys.stderr)
"""
_RESUMED = """
import gittrack, json, sys

with gittrack.start_run(run_id=sys.argv[1]) as run:
    print("again")
    gittrack.log_metric("loss", 0.01)
    gittrack.log_text("beside a", "a/b")
with gittrack.start_run(run_name="theirs", experiment="of b") as run:
    gittrack.log_param("a", 1)
print(json.dumps({"theirs": run.id}), file=sys.stderr)
"""


def script(repo: GitRepo, text: str, *args: str) -> dict[str, str]:
    """Run a training script; the ids that it says its runs have."""
    done = subprocess.run(
        [sys.executable, "-c", text, *args], cwd=repo.path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": ROOT, "GITTRACK_OUTPUT_CAPTURE": "true"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stderr.splitlines()[-1]))


def make_honest(folder: Path, *options: str) -> dict[str, str]:
    """A hub and two clones, `a` and `b`, that have exchanged all kinds of runs; the ids of these.

    Args:
        options: of `git init`.
    """
    hub = GitRepo.create(folder / "hub.git", "--bare", *options)
    a = GitRepo.create(folder / "a", *options)
    for name in ("train.py", "old.py", "run.sh", "link", LONG):
        a.write(name, f"{name}\n")
    a.write("uv.lock", "version = 1\n")
    a.commit("first")
    a.git("remote", "add", "origin", "../hub.git")
    a.git("push", "-q", "-u", "origin", "HEAD")
    a.git("clone", "-q", hub.path, "../b")
    b = GitRepo(folder / "b")
    b.git("remote", "set-url", "origin", "../hub.git")

    ids = script(a, _FIRST)
    a.write("train.py", "changed\n")
    a.write(LONG, "changed, too\n")
    os.unlink(os.path.join(a.path, "old.py"))
    os.chmod(os.path.join(a.path, "run.sh"), 0o755)
    os.unlink(os.path.join(a.path, "link"))
    Path(a.path, "link").symlink_to("train.py")
    ids |= script(a, _DIRTY)
    with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
        one.share_remote(), two.share_remote()
        one.push("origin")
        two.pull("origin")
        ids |= script(b, _RESUMED, ids["clean"])
        two.set_tags([two.get_run("clean")], {"of": "b"})
        one.set_tags([one.get_run("clean")], {"of": "a", "more": "é"})
        one.rename_experiment(one.get_experiment("Iris & co"), "flowers")
        one.delete_runs([one.get_run("deleted")])
        one.purge_runs([one.get_run("purged")])
        one.push("origin")
        two.push("origin")
        one.pull("origin")
    (folder / "ids.json").write_text(json.dumps(ids))
    return ids


class Lab:
    """A copy of one clone of such a store, to be damaged."""

    def __init__(self, honest: Path, repo: Path, clone: str = "a") -> None:
        shutil.copytree(honest / clone, repo, symlinks=True)
        self.repo = GitRepo(repo)
        self.git = Git(find_paths(self.repo.path, {}))
        self.ids: dict[str, str] = json.loads((honest / "ids.json").read_text())

    def folder(self, run: str) -> str:
        """The folder of the run that was called so."""
        return layout.run_dir(self.ids[run])

    def list(self, folder: str) -> list[str]:
        """The paths of all files below a folder."""
        out = self.repo.git("ls-tree", "-r", "-z", "--name-only", layout.STORE_REF, f"{folder}/")
        return [path for path in out.split("\0") if path]

    def one(self, folder: str, *parts: str) -> str:
        """The path of the only file below a folder that has all those parts in its name."""
        (found,) = [path for path in self.list(folder) if all(part in path for part in parts)]
        return found

    def read(self, path: str) -> bytes:
        """The bytes of a file of the store."""
        found = self.git.cat_file().read(f"{layout.STORE_REF}:{path}")
        assert found is not None, path
        return found.data

    def change(self, files: Mapping[str, bytes | None]) -> None:
        """Commit changed files, as an evil or a broken gittrack might."""
        tip = read_ref(self.git, layout.STORE_REF)
        tree = Tree(dict(files), "damage\n")
        commit(self.git, layout.STORE_REF, tip, tree, ADA, 2_000_000_000, fsync=False)

    def edit(self, path: str, old: bytes, new: bytes) -> None:
        """Commit one file with something in it replaced."""
        data = self.read(path)
        assert old in data, (path, data)
        self.change({path: data.replace(old, new)})

    def move(self, old: str, new: str) -> None:
        """Commit all that lies at one place at another."""
        paths = [path for path in self.list(old) if path.startswith(f"{old}/")] or [old]
        self.change({new + path[len(old) :]: self.read(path) for path in paths})
        self.change(dict.fromkeys(paths))

    def oid(self, path: str) -> str:
        """The id of an object of the store."""
        return self.repo.git("rev-parse", f"{layout.STORE_REF}:{path}")

    def loosen(self) -> None:
        """Every object in a file of its own, as a small fetch leaves them."""
        self.git.close()
        folder = Path(self.git.common_dir, "objects", "pack")
        for pack in sorted(folder.glob("*.pack")):
            data = pack.read_bytes()
            for path in folder.glob(f"{pack.stem}.*"):
                path.unlink()
            self.git.run("unpack-objects", "-q", input=data)

    def loose(self, oid: str) -> Path:
        """The file of a loose object."""
        return Path(self.git.common_dir, "objects", oid[:2], oid[2:])

    def spoil(self, how: str, oid: str) -> None:
        """Damage a loose object on disk."""
        path = self.loose(oid)
        data = path.read_bytes()
        path.unlink()
        if how == "flipped at its end":
            path.write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
        elif how == "flipped at its beginning":
            path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
        elif how == "cut short":
            path.write_bytes(data[: len(data) // 2])
        elif how == "empty":
            path.write_bytes(b"")
        elif how == "another's":
            other = self.loose(
                self.git.run("hash-object", "-w", "--stdin", input=b"x").decode()[:-1]
            )
            path.write_bytes(other.read_bytes())
        else:
            assert how == "deleted"

    def fsck(self, *, history: bool = False, sources: bool = False) -> FsckReport:
        """What a check finds now."""
        self.git.close()
        with Repo.find(self.repo.path, {}) as opened:
            return opened.fsck(history=history, sources=sources)

    def found(self, *, history: bool = False, sources: bool = False) -> list[Finding]:
        """The findings alone."""
        return list(self.fsck(history=history, sources=sources).findings)
