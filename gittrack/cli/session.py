"""The repository that a command works on, and what its git says of how to print."""

from __future__ import annotations

from gittrack.cli.output import Output
from gittrack.repo import Repo


def open_repo(out: Output) -> Repo:
    """The repository here; output follows git's own colour setting from then on."""
    repo = Repo.find()
    found = repo.git_config.get("color.ui")
    if found:
        out.follow_git_color(found[-1])
    return repo
