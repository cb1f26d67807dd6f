"""What tests build repositories with: real git, and short shell scripts anyone can read."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def started(*args: Any, **kwargs: Any) -> Iterator[subprocess.Popen[Any]]:
    """`subprocess.Popen`, of which nothing is left whatever happens inside.

    `with Popen` waits for the program even where a failed assertion left it with nothing to do.
    """
    process = subprocess.Popen(*args, **kwargs)
    try:
        yield process
    except BaseException:
        process.kill()
        raise
    finally:
        process.__exit__(None, None, None)


class GitRepo:
    """A git repository on disk, driven as a user drives it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    @classmethod
    def create(cls, path: str | os.PathLike[str], *options: str) -> GitRepo:
        """`git init` with these options, in a folder that may not be there yet."""
        os.makedirs(path, exist_ok=True)
        repo = cls(path)
        repo.git("init", "--quiet", *options)
        return repo

    def git(
        self, *args: str, input: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """What the git command prints, without the last line's end; its failure fails the test."""
        return self._run(["git", *args], input, env)

    def sh(self, script: str, env: Mapping[str, str] | None = None) -> str:
        """What a POSIX shell script prints; it stops at the first command that fails."""
        return self._run(["sh", "-euc", script], None, env)

    def write(self, path: str, content: str | bytes) -> str:
        """Write a file, making its folders; its full path."""
        full = os.path.join(self.path, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        Path(full).write_bytes(content.encode() if isinstance(content, str) else content)
        return full

    def read(self, path: str) -> bytes:
        """The bytes of a file in the worktree."""
        return Path(self.path, path).read_bytes()

    def commit(self, message: str = "work") -> str:
        """Commit everything in the worktree, even nothing; the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def _run(self, argv: list[str], input: str | None, env: Mapping[str, str] | None) -> str:
        done = subprocess.run(
            argv,
            cwd=self.path,
            env={**os.environ, **(env or {})},
            # Without input a command that asks for some must end, not hang.
            stdin=subprocess.DEVNULL if input is None else None,
            input=None if input is None else input.encode(),
            capture_output=True,
        )
        printed = done.stdout.decode("utf-8", "surrogateescape")
        if done.returncode:
            complaint = done.stderr.decode("utf-8", "backslashreplace")
            raise AssertionError(f"{argv} ended with {done.returncode}:\n{printed}{complaint}")
        return printed.removesuffix("\n")
