"""Which remote: DVC's own configuration, ours, and what is said when there is none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gittrack.errors import ArtifactRemoteError, ConfigError, GittrackError, MissingExtraError
from gittrack.store.dvc import imports
from gittrack.store.dvc.config import Choice, Settings, choose_remote, list_remotes
from gittrack.store.dvc.remote import open_remote
from tests.store.dvc import shelf
from tests.support import GitRepo

NOTHING = Settings()


def choose(repo: GitRepo, settings: Settings = NOTHING, name: str | None = None) -> Choice:
    return choose_remote(repo.path, f"{repo.path}/.git", settings, name)


def ours(**remotes: Mapping[str, str]) -> Settings:
    return Settings(shared=remotes)


def dvc_config(repo: GitRepo, text: str, file: str = "config") -> None:
    repo.write(f".dvc/{file}", text)


def snapshot(folder: str) -> list[str]:
    return sorted(str(path) for path in Path(folder).rglob("*"))


THEIRS = """\
[core]
    remote = Team
['remote "team"']
    url = ../storage
['remote "other"']
    url = s3://bucket/path
    profile = lab
"""


def test_a_repository_that_uses_dvc_keeps_its_default(repo: GitRepo) -> None:
    dvc_config(repo, THEIRS)
    before = snapshot(repo.path)
    choice = choose(repo)
    assert choice.name == "team"
    assert choice.url == f"{repo.path}/storage", "relative to the file that says so"
    assert list_remotes(repo.path, f"{repo.path}/.git", NOTHING) == {
        "other": "s3://bucket/path",
        "team": f"{repo.path}/storage",
    }
    assert snapshot(repo.path) == before


def test_a_name_wins_over_the_settings_and_these_over_the_default(repo: GitRepo) -> None:
    dvc_config(repo, THEIRS)
    settings = Settings(remote="Other", shared={"mine": {"url": "/mine"}})
    assert choose(repo, settings).name == "other"
    assert choose(repo, settings).options["profile"] == "lab"
    assert choose(repo, settings, "mine").url == "/mine"


def test_credentials_of_this_clone_are_found(repo: GitRepo) -> None:
    dvc_config(repo, THEIRS)
    dvc_config(repo, "['remote \"other\"']\naccess_key_id = AKIA\n", "config.local")
    assert choose(repo, name="other").options["access_key_id"] == "AKIA"


def test_what_the_user_configured_for_all_repositories_is_found(
    repo: GitRepo, sealed: Path
) -> None:
    folder = sealed / ".config" / "dvc"
    folder.mkdir()
    (folder / "config").write_text("[core]\nremote = mine\n['remote \"mine\"']\nurl = /mine\n")
    assert choose(repo).url == "/mine"
    assert choose_remote(None, "/nowhere.git", NOTHING).url == "/mine", "in a bare repository"


def test_a_repository_without_dvc_needs_no_dvc_init(repo: GitRepo) -> None:
    before = snapshot(repo.path)
    assert choose(repo, ours(Store={"url": "../store"})).url == str(
        Path(repo.path).parent / "store"
    )
    assert choose(repo, ours(store={"url": "~/store"})).url == str(Path.home() / "store")
    assert choose(repo, ours(store={"url": "http://host/x"})).url == "http://host/x"
    assert snapshot(repo.path) == before


def test_a_bare_repository(tmp_path: Path) -> None:
    bare = GitRepo.create(tmp_path / "bare.git", "--bare")
    assert choose_remote(None, bare.path, ours(s={"url": "../store"})).url == str(
        tmp_path / "store"
    )


def test_a_linked_worktree_has_the_credentials_of_the_main_one(
    repo: GitRepo, tmp_path: Path
) -> None:
    dvc_config(repo, THEIRS)
    repo.write(".dvc/.gitignore", "/config.local\n")
    dvc_config(repo, "['remote \"team\"']\nshared = group\n", "config.local")
    repo.commit()
    linked = tmp_path / "deep" / "linked"
    repo.git("worktree", "add", "--quiet", str(linked))
    choice = choose_remote(str(linked), f"{repo.path}/.git", NOTHING)
    assert choice.url == str(linked / "storage")
    assert choice.options["shared"] == "group"


def test_a_remote_may_stand_on_another(repo: GitRepo, tmp_path: Path) -> None:
    dvc_config(repo, THEIRS)
    settings = Settings("part", {"part": {"url": "remote://team/part"}})
    remote = open_remote(choose(repo, settings))
    assert remote.path("ab" * 16) == f"{repo.path}/storage/part/gittrack/files/md5/ab/{'ab' * 15}"


def test_options_of_this_clone_are_added_to_remotes_of_both_kinds(repo: GitRepo) -> None:
    dvc_config(repo, THEIRS)
    local = {"team": {"jobs": "3"}, "mine": {"jobs": "4"}}
    settings = Settings(None, {"mine": {"url": "/mine"}}, local)
    assert choose(repo, settings).options["jobs"] == 3
    assert choose(repo, settings, "mine").options["jobs"] == 4


def problem(repo: GitRepo, settings: Settings = NOTHING, name: str | None = None) -> GittrackError:
    with pytest.raises(GittrackError) as caught:
        open_remote(choose(repo, settings, name))
    return caught.value


def test_none_is_configured(repo: GitRepo) -> None:
    error = problem(repo)
    assert type(error) is ArtifactRemoteError
    assert error.message == "no remote for artifacts is configured"
    assert error.next == "gittrack remote artifacts add NAME URL"


def test_an_unknown_name_lists_those_there_are(repo: GitRepo) -> None:
    dvc_config(repo, THEIRS)
    error = problem(repo, ours(mine={"url": "/mine"}), "tean")
    assert error.message == "there is no remote 'tean' for artifacts"
    assert error.why == "there are mine, other, team"
    assert "none at all" in problem(GitRepo.create(f"{repo.path}/b"), NOTHING, "x").why


def test_a_default_that_is_not_there(repo: GitRepo) -> None:
    dvc_config(repo, "[core]\nremote = gone\n")
    assert "'gone'" in problem(repo).message


def test_several_and_no_default(repo: GitRepo) -> None:
    error = problem(repo, ours(b={"url": "/b"}, a={"url": "/a"}))
    assert error.why == "there are a, b"


def test_a_name_that_both_declare(repo: GitRepo) -> None:
    dvc_config(repo, THEIRS)
    settings = Settings(local={"Team": {"url": "http://ada:pw@host/"}})
    error = problem(repo, settings)
    assert isinstance(error, ConfigError) and "declared twice" in error.message
    assert "http://ada:***@host/" in error.why
    assert choose(repo, ours(team={"url": "storage/../../repo/storage"})).name == "team"


@pytest.mark.parametrize(
    "options",
    [{"url": "s3://b", "secret_access_key": "x"}, {"url": "webdav://h/", "bearer_token_command": "rm -rf ~"},
     {"url": "s3://b", "configpath": "aws.ini"}, {"url": "s3://b", "ConfigPath": "aws.ini"},
     {"url": "ssh://ada:pw@host/x"}, {"url": "https://h/", "password": "x"}],
)  # fmt: skip
def test_the_shared_file_may_hold_no_secrets_and_name_nothing_on_this_machine(
    repo: GitRepo, options: dict[str, str]
) -> None:
    """AWS's configuration, for one, may name programs that give credentials."""
    error = problem(repo, ours(store=options))
    assert isinstance(error, ConfigError) and ".gittrack.yaml" in error.message
    assert "pw" not in str(error)


def test_a_path_that_was_meant_as_a_url(repo: GitRepo) -> None:
    error = problem(repo, ours(store={"url": "ada@host:data/x"}))
    assert error.next == "write it as ssh://ada@host/data/x"


def test_options_without_a_url(repo: GitRepo) -> None:
    assert "has no URL" in problem(repo, Settings(local={"store": {"jobs": "3"}})).message


@pytest.mark.parametrize(
    "text",
    ["[core\n", "['remote \"x\"']\nurl = /x\npassword hunter2\n", "['remote \"x\"']\nprofile = y\n",
     "remote = x\n", "['remote \"x\"']\nurl = ftp://x/\n", "['remote \"x\"']\nurl = /x\njobs = many\n"],
)  # fmt: skip
def test_a_broken_file_of_dvc(repo: GitRepo, text: str) -> None:
    dvc_config(repo, text)
    error = problem(repo)
    assert isinstance(error, ConfigError)
    assert f"{repo.path}/.dvc" in error.message and error.why
    assert "hunter2" not in str(error)


def test_a_file_of_dvc_that_is_no_text(repo: GitRepo) -> None:
    Path(repo.write(".dvc/config", "")).write_bytes(b"\xff\xfe\x00")
    assert isinstance(problem(repo), ConfigError)
    Path(repo.path, ".dvc/config").unlink()
    Path(repo.path, ".dvc/config").mkdir()
    assert isinstance(problem(repo), ConfigError)


@pytest.mark.parametrize(
    ("url", "command"),
    [("gs://b/p", "pip install 'gittrack[gs]'"), ("azure://c/p", "pip install 'gittrack[azure]'"),
     ("ssh://h/p", "pip install 'gittrack[ssh]'"), ("oss://b/p", "pip install dvc-oss"),
     ("webdavs://h/p", "pip install dvc-webdav"), ("remote://base/p", "pip install 'gittrack[gs]'")],
)  # fmt: skip
def test_a_missing_plugin_is_named(
    repo: GitRepo, url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for plugin in ("gs", "azure", "ssh", "oss", "webdav"):
        monkeypatch.setitem(sys.modules, f"dvc_{plugin}", None)
    settings = Settings("store", {"store": {"url": url}, "base": {"url": "gs://bucket"}})
    error = problem(repo, settings)
    assert isinstance(error, MissingExtraError)
    assert error.next == command


def test_a_plugin_without_what_it_needs(repo: GitRepo, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dvc_s3")
    from dvc_s3 import S3FileSystem

    monkeypatch.setattr(S3FileSystem, "REQUIRES", {"s3fs": "no_such_module"})
    error = problem(repo, ours(store={"url": "s3://b"}))
    assert isinstance(error, MissingExtraError) and error.next == "pip install 'gittrack[s3]'"


@pytest.mark.parametrize("error", [ImportError("no dvc"), AttributeError("_DIR_MARK")])
def test_dvc_that_cannot_be_imported(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(_: str) -> Any:
        raise error

    monkeypatch.setattr(imports, "import_module", fail)
    found = problem(repo)
    assert isinstance(found, MissingExtraError)
    assert str(error) in found.why and found.next == "pip install --upgrade dvc"


def test_options_that_do_not_fit_together(repo: GitRepo) -> None:
    error = problem(repo, Settings(None, {"s": {"url": "http://h/"}}, {"s": {"auth": "basic"}}))
    assert isinstance(error, ConfigError) and "password" in error.why
    error = problem(repo, Settings(None, {"s": {"url": "http://h/"}}, {"s": {"auth": "digest"}}))
    assert isinstance(error, ConfigError)


def test_nobody_is_asked_for_a_password_unless_somebody_is_there(repo: GitRepo) -> None:
    options = {"auth": "basic", "user": "ada", "ask_password": "true"}
    error = problem(repo, Settings(None, {"s": {"url": "http://h/"}}, {"s": options}))
    assert isinstance(error, ConfigError) and "nobody can type" in error.message


def test_gittrack_imports_no_dvc_before_it_is_used() -> None:
    code = (
        "import sys, gittrack, gittrack.cli.main, gittrack.store.dvc.transfer\n"
        "print({name for name in sys.modules if name.split('.')[0] in"
        " ('dvc', 'dvc_data', 'dvc_objects', 'dvc_http', 'fsspec', 'asyncio')})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_nobody_else_imports_dvc() -> None:
    package = Path(imports.__file__).parents[2]
    for path in package.rglob("*.py"):
        if path.parent.name != "dvc":
            assert "dvc.imports" not in path.read_text(), path


def test_the_import_leaves_the_streams_alone(tmp_path: Path) -> None:
    """With `import dvc` alone, colours in a pipe are gone afterwards."""
    root = Path(shelf.__file__).parents[3]
    code = (
        "import sys; out = sys.stdout\n"
        "from pathlib import Path; from tests.store.dvc.shelf import connect\n"
        f"connect({str(tmp_path)!r}, Path('.'))\n"
        "assert sys.stdout is out; print('\\033[31mred')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False
    )
    assert (done.stdout, done.stderr) == ("\033[31mred\n", "")
