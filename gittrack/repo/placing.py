"""The methods of `Repo` that say which DVC remotes hold the bytes of large artifacts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.config.settings import parse_remote
from gittrack.errors import ArtifactRemoteError, UsageError
from gittrack.repo.storing import Storing

if TYPE_CHECKING:
    from gittrack.store.dvc.config import Settings
    from gittrack.store.dvc.remote import Remote

_KEY = "gittrack.artifacts.localRemotes"


class RemoteOption(NamedTuple):
    """What `remote artifacts add` and `set` wrote, and what a team would put into its file."""

    name: str
    entry: str
    for_all: str


class Placing(Storing):
    """Chooses the remote for artifacts, and adds remotes where DVC has none."""

    def artifact_remotes(self) -> tuple[str | None, dict[str, str]]:
        """The remote that is used, if one is, and the URLs of all, without passwords.

        Raises:
            ConfigError: DVC's configuration, or a remote of our settings, cannot be used.
        """
        from gittrack.store.dvc.config import choose_remote, list_remotes

        where = (self._paths.worktree, self._paths.common_dir, self._remote_settings())
        remotes = list_remotes(*where)
        try:
            return choose_remote(*where).name, remotes
        except ArtifactRemoteError:
            return None, remotes

    def set_artifact_remote(self, name: str, option: str, value: str) -> RemoteOption:
        """Write an option of a remote for artifacts, `url` for one, for this clone.

        Raises:
            UsageError: the name or the option is not legal.
        """
        from gittrack.store.remote import configure

        entry = f"{name}={value}" if option == "url" else f"{name}.{option}={value}"
        if parse_remote(entry) != (name, option, value) or not value.isprintable():
            raise UsageError(
                f"'{entry}' is no option of a remote",
                why="names and options are letters, digits, `_` and `-`",
                next="gittrack remote artifacts add NAME URL",
            )
        pattern = f"^{re.escape(entry.partition('=')[0])}="
        configure(self._git, "--replace-all", _KEY, entry, pattern)
        self._git_config = self._config = None
        return RemoteOption(name, entry, f"artifacts: {{remotes: ['{entry}']}}")

    def remove_artifact_remote(self, name: str) -> bool:
        """Forget what this clone knows of a remote for artifacts; whether it knew anything."""
        from gittrack.store.remote import configure

        known = [parse_remote(text) for text in self.config.artifacts_local_remotes]
        if not any(found is not None and found[0] == name for found in known):
            return False
        configure(self._git, "--unset-all", _KEY, rf"^{re.escape(name)}(\.[A-Za-z0-9_]+)?=")
        self._git_config = self._config = None
        return True

    def _remote_settings(self) -> Settings:
        from gittrack.store.dvc.config import Settings

        config = self.config
        return Settings(
            config.artifacts_remote or None,
            _by_name(config.artifacts_remotes),
            _by_name(config.artifacts_local_remotes),
        )

    def _open_artifact_remote(self, name: str | None, *, asks: bool) -> Remote:
        from gittrack.store.dvc.config import choose_remote
        from gittrack.store.dvc.remote import open_remote

        where = (self._paths.worktree, self._paths.common_dir, self._remote_settings())
        return open_remote(choose_remote(*where, name), asks=asks)


def _by_name(texts: Iterable[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        entry = parse_remote(text)
        if entry is not None:
            found.setdefault(entry[0], {})[entry[1]] = entry[2]
    return found
