"""No garbage collection of DVC deletes what a run needs, here or on the remote."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


#: DVC takes a second to start, so one process does what several commands would.
MAIN = """
import json, sys
from dvc.cli import main
for args in json.loads(sys.argv[1]):
    if main(args):
        sys.exit(f"{args} failed")
"""


def dvc(repo: GitRepo, *commands: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAIN, json.dumps(commands)], cwd=repo.path,
        capture_output=True, text=True, check=False,
        env={**os.environ, "DVC_SITE_CACHE_DIR": f"{repo.path}/../site", "DVC_NO_ANALYTICS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def files_below(top: Path) -> set[str]:
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file()}


def test_dvc_gc_leaves_what_runs_need(here: GitRepo, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    names = ("shared.bin", "garbage.bin")
    fill(Path(here.path), [*names, *(f"ckpt/{n}" for n in range(25))])
    dvc(
        here, ("init", "-q"), ("remote", "add", "-q", "-d", "team", str(remote)),
        ("add", "-q", *names), ("push", "-q"),
    )  # fmt: skip
    with gittrack.start_run() as run:
        gittrack.log_artifact("shared.bin")
        gittrack.log_artifacts("ckpt", "ckpt")
    close()
    with Repo.find() as repo:
        place = Path(repo.objects.path(repo.get_run(run.id).artifacts["shared.bin"].md5 or ""))
        assert place.stat().st_nlink == 2, "linked with DVC's cache"
        assert repo.push_artifacts().sent == 27
    ours, theirs = files_below(remote / "gittrack"), files_below(remote)
    for path in (*names, *(f"{name}.dvc" for name in names)):
        Path(here.path, path).unlink()
    here.commit("nothing is tracked any more")
    dvc(here, *(("gc", "-f", "-q", *variant) for variant in (*VARIANTS, *CLOUD)))
    assert place.stat().st_nlink == 1, "DVC did delete what it could"
    assert files_below(remote) - theirs == set()
    assert len(files_below(remote)) < len(theirs), "and on the remote"
    assert files_below(remote / "gittrack") == ours
    with Repo.find() as repo:
        assert repo.verify_artifacts(repo.search_runs()).troubles == ()
        assert repo.read_artifact(run.id, "shared.bin") == data_of("shared.bin")
