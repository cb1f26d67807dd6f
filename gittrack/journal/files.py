"""What the parts of the journal share: names of files, and small steps on disk."""

from __future__ import annotations

import os

from gittrack.errors import JournalError

ALIVE = ".alive"
LOG = ".log"
FILES = ".files"
#: What a run printed: its beginning, and the end as far as that is not the same.
HEAD, TAIL = ".out", ".tail"
#: Says that the store holds some of a run that goes on.
PARTLY = "partly-sealed"
ENVIRONMENTS = ".environments"
OBJECTS = ".objects"
FOLDER_MODE = 0o777


def unlink(path: str) -> None:
    """Remove a file; one that is gone already is fine."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return


def cannot_write(folder: str, error: OSError) -> JournalError:
    """The error that says how to record all the same."""
    return JournalError(
        f"runs cannot be written to {folder}",
        why=(error.strerror or str(error)).lower(),
        next="give GITTRACK_JOURNAL=DIR a folder that can be written; later: gittrack recover DIR",
    )
