"""What a person sees of remotes: what went where, what went wrong, and what to type next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Project, environment
from tests.support import started

REF = "refs/gittrack/store/main"


@pytest.fixture
def project(empty: Project) -> Project:
    return empty


@pytest.fixture
def hub(project: Project, tmp_path: Path) -> Project:
    """A bare repository that is the origin of `project`, and has its code and one run."""
    bare = Project(Project.create(tmp_path / "hub.git", "--bare").path)
    project.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    project.git("push", "-q", "-u", "origin", "HEAD")
    project.out("run", "--name", "mine", "--", "true")
    project.out("push")
    return bare


def clone(hub: Project, tmp_path: Path, name: str = "clone") -> Project:
    hub.git("clone", "-q", hub.path, str(tmp_path / name))
    return Project(tmp_path / name)


def test_runs_go_to_a_remote_and_come_from_it(project: Project, tmp_path: Path) -> None:
    done = project.gittrack("push")
    assert done.returncode == 1
    assert "there is no remote to share with" in done.stderr
    project.git("init", "-q", "--bare", str(tmp_path / "hub.git"))
    project.git("remote", "add", "origin", str(tmp_path / "hub.git"))
    project.git("push", "-q", "origin", "HEAD")
    project.out("run", "--name", "mine", "--", "true")
    done = project.gittrack("push")
    assert done.stdout == "1 run went to origin\n"
    assert "gets and gives runs from now on" in done.stderr
    done = project.gittrack("push", "--deadline", "30")
    assert (done.stdout, done.stderr) == ("0 runs went to origin\n", "")
    project.git("clone", "-q", str(tmp_path / "hub.git"), str(tmp_path / "clone"))
    clone = Project(tmp_path / "clone")
    assert clone.out("pull") == "1 run came from origin\n"
    assert clone.out("log", "--format", "%s") == "mine\n"
    clone.out("run", "--name", "theirs", "--", "true")
    assert clone.out("sync") == "0 runs came from origin\n1 run went to origin\n"
    assert "origin has all runs" in clone.out("status")
    assert project.out("sync").startswith("1 run came from origin\n")
    assert project.out("log", "--format", "%s").split() == ["theirs", "mine"]
    assert project.out("remote") == "origin\n"
    assert project.out("remote", "share", "origin") == "origin did so already\n"
    project.out("remote", "unshare", "origin")
    assert project.out("remote") == ""
    assert project.gittrack("remote", "share").returncode == 2


# -- a remote that moved -------------------------------------------------------------------


def test_what_happened_to_a_remote_is_said_with_what_to_type(
    project: Project, hub: Project
) -> None:
    tip = hub.git("rev-parse", REF)
    project.out("run", "--name", "more", "--", "true")
    project.out("push")
    hub.git("update-ref", "-d", REF)
    done = project.gittrack("pull")
    assert done.stdout == "origin has no runs\n"
    assert done.stderr == (
        "gittrack: the runs of origin had been deleted there; yours stay; next: gittrack push origin\n"
    )
    assert "origin lacks 2 runs" in project.out("status")
    done = project.gittrack("push")
    assert (done.stdout, done.stderr) == ("2 runs went to origin\n", "")
    hub.git("update-ref", REF, tip)
    done = project.gittrack("sync")
    assert done.stdout == "0 runs came from origin\n1 run went to origin\n"
    assert "origin had been set back, and lacked runs that it once had" in done.stderr
    # Without a pull in between, a push finds out by itself.
    hub.git("update-ref", REF, tip)
    done = project.gittrack("push")
    assert done.stdout == "1 run went to origin\n"
    assert done.stderr == (
        "gittrack: origin had been set back, and lacked runs that it once had; they were sent again\n"
    )
    hub.git("update-ref", "-d", REF)
    done = project.gittrack("push")
    assert done.stdout == "2 runs went to origin\n"
    assert "the runs of origin had been deleted there; they were sent again" in done.stderr


def test_a_host_that_takes_no_such_refs_is_found_out_and_a_branch_does_instead(
    project: Project, hub: Project, tmp_path: Path
) -> None:
    done = project.gittrack("remote", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (f"origin takes {REF}\norigin shows {REF}\norigin gives back {REF}\n")
    assert "check" not in hub.git("for-each-ref")
    hub.git("update-ref", "-d", REF)
    hub.git("config", "transfer.hideRefs", "refs/gittrack")
    done = project.gittrack("push")
    assert done.returncode == 1
    assert "origin does not take runs" in done.stderr and "hidden" in done.stderr
    assert "next:  gittrack remote check origin" in done.stderr
    done = project.gittrack("remote", "check", "origin")
    assert done.returncode == 1
    assert done.stdout.startswith(f"origin does not take {REF}\n")
    assert "share: {ref: refs/heads/gittrack/store}" in done.stderr
    done = project.gittrack("remote", "check", "--fallback")
    assert done.returncode == 0
    assert "this clone keeps runs on refs/heads/gittrack/store of its remotes" in done.stdout
    assert project.out("push") == "1 run went to origin\n"
    assert hub.git("for-each-ref", "--format=%(refname)") == (
        "refs/heads/gittrack/store\nrefs/heads/main"
    )
    # The team's file says the same for everybody, and plain git pull brings the runs.
    project.write(".gittrack.yaml", "share:\n  ref: refs/heads/gittrack/store\n")
    project.commit("runs are on a branch")
    project.git("push", "-q")
    other = clone(hub, tmp_path)
    assert "mine" in other.out("log")
    project.out("run", "--name", "late", "--", "true")
    project.out("push")
    other.git("pull", "-q")
    assert other.out("log", "--format", "%s") == "late\nmine\n"
    assert other.git("for-each-ref", "--format=%(refname)", "refs/gittrack/remote") == (
        "refs/gittrack/remote/origin/store/main"
    )


def test_a_host_that_hides_refs_is_found_out_too(project: Project, hub: Project) -> None:
    hub.git("config", "uploadpack.hideRefs", "refs/gittrack")
    done = project.gittrack("remote", "check")
    assert done.returncode == 1
    assert done.stdout.startswith(f"origin takes {REF}\norigin does not show {REF}\n    it hides ")
    assert "check" not in hub.git("for-each-ref")


def test_a_probe_that_cannot_be_deleted_is_named(project: Project, hub: Project) -> None:
    hook = Path(hub.write("hooks/update", "#!/bin/sh\ncase $3 in *[!0]*) ;; *) exit 1 ;; esac\n"))
    hook.chmod(0o755)
    done = project.gittrack("remote", "check")
    assert done.returncode == 0
    probe = hub.git("for-each-ref", "--format=%(refname)", "refs/gittrack/check")
    assert f"the probe could not be deleted: git push origin :{probe}" in done.stdout


@pytest.mark.parametrize(
    "args", [["share"], ["share", "x", "--fallback"], ["list", "--deadline", "3"]]
)
def test_wrong_use_of_remote(project: Project, args: list[str]) -> None:
    assert project.gittrack("remote", *args).returncode == 2


def test_remote_tells_what_it_would_do(project: Project, hub: Project) -> None:
    assert project.out("remote", "unshare", "origin", "-n") == (
        "origin would get and give no more runs\n"
    )
    project.out("remote", "unshare", "origin")
    assert project.out("remote", "share", "origin", "--dry-run") == (
        "origin would get and give runs from now on\n"
    )
    assert project.out("remote") == ""


# -- a fresh clone -------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["log", "show", "status"])
def test_a_fresh_clone_shows_the_runs_at_the_first_command(
    hub: Project, tmp_path: Path, command: str
) -> None:
    fresh = clone(hub, tmp_path)
    done = fresh.gittrack(command)
    assert done.returncode == 0
    assert "mine" in done.stdout or "1 run in 1 experiment" in done.stdout
    assert done.stderr.startswith("gittrack: 1 run came from origin; from now on git pull brings")
    assert fresh.gittrack(command).stderr == ""
    assert fresh.out("remote") == "origin\n"


def test_a_store_without_runs_is_taken_over_all_the_same(empty: Project, tmp_path: Path) -> None:
    empty.out("init", "--no-hooks")
    fresh = clone(empty, tmp_path)
    done = fresh.gittrack("log")
    assert done.returncode == 0
    assert done.stderr.startswith("gittrack: origin shares runs, and has none yet; from now on")
    assert fresh.out("remote") == "origin\n"


def test_a_remote_without_runs_is_asked_once(empty: Project, tmp_path: Path) -> None:
    bare = Project(Project.create(tmp_path / "hub.git", "--bare").path)
    empty.git("remote", "add", "origin", bare.path)
    empty.git("push", "-q", "origin", "HEAD")
    trace = tmp_path / "trace"
    for _ in range(2):
        done = empty.gittrack("log", GIT_TRACE=str(trace))
        assert (done.returncode, done.stdout) == (0, "")
        assert done.stderr.startswith("no run has been recorded here yet")
    assert trace.read_text().count("built-in: git ls-remote") == 1
    assert "git fetch" not in trace.read_text()
    # Nothing was set up, and nothing was left.
    assert empty.out("remote") == ""
    assert empty.git("for-each-ref", "refs/gittrack") == ""


def test_a_remote_that_cannot_be_reached_is_said_once_and_does_not_hold_up(
    empty: Project, tmp_path: Path
) -> None:
    empty.git("remote", "add", "origin", str(tmp_path / "nowhere"))
    done = empty.gittrack("log")
    assert done.returncode == 0
    assert "could not be asked" in done.stderr and "next: gittrack pull origin" in done.stderr
    assert "could not be asked" not in empty.gittrack("log").stderr


def test_a_remote_that_does_not_answer_is_left_at_the_deadline(
    empty: Project, tmp_path: Path
) -> None:
    empty.git("remote", "add", "origin", "ssh://example.invalid/x")
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    began = time.monotonic()
    done = empty.gittrack("log", GIT_SSH_COMMAND=str(slow), GITTRACK_SHARE_DEADLINE_S="0.5")
    assert done.returncode == 0 and time.monotonic() - began < 20
    assert "no answer within" in done.stderr


@pytest.mark.timeout(60)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_ends_a_push_ends_what_it_started(empty: Project, tmp_path: Path, number: int) -> None:
    empty.git("remote", "add", "origin", "ssh://example.invalid/x")
    empty.out("run", "--", "true")
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\nexec 3>'{alive}'\necho up >&3\nexec sleep 300\n")
    slow.chmod(0o755)
    command = [sys.executable, "-m", "gittrack", "push"]
    env = {**environment(), "GIT_SSH_COMMAND": str(slow)}
    null = subprocess.DEVNULL
    with (
        started(command, cwd=empty.path, env=env, stdin=null, stdout=null, stderr=null) as process,
        open(alive) as file,
    ):
        assert file.readline() == "up\n"
        process.send_signal(number)
        assert process.wait(30) == (130 if number == signal.SIGINT else -number)
        # Nobody holds it any more.
        assert file.read() == ""


def test_offline_nothing_is_asked(hub: Project, tmp_path: Path) -> None:
    fresh = clone(hub, tmp_path)
    done = fresh.gittrack("log", GITTRACK_OFFLINE="1")
    assert "mine" not in done.stdout and "origin" not in done.stderr
    # But what is typed is done.
    assert fresh.out("pull", GITTRACK_OFFLINE="1") == "1 run came from origin\n"


def test_nobody_is_asked_in_the_middle_of_a_run(hub: Project, tmp_path: Path) -> None:
    fresh = clone(hub, tmp_path)
    fresh.python("import gittrack\nwith gittrack.start_run(run_name='here'): pass")
    assert fresh.git("for-each-ref", "--format=%(refname)", "refs/gittrack/remote") == ""
    # It has a store of its own then; the join comes with the first pull.
    fresh.out("pull")
    assert fresh.out("log", "--format", "%s") == "here\nmine\n"


# -- continuous integration ----------------------------------------------------------------


def test_a_ci_clone_pulls_and_pushes_and_stays_as_shallow_as_it_was(
    project: Project, hub: Project, tmp_path: Path
) -> None:
    for number in range(3):
        project.write("train.py", f"print({number})\n")
        project.commit()
    project.git("push", "-q")
    # As actions/checkout leaves it: one commit, one branch, no identity, HEAD detached.
    ci = Project(Project.create(tmp_path / "ci").path)
    ci.git("remote", "add", "origin", f"file://{hub.path}")
    head = project.git("rev-parse", "HEAD")
    ci.git("fetch", "-q", "--depth", "1", "origin", f"+{head}:refs/remotes/origin/main")
    ci.git("checkout", "-q", "--detach", "origin/main")
    bare = {"GIT_CONFIG_GLOBAL": "/dev/null", "HOME": str(tmp_path), "EMAIL": "", "CI": "true"}
    before = Path(ci.path, ".git", "shallow").read_bytes()

    assert ci.out("pull", **bare) == "1 run came from origin\n"
    ci.out("run", "--name", "in-ci", "--", "true", **bare)
    assert ci.out("push", "--deadline", "60", **bare) == "1 run went to origin\n"
    assert Path(ci.path, ".git", "shallow").read_bytes() == before
    assert ci.git("rev-list", "--count", "HEAD") == "1"
    assert not ci.sh("ls .git/FETCH_HEAD.lock 2>/dev/null || true")
    project.out("pull")
    assert project.out("log", "--format", "%s") == "in-ci\nmine\n"
    # What ran there is checked out elsewhere, and what ran elsewhere there.
    project.out("checkout", "in-ci", "--into", str(tmp_path / "out"))
    assert (tmp_path / "out" / "train.py").read_text() == "print(2)\n"
    ci.out("checkout", "mine", "--into", str(tmp_path / "back"), **bare)
    assert (tmp_path / "back" / "train.py").read_text() == "print('hello')\n"


def test_a_clone_that_was_whole_is_not_made_shallow(
    project: Project, hub: Project, tmp_path: Path
) -> None:
    whole = clone(hub, tmp_path)
    whole.out("pull")
    whole.out("sync")
    assert not Path(whole.path, ".git", "shallow").exists()
    # A user's own shallow fetch cuts what was fetched of the store, too; nothing is lost by it.
    for number in range(3):
        project.out("run", "--name", f"more{number}", "--", "true")
        project.out("push")
    whole.git("remote", "set-url", "origin", f"file://{hub.path}")
    whole.out("run", "--name", "here", "--", "true")
    whole.git("fetch", "-q", "--depth", "1", "origin")
    assert len(whole.out("log", "--format", "%s").split()) == 5
    assert "1 run went to origin" in whole.out("sync")
    project.out("pull")
    assert len(project.out("log", "--format", "%s").split()) == 5
    assert project.git("rev-parse", REF) == whole.git("rev-parse", REF)
