"""Record which data goes into a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gittrack.capture import redact
from gittrack.core import names
from gittrack.core.dataset import encode_dataset, key_of
from gittrack.core.model import Dataset
from gittrack.errors import GittrackError, InvalidValueError

if TYPE_CHECKING:
    from gittrack.config import Config
    from gittrack.journal import RunJournal

#: What values in memory are called that were given no name, as in MLflow.
UNNAMED = "dataset"


class Inputs:
    """The methods of an active run that record datasets."""

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
        try:
            found = self._describe(data, exact)
        except GittrackError:
            raise
        except OSError as error:
            self.note(
                f"input {os.fspath(data)!s:.200} could not be read: {error.strerror or error}"
            )
            return None
        except Exception as error:  # whatever a library's objects raise must not end the training
            what = f"{type(error).__name__}: {error}"
            self.note(f"log_input: data '{name or UNNAMED}' could not be read: {what:.300}")
            return None
        found = found._replace(
            name=name or found.name or UNNAMED,
            context=context or "",
            source=found.source if source is None else os.fspath(source),
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

    @cached_property
    def _said(self) -> set[str]:
        return set()

    def _describe(self, data: Any, exact: bool) -> Dataset:
        if isinstance(data, (str, os.PathLike)):
            from gittrack.capture import data as places

            place = os.fspath(data)
            place = os.fsdecode(place) if isinstance(place, bytes) else place
            places.check_input(place)
            found = places.describe(place, self._config.redact_allow)
            return found._replace(name=_legal(found.name))
        from gittrack.capture.frames import UnknownDataError, describe_values

        try:
            return describe_values(data, exact=exact)
        except UnknownDataError as error:
            raise InvalidValueError(
                f"log_input: `data` cannot be recorded: {error}",
                why="it takes arrays, data frames, tables, a path or a URI",
                next="gittrack.log_input(numpy.asarray(data), name='train')",
            ) from None

    # What the run has.

    def _check_open(self, what: str) -> None:
        raise NotImplementedError

    def note(self, text: str) -> None:
        """One warning to the person, and a note on the run."""
        raise NotImplementedError


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
    """The dataset without secrets in its texts."""
    return found._replace(
        name=redact.redact_url(found.name, allow)[0],
        context=redact.redact_url(found.context, allow)[0],
        source=redact.redact_url(found.source, allow)[0],
        schema=tuple(
            (redact.redact_text(column, allow, random=False)[0], kind)
            for column, kind in found.schema
        ),
    )
