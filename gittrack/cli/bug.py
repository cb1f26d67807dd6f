"""What is said when gittrack itself fails: a short message, and a log ready to paste."""

from __future__ import annotations

import os
import platform
import shlex
import tempfile
import traceback
from collections.abc import Sequence

import gittrack
from gittrack.errors import GittrackError


def report(error: BaseException, argv: Sequence[str]) -> GittrackError:
    """Write the log of a bug; the error that names it."""
    log = "".join(
        [
            f"gittrack {gittrack.__version__}\n",
            f"Python {platform.python_version()} on {platform.platform()}\n",
            f"$ {shlex.join(['gittrack', *argv])}\n\n",
            *traceback.format_exception(error),
        ]
    )
    what = f"{type(error).__name__}: {error}"
    try:
        handle, path = tempfile.mkstemp(prefix="gittrack-bug-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(log)
    except OSError:
        return GittrackError("this is a bug in gittrack", why=what, next=log)
    return GittrackError(
        "this is a bug in gittrack", why=what, next=f"report it with the log in {path}"
    )
