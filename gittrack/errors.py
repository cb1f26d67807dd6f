"""Errors that gittrack raises on purpose: what happened, why, and the command to type next."""

from __future__ import annotations

from typing import Any

EXIT_OK = 0
EXIT_FIXABLE = 1
EXIT_USAGE = 2
EXIT_BUG = 3
EXIT_UNDECIDED = 5
EXIT_INTERRUPTED = 130


class GittrackError(Exception):
    """Something the user can put right; the faces render its three lines.

    Args:
        message: what happened, in one line without a full stop.
        why: the reason, as far as it is known.
        next: the command to type, or the change to make.
    """

    exit_code = EXIT_FIXABLE

    def __init__(self, message: str, *, why: str = "", next: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.next = next

    def __str__(self) -> str:
        lines = [self.message]
        if self.why:
            lines.append(f"why:   {self.why}")
        if self.next:
            lines.append(f"next:  {self.next}")
        return "\n".join(lines)


class UsageError(GittrackError):
    """The API or the command line was called in a way that cannot work."""

    exit_code = EXIT_USAGE


class InvalidNameError(UsageError):
    """A key, a name or an artifact path is not legal."""


class InvalidValueError(UsageError):
    """A value has the wrong type, or passes a limit."""


class ParamChangedError(UsageError):
    """A param was logged twice with different values; params are written once."""


class NotARepositoryError(GittrackError):
    """There is no git repository here, or gittrack cannot use it."""


class GitError(GittrackError):
    """The git program refused or failed."""


class RefMovedError(GitError):
    """A ref no longer pointed where we had read it; nothing was written."""


class RemoteError(GitError):
    """A remote could not be reached, refused, or did not answer in time."""


class BundleError(GittrackError):
    """A file is no bundle of runs, or builds on what is not here."""


class StoreFormatError(GittrackError):
    """The store is of a format that this version may not read or write."""


class CorruptStoreError(GittrackError):
    """A file on the ref does not follow the format."""


class UnsafeStoreError(CorruptStoreError):
    """A store holds what no gittrack writes, and what could harm who reads it."""


class MissingObjectError(CorruptStoreError):
    """An object that the store needs is not in this repository."""


class ArtifactError(GittrackError):
    """The bytes of an artifact are not here, or damaged, or cannot be put where they shall go."""


class JournalError(GittrackError):
    """A running run cannot be written to local disk."""


class RunNotFoundError(GittrackError):
    """No run has that id or name, or several do."""


class ExperimentNotFoundError(GittrackError):
    """No experiment has that id or name."""


class UndecidedError(GittrackError):
    """The runs at hand cannot answer what was asked, or contradict it."""

    exit_code = EXIT_UNDECIDED


class DatasetNotFoundError(GittrackError):
    """No run used a dataset of that name."""


class QueryError(UsageError):
    """A filter or an ordering cannot be understood."""


class ConfigError(GittrackError):
    """A setting is unknown or has a wrong value."""


class CommitError(GittrackError):
    """A commit cannot be recorded: it holds nothing that could be."""


class SourceError(GittrackError):
    """The source of a run cannot be recorded or rebuilt."""


class ArtifactRemoteError(GittrackError):
    """A remote for artifacts is not configured, cannot be used, or was lost on the way."""


class TransferError(ArtifactRemoteError):
    """A transfer of artifacts came to an end half-way.

    `report` is the `Report` of `store.dvc.transfer`; in its `failed` are also those objects that
    were not tried any more.
    """

    report: Any = None


class OutputError(GittrackError):
    """What a command prints could not be written where it was to go."""


class MissingExtraError(GittrackError):
    """An optional package is missing; the message names the extra that brings it."""
