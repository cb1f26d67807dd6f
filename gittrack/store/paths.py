"""Where a repository lies on disk: found by looking, without starting git."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from gittrack.errors import NotARepositoryError


class RepoPaths(NamedTuple):
    """The folders of a repository, absolute.

    `common_dir` is shared by all linked worktrees; `worktree` is None in a bare repository.
    `explicit` says that GIT_DIR named the repository, so git must be told the same.
    """

    git_dir: str
    common_dir: str
    worktree: str | None
    explicit: bool = False


def find_paths(start: str | None, environ: Mapping[str, str]) -> RepoPaths:
    """The repository that holds `start` (default: GIT_DIR, then the current folder).

    Source: gitrepository-layout(5) and the search order of git's setup.c. Ownership is not
    judged here: git itself does that at its first call.

    Raises:
        NotARepositoryError: no folder up to the root is a git repository.
    """
    git_dir = environ.get("GIT_DIR")
    if start is None and git_dir:
        return _explicit(os.path.abspath(git_dir), environ)
    here = os.path.abspath(start or _cwd())
    folder = here
    while True:
        found = _at(folder)
        if found is not None:
            return found
        parent = os.path.dirname(folder)
        if parent == folder:
            raise NotARepositoryError(
                f"there is no git repository in {here}",
                why="runs are kept in the repository that holds the code, and neither this folder "
                "nor one above it is one",
                next="git init",
            )
        folder = parent


def _cwd() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise NotARepositoryError(
            "the current folder no longer exists",
            why="it was deleted after this program was started in it",
            next="cd into an existing folder",
        ) from None


def _explicit(git_dir: str, environ: Mapping[str, str]) -> RepoPaths:
    if not _is_git_dir(git_dir):
        raise NotARepositoryError(
            f"GIT_DIR names {git_dir}, which is not a git repository",
            why="it lacks HEAD, objects or refs",
            next="unset GIT_DIR",
        )
    named = environ.get("GIT_WORK_TREE")
    worktree: str | None = os.path.abspath(named) if named else None
    if worktree is None:
        parent = os.path.dirname(git_dir)
        if os.path.basename(git_dir) == ".git":
            worktree = parent
        else:
            # A linked worktree's git dir says where its worktree is.
            back = _read(os.path.join(git_dir, "gitdir"))
            worktree = os.path.dirname(back) if back else None
    return RepoPaths(git_dir, _common_dir(git_dir), worktree, explicit=True)


def _at(folder: str) -> RepoPaths | None:
    dot_git = os.path.join(folder, ".git")
    if os.path.isdir(dot_git):
        if _is_git_dir(dot_git):
            return RepoPaths(dot_git, _common_dir(dot_git), folder)
    elif os.path.isfile(dot_git):
        # Linked worktrees and submodules hold a file with the way to their git dir.
        text = _read(dot_git)
        if text.startswith("gitdir: "):
            git_dir = os.path.normpath(os.path.join(folder, text[8:]))
            if _is_git_dir(git_dir):
                return RepoPaths(git_dir, _common_dir(git_dir), folder)
            raise NotARepositoryError(
                f"{dot_git} points to {git_dir}, which is not a git repository",
                why="the repository that this worktree belongs to was moved or deleted",
                next="git worktree repair",
            )
    if _is_git_dir(folder):
        common = _common_dir(folder)
        return RepoPaths(folder, common, None)
    return None


def _is_git_dir(folder: str) -> bool:
    if not os.path.isfile(os.path.join(folder, "HEAD")):
        return False
    common = _common_dir(folder)
    return os.path.isdir(os.path.join(common, "objects")) and os.path.exists(
        os.path.join(common, "refs")
    )


def _common_dir(git_dir: str) -> str:
    named = _read(os.path.join(git_dir, "commondir"))
    return os.path.normpath(os.path.join(git_dir, named)) if named else git_dir


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
