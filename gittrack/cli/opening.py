"""Show an artifact with a program of the system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

from gittrack.cli.carrying import Progress
from gittrack.cli.output import Output
from gittrack.cli.output.text import safe
from gittrack.core import viewing
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK, GittrackError, UsageError
from gittrack.repo import Repo

_VARIABLE = "GITTRACK_VIEWER"


def open_artifact(
    repo: Repo, run: Run, path: str, out: Output, environ: Mapping[str, str] = os.environ
) -> int:
    """Print where a copy of the artifact is, and show it, if a person is there to see it."""
    out.never_page()
    progress = Progress(out, "fetched")
    copy = repo.copy_to_view(run, path, asks=sys.stdin.isatty(), progress=progress)
    out.progress("")
    out.lines([safe(copy.path)])
    if not out.is_terminal:
        return EXIT_OK
    if copy.kind is None:
        out.note(
            "not opened: only pictures, sound, video, text, PDF and pages are, and only if their "
            "bytes are what their name says"
        )
        return EXIT_OK
    command = find_viewer(environ)
    if command is None:
        out.note(f"not opened: no display was found; {_VARIABLE}=COMMAND names a program")
        return EXIT_OK
    if copy.kind == viewing.PAGE:
        out.note("the page is shown in a frame that keeps its scripts from files and other pages")
    _show(command, copy.path)
    return EXIT_OK


def find_viewer(environ: Mapping[str, str], platform: str = sys.platform) -> list[str] | None:
    """The command that shows a file; None if there is none, or nothing to show it on.

    Raises:
        UsageError: GITTRACK_VIEWER is no command.
    """
    import shlex

    chosen = environ.get(_VARIABLE, "")
    if chosen.strip():
        try:
            return shlex.split(chosen)
        except ValueError as error:
            raise UsageError(
                f"{_VARIABLE} is {chosen!r}, which is no command",
                why=str(error).lower(),
                next=f"{_VARIABLE}='feh --fullscreen'",
            ) from None
    if platform == "darwin":
        return ["open"]
    if not (environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")):
        return None
    found = shutil.which("xdg-open", path=environ.get("PATH"))
    return None if found is None else [found]


def _show(command: list[str], path: str) -> None:
    try:
        code = subprocess.run([*command, path], check=False).returncode
    except OSError as error:
        raise _failed(command, (error.strerror or str(error)).lower()) from None
    if code:
        raise _failed(command, f"it ended with {code}")


def _failed(command: list[str], why: str) -> GittrackError:
    return GittrackError(
        f"{command[0]} did not show the file", why=why, next=f"{_VARIABLE}=COMMAND names another"
    )
