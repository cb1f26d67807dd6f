"""Data of a user as a table, and tables as files by their suffix."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from gittrack.capture.foreign import is_a, type_name
from gittrack.core import table as t
from gittrack.core.table import Table
from gittrack.errors import InvalidValueError, MissingExtraError

SUFFIXES = (".json", ".csv", ".parquet")

#: pandas' spellings of a missing value besides NaN.
_MISSING = ("NaTType", "NAType")
#: A Parquet file of some kilobytes can say that it holds terabytes.
_MOST_BYTES = 4_000_000_000


def to_table(data: Any) -> Table:
    """A mapping of columns, a list of mappings, or a data frame of pandas, as a table.

    A single value beside columns stands in each row. An index of a data frame is a column if it
    has a name.

    Raises:
        InvalidValueError: it is nothing of that, or its columns are of different lengths.
    """
    if is_a(data, "pandas", "DataFrame"):
        return _from_frame(data)
    if isinstance(data, Mapping):
        return _from_mapping(data)
    if isinstance(data, (list, tuple)) and all(isinstance(row, Mapping) for row in data):
        table = t.from_rows(data)
        return table._replace(values=tuple(map(_cleaned, table.values)))
    raise InvalidValueError(
        f"log_table: data is of type {type_name(data)}",
        why="a table is a mapping from column to values, a list of mappings, or a pandas DataFrame",
        next="gittrack.log_table({'x': [1, 2], 'y': [3, 4]}, 'table.json')",
    )


def _from_frame(frame: Any) -> Table:
    # An index that is a column, too, as `set_index(..., drop=False)` leaves it, is there once.
    levels = [
        (name, frame.index.get_level_values(at).tolist())
        for at, name in enumerate(frame.index.names)
        if name is not None and name not in frame.columns
    ]
    values = [frame.iloc[:, at].tolist() for at in range(frame.shape[1])]
    columns = [*(name for name, _ in levels), *frame.columns]
    return Table(
        tuple(t.to_column(_scalar(name)) for name in columns),
        tuple(_cleaned(found) for found in (*(found for _, found in levels), *values)),
    )


def _from_mapping(data: Mapping[Any, Any]) -> Table:
    listed = {key: found for key, value in data.items() if (found := _as_list(value)) is not None}
    heights = {key: len(values) for key, values in listed.items()}
    if len(set(heights.values())) > 1:
        said = ", ".join(f"{key!r} {count}" for key, count in list(heights.items())[:6])
        raise InvalidValueError(
            "log_table: the columns of data are of different lengths",
            why=f"their numbers of values: {said}",
            next="give each column one value a row",
        )
    height = next(iter(heights.values()), 1)
    values = [listed.get(key, [value] * height) for key, value in data.items()]
    columns = tuple(t.to_column(_scalar(key)) for key in data)
    return Table(columns, tuple(map(_cleaned, values)))


def _as_list(value: Any) -> list[Any] | None:
    """The values of a column, None if it is a single value."""
    if isinstance(value, (list, tuple, range)):
        return list(value)
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) > 0:
        found = value.tolist()
        return found if isinstance(found, list) else None
    return None


def _scalar(value: Any) -> Any:
    """A number of numpy as Python's."""
    return value.item() if hasattr(value, "item") else value


def _cleaned(values: list[Any]) -> list[Any]:
    if not any(kind.__name__ in _MISSING for kind in set(map(type, values))):
        return values
    return [None if type(value).__name__ in _MISSING else value for value in values]


# -- files -----------------------------------------------------------------------------------


def suffix_of(path: str, what: str = "log_table") -> str:
    """The suffix of a table's file, for the function `what`.

    Raises:
        InvalidValueError: tables are not kept in files of that kind.
    """
    suffix = "." + path.rpartition("/")[2].rpartition(".")[2].lower()
    if suffix not in SUFFIXES:
        raise InvalidValueError(
            f"{what}: artifact_file is {path!r}",
            why=f"a table is kept as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}",
            next="a path such as 'eval/predictions.json'",
        )
    return suffix


def encode(table: Table, suffix: str) -> bytes:
    """The bytes of a table's file.

    Raises:
        InvalidValueError: a value is of a type that such a file cannot hold.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    if suffix == ".json":
        return t.encode_split(table)
    return t.encode_csv(table) if suffix == ".csv" else _encode_parquet(table)


def decode(data: bytes, suffix: str) -> Table:
    """The table in a file.

    Raises:
        ValueError: there is none.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    if suffix == ".json":
        return t.decode_split(data)
    return t.decode_csv(data) if suffix == ".csv" else _decode_parquet(data)


def _encode_parquet(table: Table) -> bytes:
    arrow, parquet = _pyarrow()
    arrays = []
    for name, values in zip(table.columns, table.values, strict=True):
        try:
            arrays.append(arrow.array(values))
        except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InvalidValueError(
                f"log_table: column {name!r} of data cannot be kept as Parquet",
                why=str(error).partition("\n")[0],
                next="give it values of one type, or keep the table as .json",
            ) from error
    out = io.BytesIO()
    names = [str(name) for name in table.columns]
    parquet.write_table(arrow.Table.from_arrays(arrays, names=names), out)
    return out.getvalue()


def _decode_parquet(data: bytes) -> Table:
    arrow, parquet = _pyarrow()
    try:
        file = parquet.ParquetFile(io.BytesIO(data))
        groups = [file.metadata.row_group(at) for at in range(file.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > _MOST_BYTES:
            raise ValueError("it holds more than 4 GB")
        found = file.read()
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    return Table(tuple(found.column_names), tuple(column.to_pylist() for column in found.columns))


def _pyarrow() -> Sequence[Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError(
            "a table cannot be kept as Parquet, or read from it",
            why="pyarrow is not installed",
            next="pip install 'gittrack[parquet]', or a table in .json",
        ) from None
    return pyarrow, parquet
