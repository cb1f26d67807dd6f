"""Hooks that git's configuration names: they run wherever `core.hooksPath` leads.

git reads them since 2.54 (git-config(1), `hook.<name>.command`) and runs them before the file
among its hooks, each with the same arguments and an input of its own.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence

from gittrack.store.git import Git

_SINCE = (2, 54)
_OURS = "gittrack() { [ ! -x "


def is_supported(git: Git) -> bool:
    """Whether this git runs them."""
    found = re.search(rb"(\d+)\.(\d+)", git.run("version"))
    return found is not None and (int(found[1]), int(found[2])) >= _SINCE


def find_script(git: Git, name: str) -> str:
    """Where the script lies that such a hook starts."""
    return os.path.join(git.common_dir, "gittrack", "hooks", name)


def find_command(git_config: Mapping[str, Sequence[str]], name: str) -> str | None:
    """The command of ours that stands in the configuration for a hook, if one does."""
    commands = git_config.get(f"{_section(name)}.command", [])
    return next((command for command in reversed(commands) if command.startswith(_OURS)), None)


def is_disabled(git_config: Mapping[str, Sequence[str]], name: str) -> bool:
    """Whether somebody switched it off, `hook.<name>.enabled`."""
    said = git_config.get(f"{_section(name)}.enabled", ["true"])[-1]
    return said.lower() in ("false", "no", "off", "0")


def render_command(script: str) -> str:
    """What git starts: that script, if it is still there; it never fails.

    git appends ` "$@"` to it and gives it to `sh -c`, hence the function.
    """
    path = shlex.quote(script)
    return f'{_OURS}{path} ] || {path} "$@" || :; }}; gittrack'


def set_command(git: Git, name: str) -> None:
    """Have git run the script for a hook, in every worktree of this repository."""
    section = _section(name)
    command = render_command(find_script(git, name))
    git.run("config", "--local", "--replace-all", f"{section}.command", command)
    git.run("config", "--local", "--replace-all", f"{section}.event", name)


def unset_command(git: Git, git_config: Mapping[str, Sequence[str]], name: str) -> None:
    """Take exactly that out of the configuration again."""
    section = _section(name)
    command = find_command(git_config, name)
    if command is not None:
        for key, value in (("command", command), ("event", name)):
            git.run(
                "config", "--local", "--fixed-value", "--unset-all", f"{section}.{key}", value,
                check=False,
            )  # fmt: skip


def _section(name: str) -> str:
    # A name that is an event's own would mean all of its hooks.
    return f"hook.gittrack-{name}"
