"""The real `dvc`: it reads what we sent, and no garbage collection of its own finds it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gittrack.store.dvc.transfer import push
from tests.store.dvc.shelf import Shelf, WebServer, connect, many
from tests.support import GitRepo


def dvc(repo: GitRepo, *args: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *args],
        cwd=repo.path, capture_output=True, text=True, check=False,
        env={**os.environ, "DVC_SITE_CACHE_DIR": f"{repo.path}/../site"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pointers(repo: GitRepo, url: str, folder: str, file: str) -> None:
    """What a run's tree holds for DVC: the remote, with our prefix, and the outputs."""
    repo.write(
        ".dvc/config",
        f"[core]\n    remote = ours\n['remote \"team\"']\n    url = {url}\n"
        "['remote \"ours\"']\n    url = remote://team/gittrack\n",
    )
    repo.write(
        "run.dvc",
        f"outs:\n- md5: {folder}\n  hash: md5\n  path: data\n"
        f"- md5: {file}\n  hash: md5\n  path: model.bin\n",
    )
    repo.commit()


@pytest.fixture(params=["disk", pytest.param("http", marks=pytest.mark.deep)])
def url(request: pytest.FixtureRequest, tmp_path: Path, web: Callable[..., WebServer]) -> str:
    return str(tmp_path / "disk") if request.param == "disk" else web().url


def test_dvc_reads_what_we_sent(url: str, ours: Shelf, repo: GitRepo, tmp_path: Path) -> None:
    files = many(5) | {"é/ü": b"x"}
    folder, file = ours.add_folder(files), ours.add(b"weights")
    how = {"method": "put"} if url.startswith("http") else {}
    assert push(str(ours.folder), connect(url, tmp_path, **how), [folder, file]).is_complete
    pointers(repo, url, folder, file)
    ours.path(file).unlink()
    code = (
        "import dvc.api, sys\n"
        f"with dvc.api.open('model.bin', repo={repo.path!r}, rev='HEAD', mode='rb') as f:\n"
        "    assert f.read() == b'weights'\n"
        f"fs = dvc.api.DVCFileSystem({repo.path!r}, rev='HEAD')\n"
        f"fs.get('data', {str(tmp_path / 'got')!r}, recursive=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "DVC_SITE_CACHE_DIR": f"{repo.path}/../site"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    got = tmp_path / "got"
    assert {path: (got / path).read_bytes() for path in files} == files


def test_dvc_gets_a_folder(ours: Shelf, repo: GitRepo, tmp_path: Path) -> None:
    files = many(5)
    folder, file = ours.add_folder(files), ours.add(b"weights")
    push(str(ours.folder), connect("disk", tmp_path), [folder, file])
    pointers(repo, str(tmp_path / "disk"), folder, file)
    dvc(repo, "get", "-q", repo.path, "data", "-o", str(tmp_path / "got"))
    assert {path: (tmp_path / "got" / path).read_bytes() for path in files} == files


@pytest.mark.parametrize(
    "variant", ["-w", pytest.param("-A", marks=pytest.mark.deep), pytest.param("-a", marks=pytest.mark.deep)]
)  # fmt: skip
def test_no_garbage_collection_of_dvc_finds_ours(
    ours: Shelf, disk: Shelf, repo: GitRepo, tmp_path: Path, variant: str
) -> None:
    """With objects of its own there, one of which nothing needs any more."""
    folder, file = ours.add_folder(many(5)), ours.add(b"weights")
    push(str(ours.folder), connect("disk", tmp_path), [folder, file])
    url = str(tmp_path / "disk")
    repo.write(".dvc/config", f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n")
    theirs = Shelf(tmp_path / "disk")
    garbage = theirs.add(b"garbage")
    repo.commit()
    dvc(repo, "gc", variant, "-c", "-f", "-q")
    assert not theirs.has(garbage)
    assert disk.names() == ours.names()
