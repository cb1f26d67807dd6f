"""Record which data goes into a run."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gittrack.capture import redact
from gittrack.capture.foreign import type_name
from gittrack.core import names
from gittrack.core.dataset import encode_dataset, key_of
from gittrack.core.model import Dataset
from gittrack.errors import GittrackError, InvalidValueError
from gittrack.store.forking import lazy, unforked

if TYPE_CHECKING:
    from gittrack.config import Config
    from gittrack.journal import RunJournal

#: What values in memory are called that were given no name, as in MLflow.
UNNAMED = "dataset"
#: The most of a column's name or type: an `Enum` of polars spells out all of its categories.
_MOST_CHARS = 200


class Inputs(ABC):
    """The part of `ActiveRun` that records datasets."""

    _journal: RunJournal
    _config: Config

    def log_input(
        self,
        data: Any,
        name: str | None = None,
        context: str | None = None,
        *,
        source: str | os.PathLike[str] | None = None,
        exact: bool = False,
    ) -> Dataset | None:
        """Record a dataset that goes in: name, digest, schema, size and where it is from.

        The data itself is not kept. The same data in another context, or other data of the same
        name, is a further dataset of the run.

        Args:
            data: a numpy array, a dict, list or tuple of arrays; a data frame or series of pandas
                or polars, a table of pyarrow; the path of a file or a folder; or a URI, of which
                the text alone is hashed. Of a path that DVC tracks the hash is DVC's, and it is not
                read.
            name: without it the path or URI; of values in memory `dataset`.
            context: what it is for, such as `training` or `validation`.
            source: where values in memory are from.
            exact: hash all of a table of more than 5,000,000 values, or of an array of more than
                256 MiB, and no sample of it.
        Returns:
            The dataset; None, with a warning, where it could not be read.
        Raises:
            InvalidValueError: `data` is of a kind that is not known, or there is no such path.
            InvalidNameError: the name or the context is not legal.
        """
        self._check_open("log_input")
        if name is not None:
            names.check_key("dataset", name)
        if context is not None:
            names.check_key("context", context)
        if source is not None and not isinstance(source, (str, os.PathLike)):
            raise InvalidValueError(
                f"log_input: `source` is of type {type_name(source)}",
                why="it says where values in memory are from: a path or a URI",
                next="leave it out, or pass its text",
            )
        try:
            found = self._describe(data, exact)
        except GittrackError:
            raise
        except Exception as error:  # whatever a library's objects raise must not end the training
            self.note(self._unread(data, name, error))
            return None
        found = found._replace(
            name=name or found.name or UNNAMED,
            context=context or "",
            source=found.source if source is None else os.fsdecode(source),
        )
        found = _redacted(found, self._config.redact_allow)
        if found.opaque:
            shown = ", ".join(found.opaque[:5])
            self.note(
                f"the digest of input '{found.name}' does not cover the values of {shown}: "
                "they are objects of types that are not known"
            )
        key, facts = encode_dataset(found)
        self._add(key, facts)
        return found

    def add_input(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record a dataset of which digest and size are known already."""
        self._check_open("add_input")
        self._add(key_of(name, facts), facts)

    def _add(self, key: str, facts: Mapping[str, Any]) -> None:
        # Said once an epoch, it is written once.
        if key not in self._said:
            self._said.add(key)
            self._journal.append("I", {key: dict(facts)})

    @lazy
    def _said(self) -> set[str]:
        return set()

    def _unread(self, data: Any, name: str | None, error: Exception) -> str:
        if isinstance(error, OSError) and isinstance(data, (str, os.PathLike)):
            # One file of many: a link that leads nowhere, or one that went while it was read.
            inside = error.filename if error.filename != data else None
            where = f": {os.fsdecode(inside):.200}" if isinstance(inside, (str, bytes)) else ""
            said = error.strerror or error
            return f"input {os.fsdecode(data):.200} could not be read{where}: {said}"
        said = f"{type(error).__name__}: {error}"
        return f"log_input: data '{name or UNNAMED}' could not be read: {said:.300}"

    def _describe(self, data: Any, exact: bool) -> Dataset:
        if isinstance(data, (str, os.PathLike)):
            with unforked():
                from gittrack.capture import data as places

            place = os.fsdecode(data)
            places.check_input(place)
            found = places.describe(place, self._config.redact_allow)
            return found._replace(name=_legal(found.name))
        with unforked():
            from gittrack.capture.frames import UnknownDataError, describe_values

        try:
            return describe_values(data, exact=exact)
        except UnknownDataError as error:
            raise InvalidValueError(
                f"log_input: `data` cannot be recorded: {error}",
                why="it takes arrays, data frames, tables, a path or a URI",
                next="gittrack.log_input(numpy.asarray(data), name='train')",
            ) from None

    @abstractmethod
    def _check_open(self, what: str) -> None:
        """Raise if the run has ended."""

    @abstractmethod
    def note(self, text: str) -> None:
        """One warning to the person, and a note on the run."""


def log_input(
    data: Any,
    name: str | None = None,
    context: str | None = None,
    *,
    source: str | os.PathLike[str] | None = None,
    exact: bool = False,
) -> Dataset | None:
    """Record a dataset that goes into the active run; see `ActiveRun.log_input`."""
    from gittrack.tracking.fluent import current

    return current().log_input(data, name, context, source=source, exact=exact)


def _legal(path: str) -> str:
    """A path as a name: what no name may hold is escaped, and the end counts if it is too long."""
    try:
        return names.check_key("dataset", path)
    except GittrackError:
        safe = "".join(char if char.isprintable() else f"%{ord(char):02X}" for char in path)
        return safe[-names.MAX_KEY_CHARS :]


def _redacted(found: Dataset, allow: Sequence[str]) -> Dataset:
    """The dataset without secrets in its texts, and those of its columns cut."""

    def safe(text: str) -> str:
        text = redact.redact_text(text, allow, random=False)[0]
        return text if len(text) <= _MOST_CHARS else f"{text[: _MOST_CHARS - 1]}\u2026"

    return found._replace(
        name=redact.redact_url(found.name, allow)[0],
        context=redact.redact_url(found.context, allow)[0],
        source=redact.redact_url(found.source, allow)[0],
        schema=tuple((safe(column), safe(kind)) for column, kind in found.schema),
        opaque=tuple(map(safe, found.opaque)),
    )
