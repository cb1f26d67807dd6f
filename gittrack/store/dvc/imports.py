"""The modules of DVC, imported when they are needed, and what is said if they cannot be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from gittrack.errors import MissingExtraError

#: Schemes whose package an extra of ours brings; http and files on disk need none.
EXTRAS = {"s3": "s3", "gs": "gs", "azure": "azure", "ssh": "ssh"}


def load(name: str) -> Any:
    """A module of DVC's, `dvc.config` for one.

    Raises:
        MissingExtraError: DVC is not installed, or is broken.
    """
    try:
        with _streams_kept():
            return import_module(name)
    # A mixture of versions that do not fit ends in any of these.
    except (ImportError, AttributeError, TypeError) as error:
        raise MissingExtraError(
            "DVC cannot be used",
            why=f"import {name}: {error}",
            next="pip install --upgrade dvc",
        ) from error


def missing_plugin(scheme: str, error: ImportError) -> MissingExtraError:
    """What to say if the package for a kind of remote is missing or broken."""
    extra = EXTRAS.get(scheme.removesuffix("s") if scheme == "webdavs" else scheme)
    package = f"'gittrack[{extra}]'" if extra else f"dvc-{scheme.replace('webdavs', 'webdav')}"
    cause = error.__cause__ or error
    return MissingExtraError(
        f"remotes of {scheme}:// need a package that is not installed",
        why=str(cause),
        next=f"pip install {package}",
    )


@contextmanager
def _streams_kept() -> Iterator[None]:
    """Undo what `import dvc` does to the streams of the process it is imported into.

    Its colorama replaces sys.stdout by one that drops every colour where that is no terminal,
    and its logging gets handlers that print.
    """
    streams = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
