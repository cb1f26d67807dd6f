"""No garbage collection of DVC deletes what a run needs, here or on the remote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import gittrack
from gittrack.repo import Repo
from tests.repo.conftest import close
from tests.repo.test_artifacts import data_of, fill
from tests.support import GitRepo

#: Every variant that there is; each with and without the remote.
VARIANTS = [
    ("-w",), ("-a",), ("-T",), ("-A",), ("--all-experiments",), ("--rev", "HEAD"),
    ("--date", "2999-01-01"), ("-w", "--not-in-remote"), ("-A", "--not-in-remote"),
]  # fmt: skip
CLOUD = [(*variant, "-c") for variant in VARIANTS if "--not-in-remote" not in variant]


def dvc(repo: GitRepo, *args: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *args], cwd=repo.path, capture_output=True, text=True,
        check=False, env={**os.environ, "DVC_SITE_CACHE_DIR": f"{repo.path}/../site"},
    )  # fmt: skip
    assert done.returncode == 0, (args, done.stdout + done.stderr)


def files_below(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "variants", [[("-w", "-c")], pytest.param([*VARIANTS, *CLOUD], marks=pytest.mark.deep)],
    ids=["one", "all"],
)  # fmt: skip
def test_dvc_gc_leaves_what_runs_need(
    here: GitRepo, tmp_path: Path, variants: list[tuple[str, ...]]
) -> None:
    remote = tmp_path / "remote"
    dvc(here, "init", "-q")
    dvc(here, "remote", "add", "-q", "-d", "team", str(remote))
    fill(Path(here.path), ["shared.bin", "garbage.bin", *(f"ckpt/{n}" for n in range(25))])
    for name in ("shared.bin", "garbage.bin"):
        dvc(here, "add", "-q", name)
        dvc(here, "push", "-q", name)
    with gittrack.start_run() as run:
        gittrack.log_artifact("shared.bin")
        gittrack.log_artifacts("ckpt", "ckpt")
    close()
    with Repo.find() as repo:
        place = Path(repo.objects.path(repo.get_run(run.id).artifacts["shared.bin"].md5 or ""))
        assert place.stat().st_nlink == 2, "linked with DVC's cache"
        assert repo.push_artifacts().sent == 27
    ours = files_below(remote / "gittrack")
    for path in ("shared.bin.dvc", "garbage.bin.dvc", "shared.bin", "garbage.bin"):
        Path(here.path, path).unlink()
    here.commit("nothing is tracked any more")
    for variant in variants:
        dvc(here, "gc", "-f", "-q", *variant)
        assert files_below(remote / "gittrack") == ours, variant
        with Repo.find() as repo:
            assert repo.verify_artifacts(repo.search_runs()).troubles == (), variant
    assert place.stat().st_nlink == 1, "DVC did delete what it could"
    with Repo.find() as repo:
        assert repo.read_artifact(run.id, "shared.bin") == data_of("shared.bin")
