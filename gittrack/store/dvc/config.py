"""Which DVC remote holds artifacts: DVC's own configuration, and remotes that we declare.

A repository that uses DVC keeps its remotes, with their credentials; one that does not needs no
`dvc init`. DVC's `Repo` is never made: it writes into the worktree, and a cache outside it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from gittrack.errors import ArtifactRemoteError, ConfigError
from gittrack.store.dvc.imports import load

#: Options of a remote, `url` among them.
Options = Mapping[str, str]

_ADD = "gittrack remote artifacts add NAME URL"
#: Options that hold a secret.
SECRET = frozenset(
    ["access_key_id", "secret_access_key", "session_token", "sse_customer_key", "password",
     "passphrase", "token", "connection_string", "sas_token", "account_key", "client_secret",
     "oss_key_id", "oss_key_secret", "gdrive_client_secret"]
)  # fmt: skip
#: Options that name a file of this machine, or a command to run on it. A file that came with
#: somebody's repository must not choose these: AWS's configuration can name programs, too.
_OF_THIS_MACHINE = frozenset(
    ["bearer_token_command", "credentialpath", "configpath", "keyfile", "cert_path", "key_path",
     "gdrive_user_credentials_file", "gdrive_service_account_json_file_path"]
)  # fmt: skip
#: Those whose relative paths DVC resolves against the folder of the file that they stand in.
_PATHS = (_OF_THIS_MACHINE | {"url"}) - {"bearer_token_command"}
#: As DVC tells a URL from a path.
_URL = re.compile(r"\w+://")
_SCP = re.compile(r"[\w.-]+@([\w.-]+):(?!/)(.+)")


class Settings(NamedTuple):
    """What gittrack's own settings say of the remotes of artifacts.

    Args:
        remote: the name of the one to use, if there is a choice.
        shared: declared in `.gittrack.yaml`; name -> options. Whoever wrote the repository wrote
            this, so secrets and places of this machine are refused.
        local: the same, of this clone; added to the shared ones, and to DVC's.
    """

    remote: str | None = None
    shared: Mapping[str, Options] = {}
    local: Mapping[str, Options] = {}


class Choice(NamedTuple):
    """The remote that was chosen, with the DVC configuration that describes it."""

    name: str
    url: str
    config: Mapping[str, Any]

    @property
    def options(self) -> Mapping[str, Any]:
        """What the configuration says of it; secrets among it."""
        options: Mapping[str, Any] = self.config["remote"][self.name]
        return options


def list_remotes(worktree: str | None, common_dir: str, settings: Settings) -> dict[str, str]:
    """The remotes that artifacts can go to, name -> URL without its password, sorted.

    Raises:
        ConfigError: DVC's configuration, or a remote that we declare, cannot be used.
    """
    config = _read(worktree, common_dir, settings)
    return {name: safe_url(options["url"]) for name, options in sorted(config["remote"].items())}


def shared_remotes(
    worktree: str | None, common_dir: str, settings: Settings
) -> Mapping[str, Mapping[str, Any]]:
    """The remotes as other clones have them: without `config.local` and local settings.

    Raises:
        ConfigError: DVC's configuration, or a remote that we declare, cannot be used.
    """
    config = _read(worktree, common_dir, settings._replace(local={}), with_local=False)
    remotes: Mapping[str, Mapping[str, Any]] = config["remote"]
    return remotes


def choose_remote(
    worktree: str | None, common_dir: str, settings: Settings, name: str | None = None
) -> Choice:
    """The remote of that name, else the one in the settings, else DVC's default, else the only one.

    Args:
        worktree: its root; None in a bare repository, whose remotes are ours and the user's.
        common_dir: the folder that all worktrees of the repository share.
    Raises:
        ArtifactRemoteError: there is no such remote, none at all, or a choice to be made.
        ConfigError: DVC's configuration, or a remote that we declare, cannot be used.
        MissingExtraError: DVC is not installed.
    """
    config = _read(worktree, common_dir, settings)
    remotes: Mapping[str, Mapping[str, Any]] = config["remote"]
    wanted = name or settings.remote or config["core"].get("remote")
    if wanted is None:
        if len(remotes) != 1:
            raise _none_chosen(remotes)
        (wanted,) = remotes
    # DVC's names are small letters, however they are written.
    found = wanted.lower()
    if found not in remotes:
        known = ", ".join(sorted(remotes))
        raise ArtifactRemoteError(
            f"there is no remote '{wanted}' for artifacts",
            why=f"there are {known}" if known else "there is none at all",
            next=_ADD.replace("NAME", wanted),
        )
    return Choice(found, safe_url(remotes[found]["url"]), config)


def _none_chosen(remotes: Mapping[str, object]) -> ArtifactRemoteError:
    if not remotes:
        return ArtifactRemoteError(
            "no remote for artifacts is configured",
            why="neither gittrack's settings nor DVC's name one",
            next=_ADD,
        )
    names = sorted(remotes)
    return ArtifactRemoteError(
        "several remotes can hold artifacts, and none is the default",
        why=f"there are {', '.join(names)}",
        next=f"git config gittrack.artifacts.remote {names[0]}",
    )


def safe_url(url: str) -> str:
    """A URL as it may be shown: without the password in it."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", url)


# -- reading ---------------------------------------------------------------------------------


def _read(
    worktree: str | None, common_dir: str, settings: Settings, *, with_local: bool = True
) -> dict[str, Any]:
    """DVC's configuration of system, user and repository, with our remotes in it."""
    theirs = _load(worktree, common_dir, {}, with_local=with_local)
    ours = _declared(worktree or common_dir, settings, theirs["remote"])
    return _load(worktree, common_dir, ours, with_local=with_local) if ours else theirs


def _load(
    worktree: str | None, common_dir: str, remotes: Mapping[str, Options], *, with_local: bool
) -> dict[str, Any]:
    config = load("dvc.config")
    invalid = load("voluptuous").Invalid
    folder, local = _dvc_folders(worktree, common_dir)
    if folder is not None and not with_local:
        # A folder that is not there has no config.local either.
        local = os.path.join(folder, "none")
    try:
        found: dict[str, Any] = config.Config(folder, local, config={"remote": remotes})
    except (config.ConfigError, invalid, OSError, UnicodeDecodeError) as error:
        raise _unusable(error, folder) from error
    return found


def _unusable(error: Exception, folder: str | None) -> ConfigError:
    # The line itself, which ConfigObj quotes, may hold a password.
    why = re.sub(r"\s*\(['\"].*['\"]\)", "", str(error), flags=re.S).removeprefix(
        "config file error: "
    )
    where = f" ({folder})" if folder else ""
    return ConfigError(
        f"the configuration of DVC cannot be used{where}",
        why=why,
        next="dvc config --list --show-origin",
    )


def _dvc_folders(worktree: str | None, common_dir: str) -> tuple[str | None, str | None]:
    """The folders with `config` and `config.local`, None where there is none.

    git ignores `config.local`, so a linked worktree is made without it: that of the main
    worktree stands in, or no credentials would be found.
    """
    if worktree is None:
        return None, None
    folder = os.path.join(worktree, ".dvc")
    if not os.path.isdir(folder):
        return None, None
    main = os.path.join(os.path.dirname(common_dir), ".dvc")
    is_linked = not os.path.exists(os.path.join(folder, "config.local"))
    if is_linked and os.path.basename(common_dir) == ".git" and os.path.isdir(main):
        return folder, main
    return folder, folder


def _declared(
    base: str, settings: Settings, theirs: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, str]]:
    """The remotes of our settings by small name, their paths absolute."""
    remotes: dict[str, dict[str, str]] = {}
    for name, options in settings.shared.items():
        _check_shared(name, options)
        remotes[name.lower()] = dict(_resolved(base, options))
    for name, options in settings.local.items():
        remotes.setdefault(name.lower(), {}).update(_resolved(base, options))
    for name, known in remotes.items():
        if "url" not in known and name not in theirs:
            raise ConfigError(
                f"the remote '{name}' for artifacts has no URL",
                why="gittrack's settings hold options of it, but nothing says where it is",
                next=_ADD.replace("NAME", name),
            )
        url = theirs.get(name, known).get("url")
        if known.get("url", url) != url:
            # One of them would be passed over without a word.
            raise ConfigError(
                f"the remote '{name}' for artifacts is declared twice",
                why=f"it is {safe_url(str(url))} for DVC, and {safe_url(known['url'])} in "
                "gittrack's settings",
                next="give one of them another name",
            )
    return remotes


def _check_shared(name: str, options: Options) -> None:
    refused = sorted({key.lower() for key in options} & (SECRET | _OF_THIS_MACHINE))
    if refused or _has_password(options.get("url", "")):
        what = refused[0] if refused else "a password in the URL"
        raise ConfigError(
            f"the remote '{name}' for artifacts must not have {what} in .gittrack.yaml",
            why="that file is shared; secrets, and files and programs of a machine, do not belong "
            "in it",
            next="take it out, and set it for this clone alone",
        )


def _has_password(url: str) -> bool:
    return safe_url(url) != url


def _resolved(base: str, options: Options) -> Iterator[tuple[str, str]]:
    for written, value in options.items():
        key = written.lower()
        if key == "url" and (scp := _SCP.fullmatch(value)):
            raise ConfigError(
                f"{value} is not a URL of a remote for artifacts",
                why="DVC would take it for a folder of that name",
                next=f"write it as ssh://{value.partition(':')[0]}/{scp[2]}",
            )
        if key not in _PATHS or _URL.match(value):
            yield key, value
        else:
            yield key, os.path.abspath(os.path.join(base, os.path.expanduser(value)))
