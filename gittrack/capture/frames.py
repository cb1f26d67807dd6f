"""Which data it was: tables and arrays in memory, of libraries that are imported already.

Values are told by the module of their type, so that nothing is imported for them. Source: the
documentation of numpy 2, pandas 2 and 3, polars 1 and 2, pyarrow 15 and later.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.capture.foreign import packages
from gittrack.core.dataset import MOST_COLUMNS
from gittrack.core.digest import (
    MOST_BYTES,
    MOST_VALUES,
    Digest,
    count_values,
    instants,
    sample_blocks,
    sample_rows,
    spread,
)
from gittrack.core.model import Dataset

#: Elements of an array that are hashed at a time.
_AT_ONCE = 1 << 20
_MAX_PARTS = 10_000
#: Types of columns that may hold more than one value in a cell.
_NESTED = re.compile(r"(?i)object|list|array|struct|map")
#: The rows whose values are counted then.
_PROBED = 100


class UnknownDataError(ValueError):
    """Data of a kind that is not known here; its text says which."""


class _Table(NamedTuple):
    """A table, whatever holds it.

    `take` gives its columns: first an index that says something, which is not in the schema.
    """

    kind: str
    rows: int
    schema: list[tuple[Any, str]]
    take: Any  # from row numbers, or None for all, to an iterator of (name, values)


def describe_values(data: Any, *, exact: bool = False) -> Dataset:
    """Digest, schema and size of an array, a table, or a dict, list or tuple of them; no name.

    Args:
        exact: take in all of it, however large it is, and no sample.
    Raises:
        UnknownDataError: it is nothing of that kind.
    """
    if isinstance(data, Mapping):
        return _describe_parts(list(data.items()), exact)
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return _describe_parts(list(zip(data._fields, data, strict=True)), exact)
    if isinstance(data, (list, tuple)) and type(data).__module__ == "builtins":
        return _describe_parts(list(enumerate(data)), exact)
    table = _table_of(data)
    if table is not None:
        return _describe_table(table, exact)
    array = _array_of(data)
    if array is not None:
        return _describe_array(array, exact)
    kind = f"{type(data).__module__}.{type(data).__qualname__}"
    hint = "; collect() it first" if type(data).__name__ == "LazyFrame" else ""
    raise UnknownDataError(f"it is of type {kind}{hint}")


# -- several -----------------------------------------------------------------------------------


def _describe_parts(parts: list[tuple[Any, Any]], exact: bool) -> Dataset:
    if not parts:
        raise UnknownDataError("it is empty")
    if len(parts) > _MAX_PARTS:
        raise UnknownDataError(f"it has {len(parts):,} parts; the limit is {_MAX_PARTS:,}")
    digest = Digest("array", len(parts))
    schema: list[tuple[str, str]] = []
    found: list[Dataset] = []
    for key, part in parts:
        try:
            item = describe_values(part, exact=exact)
        except UnknownDataError as error:
            raise UnknownDataError(f"its part {key!r:.60}: {error}") from None
        digest.add_column(key, [item.digest])
        schema.append((str(key), _in_short(item)))
        found.append(item)
    rows = {item.rows for item in found}
    sizes = [item.size_bytes for item in found if item.size_bytes is not None]
    return Dataset(
        "", digest.text(), kind=found[0].kind, columns=len(parts),
        rows=rows.pop() if len(rows) == 1 else None,
        size_bytes=sum(sizes) if len(sizes) == len(found) else None,
        sampled=any(item.sampled for item in found),
        opaque=tuple(name for (name, _), item in zip(schema, found, strict=True) if item.opaque),
        schema=tuple(schema[:MOST_COLUMNS]),
    )  # fmt: skip


def _in_short(item: Dataset) -> str:
    if item.shape is not None:
        kind = item.schema[0][1] if len(item.schema) == 1 else item.kind
        return f"{kind} {item.shape}"
    return f"{item.kind} {item.rows} x {item.columns}"


# -- tables ------------------------------------------------------------------------------------


def _describe_table(table: _Table, exact: bool) -> Dataset:
    columns = len(table.schema)
    chosen = None if exact else sample_rows(table.rows, columns, _width(table))
    digest = Digest("table", table.rows, columns)
    opaque = [
        str(name) for name, values in table.take(chosen) if not digest.add_column(name, values)
    ]
    schema = tuple((_shown(name), kind) for name, kind in table.schema[:MOST_COLUMNS])
    return Dataset(
        "", digest.text(), kind=table.kind, rows=table.rows, columns=columns,
        sampled=chosen is not None and len(chosen) < table.rows,
        opaque=tuple(opaque[:MOST_COLUMNS]), schema=schema,
    )  # fmt: skip


def _width(table: _Table) -> int:
    """The values of a row, as some evenly spread ones have them; 0 without lists and arrays.

    Embeddings or pixels in a column are more values by far than there are cells.
    """
    if not any(_NESTED.search(kind) for _, kind in table.schema):
        return 0
    rows = spread(table.rows, _PROBED)
    values = sum(count_values(v) for _, column in table.take(rows) for v in column)
    return values // max(len(rows), 1)


def _shown(name: Any) -> str:
    return name if isinstance(name, str) else repr(name) if isinstance(name, tuple) else str(name)


def _table_of(data: Any) -> _Table | None:
    roots, name = packages(data), type(data).__name__
    if "pandas" in roots:
        if hasattr(data, "to_frame") and not hasattr(data, "columns"):
            data = data.to_frame()
        return _pandas_table(data) if hasattr(data, "iloc") else None
    if "polars" in roots:
        if name == "Series":
            data = data.to_frame()
        return _polars_table(data) if name in ("Series", "DataFrame") else None
    if "pyarrow" in roots:
        return _arrow_table(data)
    return None


def _pandas_table(frame: Any) -> _Table:
    pandas = sys.modules["pandas"]

    def take(chosen: Sequence[int] | None) -> Iterator[tuple[Any, Sequence[Any]]]:
        some = frame if chosen is None else frame.iloc[chosen]
        # An index that only counts says nothing, and no other library has one.
        counts = pandas.RangeIndex(len(frame))
        if not (isinstance(frame.index, pandas.RangeIndex) and frame.index.equals(counts)):
            for level in range(some.index.nlevels):
                values = some.index.get_level_values(level)
                yield ("index", level), _pandas_values(values.to_series())
        for at in range(some.shape[1]):
            yield some.columns[at], _pandas_values(some.iloc[:, at])

    schema = list(zip(frame.columns, map(str, frame.dtypes), strict=True))
    return _Table("pandas", len(frame), schema, take)


def _pandas_values(series: Any) -> Sequence[Any]:
    dtype = series.dtype
    kind = getattr(dtype, "kind", "O")
    if type(dtype).__name__ == "ArrowDtype":
        return _arrow_values(sys.modules["pyarrow"], series.array.__arrow_array__())
    if kind in "mM" and type(dtype).__module__.partition(".")[0] == "numpy":
        return _numpy_times(series.to_numpy())
    if type(dtype).__name__ == "DatetimeTZDtype":
        return _numpy_times(series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
    if type(dtype).__module__.partition(".")[0] == "numpy" and kind != "O":
        values: list[Any] = series.tolist()
        return values
    pandas = sys.modules["pandas"]
    values = series.astype(object).tolist()
    missing = series.isna().tolist()
    if kind == "O":
        values = [None if _is_missing(value, pandas) else value for value in values]
    else:
        values = [None if gone else value for value, gone in zip(values, missing, strict=True)]
    return values


def _is_missing(value: Any, pandas: Any) -> bool:
    return value is None or value is pandas.NA or value is pandas.NaT or (
        type(value) is float and value != value
    )  # fmt: skip


def _numpy_times(values: Any) -> list[Any]:
    numpy = sys.modules["numpy"]
    unit, count = numpy.datetime_data(values.dtype)
    missing = numpy.isnat(values).tolist()
    if unit not in ("s", "ms", "us", "ns") or count != 1:
        # Days, months, years and the like are as many of their own.
        plain = values.astype("int64").tolist()
        return [None if m else f"{v}*{count}{unit}" for v, m in zip(plain, missing, strict=True)]
    plain = values.astype("int64").tolist()
    return instants([None if m else v for v, m in zip(plain, missing, strict=True)], unit)


def _polars_table(frame: Any) -> _Table:
    def take(chosen: Sequence[int] | None) -> Iterator[tuple[Any, Sequence[Any]]]:
        some = frame if chosen is None else frame[chosen]
        for series in some.get_columns():
            yield series.name, _polars_values(series)

    schema = list(zip(frame.columns, map(str, frame.dtypes), strict=True))
    return _Table("polars", frame.height, schema, take)


def _polars_values(series: Any) -> Sequence[Any]:
    kind = type(series.dtype).__name__
    values: list[Any]
    if kind in ("Datetime", "Duration"):
        values = series.to_physical().to_list()
        return instants(values, series.dtype.time_unit)
    values = series.to_list()
    return values


def _arrow_table(data: Any) -> _Table | None:
    pyarrow = sys.modules["pyarrow"]
    if isinstance(data, pyarrow.RecordBatch):
        data = pyarrow.Table.from_batches([data])
    elif isinstance(data, (pyarrow.Array, pyarrow.ChunkedArray)):
        data = pyarrow.table({"values": data})
    if not isinstance(data, pyarrow.Table):
        return None

    def take(chosen: Sequence[int] | None) -> Iterator[tuple[Any, Sequence[Any]]]:
        some = data if chosen is None else data.take(pyarrow.array(chosen, "int64"))
        for name, column in zip(some.column_names, some.columns, strict=True):
            yield name, _arrow_values(pyarrow, column)

    schema = [(field.name, str(field.type)) for field in data.schema]
    return _Table("pyarrow", data.num_rows, schema, take)


def _arrow_values(pyarrow: Any, column: Any) -> Sequence[Any]:
    kind = column.type
    values: list[Any]
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_duration(kind):
        values = column.cast("int64").to_pylist()
        return instants(values, kind.unit)
    values = column.to_pylist()
    return values


# -- arrays ------------------------------------------------------------------------------------


def _array_of(data: Any) -> Any:
    """The numpy array that it is, or gives itself out as; None if it is none."""
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if isinstance(data, (numpy.ndarray, numpy.generic)):
        return data if isinstance(data, numpy.ma.MaskedArray) else numpy.asarray(data)
    # Tensors of torch, TensorFlow and JAX.
    return numpy.asarray(data) if hasattr(data, "__array__") else None


def _describe_array(array: Any, exact: bool) -> Dataset:
    numpy = sys.modules["numpy"]
    digest = Digest("array", array.shape)
    sampled = _add_array(numpy, digest, array, exact)
    fields = array.dtype.names
    schema = [(name, str(array.dtype[name])) for name in fields or ()] or [("", str(array.dtype))]
    return Dataset(
        "", digest.text(), kind="numpy", size_bytes=int(array.nbytes),
        rows=int(array.shape[0]) if array.ndim else None,
        columns=len(fields) if fields else None,
        shape=tuple(int(size) for size in array.shape), sampled=sampled,
        opaque=tuple(sorted(digest.opaque)), schema=tuple(schema[:MOST_COLUMNS]),
    )  # fmt: skip


def _add_array(numpy: Any, digest: Digest, array: Any, exact: bool) -> bool:
    """Hash the elements in C order; whether only a sample of them."""
    if array.dtype.names:
        # Field by field: between them lies what nobody wrote.
        found = []
        for name in array.dtype.names:
            digest.add_column(name, ())
            found.append(_add_array(numpy, digest, array[name], exact))
        return any(found)
    if isinstance(array, numpy.ma.MaskedArray):
        sampled = _add_array(numpy, digest, numpy.ma.getmaskarray(array), exact)
        # What lies below the mask says nothing. A zero of its own type, be it a time or a record.
        plain = numpy.ma.getdata(array).copy()
        plain[numpy.ma.getmaskarray(array)] = numpy.zeros((), array.dtype)
        return _add_array(numpy, digest, plain, exact) or sampled
    digest.add_bytes(_element(array.dtype).encode())
    # Values that are hashed one by one are as many as bytes would be of others.
    weight = MOST_BYTES // MOST_VALUES if _is_slow(array.dtype) else array.itemsize
    blocks = None if exact else sample_blocks(array.size, array.size * weight)
    flat = array.reshape(-1) if array.flags.c_contiguous else array.flat
    for start, end in blocks or [(at, at + _AT_ONCE) for at in range(0, array.size, _AT_ONCE)]:
        _add_block(numpy, digest, flat[start:end])
    return blocks is not None


def _element(dtype: Any) -> str:
    """What an element is, on every platform alike: kind, size, and of times their unit."""
    if _is_slow(dtype):
        return "values;"
    unit = dtype.str.partition("[")[2] if dtype.kind in "mM" else ""
    return f"{dtype.kind}{dtype.itemsize}{unit};"


def _is_slow(dtype: Any) -> bool:
    """Whether elements are hashed as values; a long double has other bytes on every platform."""
    return dtype.kind in "OUST" or dtype.char in "gG"


def _add_block(numpy: Any, digest: Digest, block: Any) -> None:
    kind = block.dtype.kind
    if _is_slow(block.dtype):
        digest.add_column(None, block.tolist())
        return
    if kind in "fc" and numpy.isnan(block).any():
        # What is undefined has one spelling here; processors have several.
        block = numpy.where(numpy.isnan(block), block.dtype.type(numpy.nan), block)
    if kind in "iufcmM":
        block = block.astype(block.dtype.newbyteorder("<"), copy=False)
    digest.add_bytes(numpy.ascontiguousarray(block).view("uint8").data)
