"""A clone whose hooks note how they were called."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from gittrack.config import parse_git_config
from gittrack.store import hooks
from gittrack.store.git import Git
from gittrack.store.hooks import Hook
from gittrack.store.paths import find_paths
from tests.support import GitRepo

NAME = "pre-push"
#: What a hook of the user's notes: its arguments and all of its input.
NOTE = 'echo "args $*" >>"$THEIRS"; cat >>"$THEIRS"'
#: The same in Python.
PYTHON_NOTE = b"""\
import os, sys
with open(os.environ["THEIRS"], "a") as file:
    file.write(f"args {' '.join(sys.argv[1:])}\\n{sys.stdin.read()}")
"""


def make_program(path: str | Path, text: str) -> None:
    """Make a program of a script."""
    Path(path).write_text(text)
    Path(path).chmod(0o755)


def git_of(repo: GitRepo) -> tuple[Git, dict[str, list[str]]]:
    """What the installer takes of a repository."""
    git = Git(find_paths(repo.path, {}))
    return git, parse_git_config(git.run("config", "-z", "--list"))


def install(repo: GitRepo, *, dry_run: bool = False) -> Hook:
    """Install all hooks; how this one stands then."""
    return _pick(hooks.install(*git_of(repo), dry_run=dry_run))


def uninstall(repo: GitRepo, *, dry_run: bool = False) -> Hook:
    """Take them away."""
    return _pick(hooks.uninstall(*git_of(repo), dry_run=dry_run))


def status(repo: GitRepo) -> Hook:
    """How it stands."""
    return _pick(hooks.status(*git_of(repo)))


def _pick(found: list[Hook]) -> Hook:
    return next(hook for hook in found if hook.name == NAME)


def hook_of(body: str, head: str = "#!/bin/sh") -> bytes:
    """A hook of the user's."""
    return f"{head}\n{body}\n".encode()


def fill(folder: Path) -> None:
    """Write until nothing more fits."""
    with (
        (folder / "filling").open("wb", buffering=0) as file,
        pytest.raises(OSError, match="space"),
    ):
        while True:
            file.write(b"x" * 512)


class Desk:
    """A clone with a remote, a gittrack that notes how it was called, and where hooks note."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hub = GitRepo.create(folder / "hub.git", "--bare")
        self.repo = GitRepo.create(folder / "repo")
        self.repo.commit()
        self.repo.git("remote", "add", "origin", "../hub.git")
        self.ours, self.theirs = folder / "ours", folder / "theirs"

    @property
    def hook(self) -> Path:
        return Path(self.repo.path, ".git", "hooks", NAME)

    def push(self, ref: str, repo: GitRepo | None = None) -> tuple[bool, str, str]:
        """Push HEAD there: whether it arrived, and what our hook and theirs noted of it."""
        for path in (self.ours, self.theirs):
            path.write_bytes(b"")
        where = repo or self.repo
        done = subprocess.run(
            ["git", "push", "-q", "origin", f"HEAD:refs/heads/{ref}"],
            cwd=where.path, env={**os.environ, "THEIRS": str(self.theirs)},
            stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        arrived = self.hub.git("for-each-ref", "--format=%(refname)", f"refs/heads/{ref}") != ""
        assert arrived == (done.returncode == 0), done.stderr
        self.out, self.err = done.stdout, done.stderr
        return arrived, self.ours.read_text(), self.theirs.read_text()

    def lines(self, ref: str) -> str:
        """What git gives a hook that pushes HEAD there."""
        head = self.repo.git("rev-parse", "HEAD")
        return f"HEAD {head} refs/heads/{ref} {'0' * 40}\n"

    def assert_called(self, ours: str, ref: str) -> None:
        words, said = ours.split("\n", 1)
        *args, parent, remote, url = shlex.split(words)
        assert args == ["hook", NAME, "--parent"]
        assert int(parent) > 1
        assert (remote, url, said) == ("origin", "../hub.git", self.lines(ref))

    def path_without_gittrack(self) -> str:
        """A PATH that has what hooks need, and nothing else."""
        tools = self.folder / "tools"
        tools.mkdir()
        for name in ("git", "sh", "cat", "env", "dirname", "basename"):
            (tools / name).symlink_to(str(shutil.which(name)))
        return str(tools)

    def listing(self, of: str = "") -> dict[str, tuple[int, bytes | str]]:
        """Every file among the hooks, or those of one hook: mode, and content or target."""
        found: dict[str, tuple[int, bytes | str]] = {}
        for path in self.hook.parent.iterdir() if self.hook.parent.is_dir() else ():
            if not path.name.startswith(of):
                continue
            mode = stat.S_IMODE(path.lstat().st_mode)
            found[path.name] = (mode, os.readlink(path) if path.is_symlink() else path.read_bytes())
        return found
