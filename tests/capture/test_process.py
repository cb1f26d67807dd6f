from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import types
from collections.abc import Mapping
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from gittrack.capture import process
from gittrack.capture.process import Identity, command_line, entry_script, identity
from gittrack.config import parse_git_config
from tests.support import GitRepo

TOP = Path(__file__).parents[2]
PRINT = """\
import json, os, sys
from gittrack.capture import process
print(json.dumps([process.command_line(), process.entry_script(os.environ.get("TREE"))]))
"""


def started(
    *argv: str | bytes, cwd: Path, tree: Path | None = None, input: str = ""
) -> tuple[list[str], str]:
    """What a process that is started so says of its command line and its entry script."""
    environ = {**os.environ, "PYTHONPATH": str(TOP)} | ({"TREE": str(tree)} if tree else {})
    done = subprocess.run(
        [sys.executable, *argv], cwd=cwd, env=environ, input=input.encode(), capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    line, entry = json.loads(done.stdout)
    return line, entry


def set_main(monkeypatch: pytest.MonkeyPatch, *argv: str, **attributes: object) -> None:
    main = types.ModuleType("__main__")
    vars(main).update(attributes)
    monkeypatch.setitem(sys.modules, "__main__", main)
    monkeypatch.setattr(sys, "argv", list(argv))


# --- the process ------------------------------------------------------------------------------


def test_a_script_is_named_from_the_top_of_the_worktree(tmp_path: Path) -> None:
    (tmp_path / "tree" / "jobs").mkdir(parents=True)
    script = tmp_path / "tree" / "jobs" / "train.py"
    script.write_text(PRINT)
    (tmp_path / "link").symlink_to("tree")
    python = os.path.basename(sys.executable)

    line, entry = started(
        "-O", "train.py", "--lr", "0.1", cwd=script.parent, tree=tmp_path / "tree"
    )
    assert (line, entry) == ([python, "-O", "train.py", "--lr", "0.1"], "jobs/train.py")
    through_link = started("link/jobs/train.py", cwd=tmp_path, tree=tmp_path / "tree")
    assert through_link == ([python, "link/jobs/train.py"], "jobs/train.py")
    worktree_through_link = started("tree/jobs/train.py", cwd=tmp_path, tree=tmp_path / "link")
    assert worktree_through_link[1] == "jobs/train.py"
    outside = started(str(script), cwd=tmp_path, tree=tmp_path / "tree" / "job")
    assert outside[1] == str(script)
    assert started(str(script), cwd=tmp_path)[1] == str(script)


def test_modules_folders_code_and_standard_input_are_named_as_python_names_them(
    tmp_path: Path,
) -> None:
    package = tmp_path / "pkg"
    package.mkdir()
    for name in ("mod.py", "__main__.py", "__init__.py"):
        (package / name).write_text(PRINT if name != "__init__.py" else "")
    python = os.path.basename(sys.executable)
    for argv, entry in (
        (["-m", "pkg.mod", "x"], "-m pkg.mod"),
        (["-m", "pkg"], "-m pkg"),
        (["pkg"], "pkg"),
        (["-c", PRINT, "x"], "-c"),
    ):
        assert started(*argv, cwd=tmp_path, tree=tmp_path) == ([python, *argv], entry)
    assert started("-", "x", cwd=tmp_path, input=PRINT) == ([python, "-", "x"], "-")
    assert started(cwd=tmp_path, input=PRINT) == ([python], "-")


def test_arguments_that_are_no_text_are_shown_with_backslashes(tmp_path: Path) -> None:
    line, _ = started("-c", PRINT, b"caf\xc3\xa9", b"caf\xe9 \\xe9", cwd=tmp_path)
    assert line[3:] == ["caf\u00e9", "caf\\xe9 \\xe9"]


def test_a_notebook_and_a_prompt_have_no_entry_script(monkeypatch: pytest.MonkeyPatch) -> None:
    set_main(monkeypatch, "")
    assert entry_script("/tmp") == ""
    set_main(monkeypatch, "/opt/lib/python3.11/site-packages/ipykernel_launcher.py", __spec__=None)
    assert entry_script("/tmp") == ""
    monkeypatch.delitem(sys.modules, "__main__")
    monkeypatch.setattr(sys, "argv", [])
    assert entry_script("/tmp") == ""


def test_an_embedded_python_has_only_argv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "orig_argv", [])
    monkeypatch.setattr(sys, "argv", ["/opt/blender", "\ud800"])
    assert command_line() == ["/opt/blender", "\\ud800"]


def test_the_boot_is_told_and_stays_the_same() -> None:
    told = process.boot_id()
    assert told == process.boot_id()
    if sys.platform == "linux":
        assert told == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        assert len(told) == 36


def test_a_system_without_boot_ids_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    process.boot_id.cache_clear()
    monkeypatch.setattr(process, "open", lambda *_: (_ for _ in ()).throw(OSError), raising=False)
    try:
        assert process.boot_id() == ""
        assert process.ask("sysctl", "-n", "kern.no.such.name", timeout_s=5) == ""
    finally:
        process.boot_id.cache_clear()


def test_the_user_is_the_account_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOGNAME", "environment")
    assert process.user_name() == pwd.getpwuid(os.getuid()).pw_name
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_123)
    assert process.user_name() == "environment"
    monkeypatch.delenv("LOGNAME")
    monkeypatch.setenv("USER", "second")
    assert process.user_name() == "second"
    monkeypatch.delenv("USER")
    assert process.user_name() == "uid4000000123"


# --- the identity, beside git's own -------------------------------------------------------------

AUTHOR = ("author.name=Author", "author.email=author@x.org")
USER = ("user.name=User", "user.email=user@x.org")


def asked_both(
    repo: GitRepo, config: tuple[str, ...], env: Mapping[str, str]
) -> tuple[Identity, str | None]:
    """Our identity, and git's (or None where git refuses to give one)."""
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_bytes(b"")
    for line in config:
        key, _, value = line.partition("=")
        repo.git("config", "--add", key, value)
    environ = {**os.environ, **env}
    listed = repo.git("config", "-z", "--list").encode("utf-8", "surrogateescape")
    asked = subprocess.run(
        ["git", "var", "GIT_AUTHOR_IDENT"], cwd=repo.path, env=environ, capture_output=True
    )
    theirs = asked.stdout.decode().rpartition("> ")[0] + ">" if asked.returncode == 0 else None
    return identity(parse_git_config(listed), environ), theirs


@pytest.mark.parametrize(
    ("config", "env"),
    [
        (USER, {}),
        (AUTHOR + USER, {}),
        (("author.name=Author", *USER), {}),
        (("author.email=author@x.org", *USER), {}),
        (("author.email=", "author.name=", *USER), {}),
        (USER, {"GIT_AUTHOR_NAME": "Env"}),
        (AUTHOR, {"GIT_AUTHOR_EMAIL": "env@x.org"}),
        (USER, {"GIT_AUTHOR_EMAIL": ""}),
        (USER, {"EMAIL": "mail@x.org"}),
        (USER[:1], {"EMAIL": "mail@x.org"}),
        ((*USER[:1], "user.email="), {"EMAIL": "mail@x.org"}),
        ((), {"GIT_AUTHOR_NAME": "Env", "GIT_AUTHOR_EMAIL": "env@x.org"}),
        ((), {"GIT_AUTHOR_NAME": "Env", "EMAIL": "mail@x.org"}),
        ((*USER, "user.name=Second"), {}),
        ((*USER, "user.useConfigOnly=true"), {}),
        ((*USER[:1], "user.useConfigOnly=false"), {"EMAIL": "mail@x.org"}),
        ((), {"GIT_COMMITTER_NAME": "C", "GIT_AUTHOR_NAME": "A", "GIT_AUTHOR_EMAIL": "a@x"}),
        (("user.name= Zoë 'the \"Cat\"' <x> & Co, ", "user.email=<z@x.org>"), {}),
        (("user.name=a\n<b>\n c", "user.email=;: e\n@x ,"), {}),
        (("user.name=\x01Ada \\", "user.email=\tada@x.org\x1f"), {}),
        (USER, {"GIT_AUTHOR_NAME": "\u540d\u524d\u2028 \U0001f9ea", "GIT_AUTHOR_EMAIL": "<>"}),
    ],
)
def test_the_author_is_the_one_git_gives(
    repo: GitRepo, config: tuple[str, ...], env: Mapping[str, str]
) -> None:
    ours, theirs = asked_both(repo, config, env)
    assert str(ours) == theirs
    assert ours.source == "git"


@pytest.mark.parametrize(
    ("config", "env", "name", "email"),
    [
        (("user.useConfigOnly=true",), {}, None, None),
        (("user.useConfigOnly=1", "user.name=User"), {"EMAIL": "mail@x.org"}, "User", None),
        (("user.useConfigOnly=yes", "user.email=u@x.org"), {}, None, "u@x.org"),
        (("user.name=", "user.email=u@x.org"), {}, None, "u@x.org"),
        (("user.name=<>,;", "user.email=u@x.org"), {}, None, "u@x.org"),
        (USER, {"GIT_AUTHOR_NAME": ""}, None, "user@x.org"),
    ],
)
def test_where_git_refuses_the_host_gives_what_is_missing(
    repo: GitRepo,
    config: tuple[str, ...],
    env: Mapping[str, str],
    name: str | None,
    email: str | None,
) -> None:
    ours, theirs = asked_both(repo, config, env)
    assert theirs is None
    user = process.user_name()
    assert ours == Identity(name or user, email or f"{user}@{process.host_name()}", "host")


def test_a_key_without_a_value_is_true_as_in_git(repo: GitRepo) -> None:
    repo.sh("printf '[user]\\n\\tuseConfigOnly\\n' >>.git/config")
    ours, theirs = asked_both(repo, USER[1:], {})
    assert (ours.source, theirs) == ("host", None)


def test_an_identity_that_nobody_configured_is_the_hosts() -> None:
    user = process.user_name()
    assert identity({}, {}).source == "host"
    assert identity({}, {}).email == f"{user}@{process.host_name()}"
    named = identity({"user.name": ["Ada"]}, {})
    assert named == Identity("Ada", f"{user}@{process.host_name()}", "host")


def test_a_name_that_is_nowhere_is_the_accounts_full_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def account(comment: str) -> None:
        entry = pwd.struct_passwd(("ada", "x", 1, 1, comment, "/home/ada", "/bin/sh"))
        monkeypatch.setattr(pwd, "getpwuid", lambda _: entry)

    email = {"user.email": ["ada@x.org"]}
    account("& L. Byron,Room 1,555")
    assert identity(email, {}) == Identity("Ada L. Byron", "ada@x.org", "git")
    assert identity({}, {}) == Identity("Ada L. Byron", f"ada@{process.host_name()}", "host")
    account("")
    assert identity(email, {}) == Identity("ada", "ada@x.org", "host")


def test_a_name_may_end_with_a_dot() -> None:
    # git before 2.43 drops it, so git is not asked here.
    config = {"user.name": ["Ada L. Jr."], "user.email": ["a@x.org"]}
    assert str(identity(config, {})) == "Ada L. Jr. <a@x.org>"


@given(st.text(), st.text())
def test_any_name_makes_one_printable_line_that_git_could_hold(name: str, email: str) -> None:
    ours = identity({"user.name": [name], "user.email": [email]}, {})
    assert ours.name
    for part in (ours.name, ours.email):
        assert not set(part) & set("<>\n")
        part.encode()
    # Stripping is done: doing it again changes nothing.
    assert identity({"user.name": [ours.name], "user.email": [ours.email]}, {})[:2] == ours[:2]


def test_a_name_that_is_not_utf8_is_shown_with_backslashes() -> None:
    config = {"user.name": ["Zo\udceb"], "user.email": ["z@x.org"]}
    assert identity(config, {}).name == "Zo\\xeb"
