"""Runs go along with `git push`: the command line, the hook and git, all real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gittrack.repo.hints import hints_file, read_hints
from gittrack.store import hookconfig, hooks
from gittrack.store.git import Git
from gittrack.store.paths import RepoPaths
from gittrack.store.remote import Link
from tests.cli.conftest import ROOT, Project, environment
from tests.support import GitRepo

STORE = "refs/gittrack/store/main"
without_configured_hooks = pytest.mark.skipif(
    hookconfig.is_supported(Git(RepoPaths("/", "/", None))),
    reason="this git runs hooks that its configuration names",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what every test starts from is made once; nothing in it knows where it lies."""
    return tmp_path_factory.mktemp("made") / "all"


@pytest.fixture
def shared(empty: Project, made: Path) -> Project:
    """A repository with a run, whose remote gets runs, with the hooks installed."""
    top = Path(empty.path).parent
    if not made.exists():
        GitRepo.create(top / "hub.git", "--bare")
        empty.git("remote", "add", "origin", "../hub.git")
        empty.out("run", "--name", "one", "--", "true")
        assert "git push sends runs along" in empty.out("remote", "share", "origin")
        assert "installed in" in empty.out("hooks", "install")
        shutil.copytree(top, made, symlinks=True)
    else:
        shutil.rmtree(empty.path)
        shutil.copytree(made, top, symlinks=True, dirs_exist_ok=True)
    return empty


def push(repo: GitRepo, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """`git push` with these arguments, as in a shell that knows this checkout."""
    return subprocess.run(
        ["git", "push", *args], cwd=repo.path, env={**environment(), **env},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def refs(repo: GitRepo, name: str = "hub.git") -> dict[str, str]:
    """What a repository beside that one holds, ref to commit."""
    hub = GitRepo(f"{repo.path}/../{name}")
    lines = hub.git("for-each-ref", "--format=%(refname) %(objectname)").splitlines()
    return dict(line.split() for line in lines)


def test_runs_go_along_with_a_push_and_that_is_said_once(shared: Project) -> None:
    done = push(shared, "-q", "origin", "HEAD")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "gittrack: 1 run went to origin (../hub.git) along with your push, as new ones will; "
        "to stop: gittrack remote unshare origin\n"
    )
    # The commit that the run stands on goes by itself: it needs no other ref to be there.
    assert refs(shared) == {
        "refs/heads/main": shared.git("rev-parse", "HEAD"),
        STORE: shared.git("rev-parse", STORE),
    }
    # With nothing else to push, new runs go all the same.
    shared.out("run", "--name", "two", "--", "true")
    done = push(shared, "-q", "origin", "HEAD")
    assert (done.returncode, done.stderr) == (0, "")
    assert refs(shared)[STORE] == shared.git("rev-parse", STORE)


def test_porcelain_output_is_git_s_alone(shared: Project) -> None:
    done = push(shared, "--porcelain", "origin", "HEAD")
    assert done.stdout.splitlines()[1:] == ["*\tHEAD:refs/heads/main\t[new branch]", "Done"]
    assert STORE in refs(shared)


@pytest.mark.parametrize("word", ["-n", "--dry-run", "-vn"])
def test_a_dry_run_sends_nothing(shared: Project, word: str) -> None:
    assert push(shared, word, "origin", "HEAD").returncode == 0
    assert refs(shared) == {}


def test_an_alias_for_a_dry_run_sends_nothing(shared: Project) -> None:
    shared.git("config", "alias.try", "push --dry-run")
    shared.git("try", "origin", "HEAD", env=environment())
    assert refs(shared) == {}


def test_switched_off_or_passed_by_nothing_is_sent(shared: Project) -> None:
    assert push(shared, "origin", "HEAD", GITTRACK="0").returncode == 0
    assert push(shared, "--no-verify", "origin", "HEAD:refs/heads/other").returncode == 0
    assert set(refs(shared)) == {"refs/heads/main", "refs/heads/other"}


def test_a_push_to_a_url_or_an_unshared_remote_sends_nothing(shared: Project) -> None:
    for name in ("other.git", "repo/inner"):
        GitRepo.create(f"{shared.path}/../{name}", "--bare")
    shared.git("remote", "add", "other", "../other.git")
    assert push(shared, "other", "HEAD").returncode == 0
    assert push(shared, "../hub.git", "HEAD").returncode == 0
    # To git a path is no remote, even where there are settings for one of that name.
    shared.git("config", "remote.inner.fetch", Link("inner").refspec)
    assert push(shared, "inner", "HEAD").returncode == 0
    for name in ("hub.git", "other.git", "repo/inner"):
        assert set(refs(shared, name)) == {"refs/heads/main"}


def test_who_pushes_our_ref_alone_is_not_disturbed(shared: Project) -> None:
    done = push(shared, "origin", "HEAD", STORE)
    assert done.returncode == 0, done.stderr
    assert set(refs(shared)) == {"refs/heads/main", STORE}
    done = push(shared, "origin", "HEAD:refs/heads/more", f":{STORE}")
    assert done.returncode == 0, done.stderr
    assert set(refs(shared)) == {"refs/heads/main", "refs/heads/more"}


def test_trouble_is_one_line_and_stops_nothing(shared: Project) -> None:
    hook = Path(shared.path, "../hub.git/hooks/update")
    hook.write_text(f'#!/bin/sh\n[ "$1" != {STORE} ]\n')
    hook.chmod(0o755)
    done = push(shared, "-q", "origin", "HEAD")
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("gittrack: 1 run did not go along to origin: origin does not take runs")
    assert "hook declined" in line and line.endswith("or: gittrack push origin")
    assert set(refs(shared)) == {"refs/heads/main"}
    # What did not go goes next time.
    hook.unlink()
    assert "1 run went to origin" in push(shared, "-q", "origin", "HEAD:refs/heads/next").stderr
    assert STORE in refs(shared)


def test_a_remote_that_takes_its_time_is_left_at_the_deadline(shared: Project) -> None:
    hook = Path(shared.path, "../hub.git/hooks/update")
    hook.write_text(f'#!/bin/sh\n[ "$1" != {STORE} ] || exec sleep 20\n')
    hook.chmod(0o755)
    began = time.monotonic()
    done = push(shared, "-q", "origin", "HEAD", GITTRACK_SHARE_DEADLINE_S="1")
    assert time.monotonic() - began < 15
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert "1 run did not go along to origin" in line and "no answer within" in line
    assert refs(shared)["refs/heads/main"] == shared.git("rev-parse", "HEAD")


def test_every_url_of_a_remote_gets_them(shared: Project) -> None:
    GitRepo.create(f"{shared.path}/../second.git", "--bare")
    for url in ("../hub.git", "../second.git"):
        shared.git("remote", "set-url", "--add", "--push", "origin", url)
    assert push(shared, "-q", "origin", "HEAD").returncode == 0
    assert STORE in refs(shared) and STORE in refs(shared, "second.git")


def test_runs_of_others_that_came_first_are_joined(shared: Project) -> None:
    assert push(shared, "-q", "-u", "origin", "HEAD").returncode == 0
    shared.git("clone", "-q", "../hub.git", "../clone")
    clone = Project(f"{shared.path}/../clone")
    clone.out("pull")
    clone.out("run", "--name", "theirs", "--", "true")
    assert push(clone).stderr.count("1 run went to origin") == 1
    shared.out("run", "--name", "mine", "--", "true")
    done = push(shared)
    assert (done.returncode, "gittrack" in done.stderr) == (0, False)
    assert shared.out("log", "--format", "%s").split() == ["mine", "theirs", "one"]
    clone.git("pull", "-q")
    assert clone.out("log", "--format", "%s").split() == ["mine", "theirs", "one"]
    assert refs(shared)[STORE] == clone.git("rev-parse", STORE)


def test_a_branch_carries_runs_where_nothing_else_does(shared: Project) -> None:
    shared.git("config", "gittrack.share.ref", "refs/heads/gittrack/store")
    shared.out("remote", "share", "origin")
    assert push(shared, "-q", "origin", "HEAD").returncode == 0
    assert set(refs(shared)) == {"refs/heads/main", "refs/heads/gittrack/store"}


def test_offline_a_push_is_the_users_alone(shared: Project) -> None:
    done = push(shared, "-q", "origin", "HEAD", GITTRACK_OFFLINE="1")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(refs(shared)) == {"refs/heads/main"}


def test_init_installs_the_hook_unless_it_is_not_wished(empty: Project) -> None:
    hook = Path(empty.path, ".git/hooks/pre-push")
    switch = Path(empty.path, ".git/gittrack/autorecord")
    assert "would write" in empty.out("init", "--dry-run") and not hook.exists()
    empty.out("init", "--no-hooks")
    assert empty.gittrack("init", GITTRACK_HOOKS_INSTALL="no").stdout.count("pre-push") == 0
    assert not hook.exists() and not switch.exists()
    assert empty.out("init").endswith(
        "wrote .git/hooks/pre-push: git push sends runs along, once shared\n"
        "wrote .git/hooks/post-commit and 3 more: commits are recorded\n"
    )
    assert switch.exists()
    empty.git("remote", "add", "origin", "../hub.git")
    assert "pre-push" not in empty.out("init")


@without_configured_hooks
def test_where_the_hook_cannot_be_that_is_said_and_runs_are_shared(empty: Project) -> None:
    GitRepo.create(f"{empty.path}/../hub.git", "--bare")
    empty.git("remote", "add", "origin", "../hub.git")
    empty.git("config", "core.hooksPath", ".husky/_")
    empty.out("run", "--name", "one", "--", "true")
    done = empty.gittrack("push")
    assert done.stdout == "1 run went to origin\n"
    assert "git push does not send runs along; core.hooksPath is .husky/_" in done.stderr
    assert "next: gittrack hooks install" in done.stderr


def test_the_repository_that_is_pushed_counts(shared: Project) -> None:
    other = Project(GitRepo.create(f"{shared.path}/../other").path)
    other.commit()
    other.git("remote", "add", "origin", "../nowhere.git")
    other.out("run", "--", "true")
    other.out("remote", "share", "origin")
    done = push(shared, "-q", "origin", "HEAD", GITTRACK_REPO=other.path)
    assert "1 run went to origin (../hub.git)" in done.stderr
    assert refs(shared)[STORE] == shared.git("rev-parse", STORE)


def test_with_an_empty_environment(shared: Project) -> None:
    if not Path(hooks.own_program()[0]).name.startswith("gittrack"):
        pytest.skip("gittrack is not installed: only PYTHONPATH finds it")
    subprocess.run(
        ["env", "-i", f"PATH={os.defpath}", "git", "push", "-q", "origin", "HEAD"],
        cwd=shared.path, capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    assert set(refs(shared)) == {"refs/heads/main", STORE}


def test_from_a_linked_worktree_and_a_submodule(shared: Project) -> None:
    shared.git("worktree", "add", "-q", "../linked")
    linked = GitRepo(f"{shared.path}/../linked")
    assert push(linked, "origin", "HEAD").returncode == 0
    assert set(refs(shared)) == {"refs/heads/linked", STORE}

    GitRepo.create(f"{shared.path}/../top")
    top = GitRepo(f"{shared.path}/../top")
    top.git(
        "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "-b", "linked",
        "../hub.git", "sub",
    )  # fmt: skip
    sub = Project(f"{top.path}/sub")
    sub.out("pull", "origin")
    sub.out("run", "--name", "of-sub", "--", "true")
    sub.out("hooks", "install")
    assert push(sub, "-q", "origin", "HEAD:refs/heads/of-sub").returncode == 0
    assert refs(shared)[STORE] == sub.git("rev-parse", STORE)


def test_the_command_says_what_it_did_and_what_is_left(empty: Project) -> None:
    folder = f"{empty.path}/.git/hooks"
    names = "  pre-push, post-commit, post-merge, post-rewrite, post-applypatch\n"
    switch = Path(empty.path, ".git/gittrack/autorecord")

    def says(state: str, *words: str) -> bool:
        return empty.out("hooks", *words) == f"{state} .git/hooks\n{names}"

    assert empty.out("hooks") == f"missing in .git/hooks\n{names}next: gittrack hooks install\n"
    assert says("would be written in", "install", "-n")
    assert not os.path.exists(f"{folder}/pre-push") and not switch.exists()
    assert says("written in", "install") and switch.exists()
    assert says("installed in", "install")
    record = {
        "name": "pre-push", "path": f"{folder}/pre-push", "state": "installed", "why": "",
        "snippet_file": "", "snippet": "",
    }  # fmt: skip
    found = json.loads(empty.out("hooks", "status", "--format", "json"))
    assert len(found) == 5 and found[0] == record
    assert says("would be removed from", "uninstall", "--dry-run") and switch.exists()
    assert switch.read_bytes() == b""
    assert says("removed from", "uninstall") and switch.read_bytes() == b"off\n"
    assert says("missing in", "uninstall")
    done = empty.gittrack("-C", ".git", "hooks", "install")
    assert done.returncode == 1 and "next:  gittrack -C WORKTREE hooks install" in done.stderr
    assert empty.gittrack("hooks", "remove").returncode == 2


@without_configured_hooks
def test_what_is_left_to_add_by_hand_is_shown_once_for_each_file(empty: Project) -> None:
    empty.git("config", "core.hooksPath", ".husky/_")
    done = empty.gittrack("hooks", "install", GITTRACK_HOOKS_TRAILER="yes")
    assert (done.returncode, done.stderr) == (1, "")
    assert f"add to {empty.path}/.husky/post-commit:\n\n    if command -v gittrack" in done.stdout
    assert "post-applypatch,\n  prepare-commit-msg\n" in done.stdout
    assert Path(empty.path, ".git/gittrack/autorecord").exists()
    assert empty.gittrack("hooks").returncode == 0


# -- commits ---------------------------------------------------------------------------------

#: Before any run of this machine.
OLD = {"GIT_COMMITTER_DATE": "1700000000 +0000"}


def trailers(repo: GitRepo) -> str:
    return repo.git("log", "-1", "--format=%(trailers:only,unfold)")


def test_nothing_is_to_be_installed_in_a_bare_repository(shared: Project) -> None:
    bare = Project(f"{shared.path}/../hub.git")
    assert "missing in hooks" in bare.out("hooks")
    assert "next:" not in bare.out("hooks")


def test_a_commit_names_the_run_before_it_if_that_is_wished(empty: Project) -> None:
    env = {**environment(), **OLD}
    empty.git("commit", "--amend", "-q", "--no-edit", env=env)
    empty.out("run", "--name", "one", "--", "true")
    run = empty.out("log", "--format", "%h").strip()
    empty.out("hooks", "install")
    empty.git("commit", "-q", "--allow-empty", "-m", "not wished", env=env)
    assert trailers(empty) == ""
    empty.git("reset", "-q", "--hard", "HEAD~")
    empty.git("config", "gittrack.hooks.trailer", "true")
    assert "prepare-commit-msg" in empty.out("hooks", "install")
    # Neither what is amended nor what is merged comes from a run.
    empty.git("commit", "-q", "--amend", "--no-edit", env=env)
    assert trailers(empty) == ""
    empty.git("reset", "-q", "--hard", "HEAD@{1}")
    empty.git("switch", "-qc", "side", "HEAD")
    empty.git("commit", "-q", "--allow-empty", "-m", "a result\n\nReviewed-by: Ada", env=env)
    assert trailers(empty) == f"Reviewed-by: Ada\nGittrack-Run: {run}\n"
    empty.git("commit", "-q", "--allow-empty", "-m", "another", env=env)
    assert trailers(empty) == ""
    empty.git("switch", "-q", "main")
    empty.git("merge", "-q", "--no-ff", "--no-edit", "side", env=env)
    assert trailers(empty) == ""
    assert "prepare-commit-msg" in empty.out("hooks", "uninstall")
    assert not Path(empty.path, ".git/hooks/prepare-commit-msg").exists()


def test_frameworks_that_start_the_command_have_the_same_noted(empty: Project) -> None:
    empty.out("hooks", "install")
    head = empty.git("rev-parse", "HEAD")
    common = f"{empty.path}/.git"

    def call(*words: str, said: str = "", **env: str) -> list[tuple[str, ...]]:
        Path(hints_file(common)).unlink(missing_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "gittrack", "hook", *words], cwd=empty.path, input=said,
            env={**environment(), **env}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        return [tuple(word for word in hint if word) for hint in read_hints(common)[0]]

    assert call("post-commit") == call("post-merge", "0") == [("commit", head)]
    assert call("post-merge", "1") == call("post-merge", PRE_COMMIT_IS_SQUASH_MERGE="1") == []
    pairs = f"{'1' * 40} {head}\n{'2' * 40} {head}\n"
    assert call("post-rewrite", "rebase", said=pairs) == [
        ("rewrite", head, digit * 40, "rebase") for digit in "12"
    ]
    # pre-commit does not hand on the pairs.
    assert call("post-rewrite", PRE_COMMIT_REWRITE_COMMAND="amend") == [("commit", head)]
    Path(common, "rebase-merge").mkdir()
    assert call("post-applypatch") == []


def test_hooks_of_a_framework_record_in_clones_that_know_nothing_of_it(empty: Project) -> None:
    empty.write("params.yaml", "lr: 0.1\n")
    empty.commit("history")
    assert empty.gittrack("hook", "post-commit").returncode == 0
    names = ("log", "--format", "tformat:%s")
    assert empty.out(*names) == "history\n"
    for text in ("0.2", "0.3"):
        empty.write("params.yaml", f"lr: {text}\n")
        empty.commit(text)
        empty.out("hook", "post-commit")
    # The commits that hooks told of are new, whatever was looked at before.
    Path(empty.path, ".git/gittrack/seen.json").unlink()
    assert empty.out(*names).split() == ["0.3", "0.2", "history"]
    # Who has stopped that has.
    empty.out("hooks", "uninstall")
    empty.write("params.yaml", "lr: 0.4\n")
    empty.commit("0.4")
    empty.out("hook", "post-commit")
    assert empty.out(*names).split() == ["0.3", "0.2", "history"]
    empty.out("hooks", "install")
    empty.write("params.yaml", "lr: 0.5\n")
    empty.commit("0.5")
    empty.out("hook", "post-commit")
    assert empty.out(*names).split() == ["0.5", "0.3", "0.2", "history"]


# -- gittrack hook ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        [], ["pre-push"], ["pre-push", "origin"], ["pre-push", "--parent"], ["nonsense", "x"],
        ["pre-push", "--parent", "x", "origin", "url"], ["pre-push", "--parent", "-5", "origin", "url"],
        ["pre-push", "a", "b", "c"], ["--help"], ["pre-push", "--parent", "99999999999", "origin", "u"],
    ],
)  # fmt: skip
def test_however_it_is_called_it_never_fails(shared: Project, words: list[str]) -> None:
    done = shared.gittrack("hook", *words)
    assert (done.returncode, done.stdout) == (0, "")
    assert len(done.stderr.splitlines()) <= 1 and "Traceback" not in done.stderr


def run_hook(folder: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gittrack", "hook", "pre-push", "origin", "../hub.git"],
        cwd=folder, env=environment(), text=True, check=False, **options,
    )  # fmt: skip


def test_wherever_it_is_called_it_never_fails(
    shared: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = tmp_path / "nowhere"
    nowhere.mkdir()
    done = run_hook(nowhere, capture_output=True, input="")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1)
    assert "no git repository" in done.stderr
    # Settings that cannot be read, and nobody who listens.
    shared.write(".gittrack.yaml", "nonsense: {\n")
    done = run_hook(shared.path, capture_output=True, input="")
    assert (done.returncode, done.stdout) == (0, "")
    assert ".gittrack.yaml" in done.stderr and "Traceback" not in done.stderr
    with open("/dev/full", "wb") as full:
        assert (
            run_hook(shared.path, stdout=full, stderr=full, stdin=subprocess.DEVNULL).returncode
            == 0
        )
    for closed in ("<&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"'{sys.executable}' -m gittrack hook pre-push origin url {closed}"],
            cwd=shared.path, env=environment(), check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, closed
    monkeypatch.setenv("PATH", str(nowhere))  # not even git
    done = run_hook(shared.path, capture_output=True, input="")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (0, "", 1)


def test_an_interrupted_hook_is_no_failure(shared: Project) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gittrack", "hook", "pre-push", "origin", "url"],
        cwd=shared.path, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin and process.stdout
    # It has begun to read once a pipe's worth is gone.
    process.stdin.write(b"x" * 1_000_000)
    process.send_signal(2)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, b"")


def test_the_hidden_command_is_not_listed(empty: Project) -> None:
    listed = empty.out("--help")
    assert "  hooks " in listed and "  hook " not in listed


def test_the_installed_package_brings_the_hooks(tmp_path: Path) -> None:
    program, module = hooks.own_program()
    if module:
        pytest.skip("gittrack is not installed")
    repo = GitRepo.create(tmp_path / "repo")
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [program, "hooks", "install"], cwd=repo.path, env=env, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    there = Path(repo.path, ".git/hooks/pre-push").read_text()
    shipped = (ROOT / "hooks" / "pre-push").read_text()
    assert there.splitlines()[-5:] == shipped.splitlines()[-5:]


@pytest.mark.timeout(60)
def test_who_calls_a_hook_may_leave_its_input_open(shared: Project) -> None:
    source, end = os.pipe()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "gittrack", "hook", "post-rewrite", "rebase"],
            cwd=shared.path, env=environment(), stdin=source, capture_output=True,
        )  # fmt: skip
    finally:
        os.close(source)
        os.close(end)
    assert (done.returncode, done.stderr) == (0, b"")
