"""What is purged goes from every clone, and does not come back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gittrack.cli import main as cli
from gittrack.errors import RemoteError, RunNotFoundError, SourceError, UsageError
from gittrack.repo import Repo
from gittrack.store import layout
from tests.repo.test_remotes_go_wrong import hub_of, shared
from tests.repo.test_sync import REF, ROOT, clones, names, record, tip
from tests.support import GitRepo

SECRET = "the-words-that-must-go"


def sync(repo: GitRepo) -> None:
    with Repo.find(repo.path, {}) as opened:
        opened.pull("origin")
        opened.push("origin")


def listing(repo: GitRepo) -> str:
    return repo.git("ls-tree", "-r", "--name-only", REF)


def holds(repo: GitRepo, text: str) -> bool:
    """Whether any object that git still has holds a text."""
    ids = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype)")
    blobs = [line.split(" ")[0] for line in ids.splitlines() if line.endswith("blob")]
    found = subprocess.run(
        ["git", "cat-file", "--batch"], cwd=repo.path, input="\n".join(blobs).encode(),
        capture_output=True, check=True,
    )  # fmt: skip
    return text.encode() in found.stdout


def test_a_purged_run_goes_everywhere_whatever_was_done_to_it_meanwhile(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    with Repo.find(a.path, {}) as one, Repo.find(b.path, {}) as two:
        run = one.get_run("one")
        two.set_tags([two.get_run("one")], {"keep": "me"})
        plan = one.purge_runs([run], dry_run=True)
        assert plan.runs == (run.id,) and names(a) == {"one", "two"}
        assert one.purge_runs([run]) == plan
        with pytest.raises(RunNotFoundError):
            one.get_run("one")
        with pytest.raises(RunNotFoundError, match="no longer in the store"):
            one.purge_runs([run])
    sync(a)
    sync(b)
    sync(a)
    assert names(a) == names(b) == {"two"}
    assert tip(a) == tip(b)
    # Only the tombstone still names it.
    assert [path for path in listing(a).splitlines() if run.id in path] == [
        layout.tombstone("run", run.id)
    ]
    # Its name is not in the commit's message, which stays.
    assert a.git("log", "--format=%s", "--grep=purge", REF) == f"purge {run.short_id} [skip ci]"


def test_a_run_that_goes_on_is_not_purged(tmp_path: Path) -> None:
    (a,) = clones(tmp_path, 1)
    with Repo.find(a.path, {}) as one:
        command = [sys.executable, "-m", "gittrack", "start"]
        env = {**os.environ, "PYTHONPATH": ROOT}
        run_id = subprocess.check_output(command, cwd=a.path, env=env, text=True).strip()
        with pytest.raises(UsageError, match="not all in the store"):
            one.purge_runs([one.get_run(run_id)])


def record_dirty(repo: GitRepo, name: str, text: str) -> str:
    repo.write("a.txt", f"{text}\n")
    return record(repo, name)


def test_changed_files_go_with_the_last_run_that_had_them(tmp_path: Path) -> None:
    a, b = clones(tmp_path, 2)
    for name in ("first", "second"):
        record_dirty(a, name, SECRET)
    with Repo.find(a.path, {}) as one:
        one.share_remote()
        one.push("origin")
    with Repo.find(b.path, {}) as two:
        two.share_remote()
        two.pull("origin")
    assert "source/" in listing(a)
    with Repo.find(a.path, {}) as one:
        assert one.purge_runs([one.get_run("first")]).overlays == ()
        assert "source/" in listing(a).replace("tombstones/source", "")
        assert len(one.purge_runs([one.get_run("second")]).overlays) == 1
        assert not any(line.startswith("source/") for line in listing(a).splitlines())
    sync(a)
    sync(b)
    assert not any(line.startswith("source/") for line in listing(b).splitlines())
    # The same changes, run again, are not kept again: that run cannot be rebuilt, and says so.
    record_dirty(b, "again", SECRET)
    assert not any(line.startswith("source/") for line in listing(b).splitlines())
    with Repo.find(b.path, {}) as two, pytest.raises(SourceError):
        two.checkout(two.get_run("again"), str(tmp_path / "out"))


def test_history_that_begins_anew_holds_nothing_of_what_was_purged(tmp_path: Path) -> None:
    a, b = shared(tmp_path)
    hub = hub_of(a)
    record_dirty(a, "secret", SECRET)
    sync(a)
    sync(b)
    for repo in (a, b, hub):
        assert holds(repo, SECRET)
    a.git("checkout", "-q", "a.txt")
    record(b, "late")
    with Repo.find(a.path, {}) as one:
        one.purge_runs([one.get_run("secret")])
        assert one.rewrite_history() == 1
    assert a.git("rev-list", "--count", REF) == "1"
    sync(a)
    sync(b)
    sync(a)
    assert names(a) == names(b) == {"one", "two", "late"}
    assert tip(a) == tip(b) == hub.git("rev-parse", REF)
    for repo in (a, b, hub):
        if repo is not hub:
            repo.git("reflog", "expire", "--expire=now", REF)
        repo.git("gc", "-q", "--prune=now")
        assert not holds(repo, SECRET)
    # The next rewriting goes on from there.
    with Repo.find(b.path, {}) as two:
        assert two.rewrite_history() == 2
    sync(b)
    sync(a)
    assert tip(a) == tip(b)


def test_a_host_that_forbids_forced_pushes_says_so(tmp_path: Path) -> None:
    a, _ = shared(tmp_path)
    hook = "#!/bin/sh\ngit merge-base --is-ancestor $2 $3 || exit 1\n"
    os.chmod(hub_of(a).write("hooks/update", hook), 0o755)
    with Repo.find(a.path, {}) as one:
        one.rewrite_history()
        with pytest.raises(RemoteError, match="does not take runs") as caught:
            one.push("origin")
    assert "hook declined" in caught.value.why
    assert names(a) == {"one", "two"}


def test_what_the_command_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    a, _ = shared(tmp_path)
    monkeypatch.chdir(a.path)
    assert cli.main(["purge"]) == 2
    capfd.readouterr()
    with Repo.find(a.path, {}) as one:
        short = one.get_run("one").short_id
    assert cli.main(["purge", "one", "--dry-run"]) == 0
    assert capfd.readouterr().out == f"would purge {short} one\n"
    assert cli.main(["purge", "one"]) == 0
    out, err = capfd.readouterr()
    assert out == f"purged {short} one\n"
    assert "gittrack purge --rewrite-history" in err
    assert cli.main(["purge", "--rewrite-history"]) == 0
    out, err = capfd.readouterr()
    assert out == "the history of the store begins anew: epoch 1, one commit\n"
    assert "gittrack push origin" in err and "git gc --prune=now" in err
    # What it says to type works.
    assert cli.main(["push", "origin"]) == 0
    assert hub_of(a).git("rev-list", "--count", REF) == "1"
