"""The repository that a command works on, and what its git says of how to print."""

from __future__ import annotations

from gittrack.cli.output import Output
from gittrack.cli.output.text import plural, safe
from gittrack.repo import Repo


def open_repo(out: Output) -> Repo:
    """The repository here; output follows git's own colour setting from then on."""
    repo = Repo.find()
    found = repo.git_config.get("color.ui")
    if found:
        out.follow_git_color(found[-1])
    return repo


def open_to_read(out: Output) -> Repo:
    """The same for a command that shows runs: a fresh clone asks its remote for them, once."""
    repo = open_repo(out)

    def begins(name: str) -> None:
        if out.is_watched:
            out.note(f"gittrack: bringing the runs of {safe(name)} ...")

    found = repo.discover(begins)
    if found is None:
        return repo
    name = safe(found.remote)
    if found.error is not None:
        why = f": {safe(found.error.why)}" if found.error.why else ""
        out.note(f"gittrack: {safe(found.error.message)}{why}; next: gittrack pull {name}")
    else:
        from gittrack.cli.exchanging import hook_lines

        came = f"{plural(found.runs, 'run')} came from {name}" if found.runs else ""
        came = came or f"{name} shares runs, and has none yet"
        out.note(
            f"gittrack: {came}; from now on git pull brings them "
            f"(to stop: gittrack remote unshare {name})"
        )
        for line in hook_lines(found.share.hooks if found.share else ()):
            out.note(f"gittrack: {line}")
    return repo
