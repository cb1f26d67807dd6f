"""Tables, and how they are kept: as JSON that pandas and MLflow read too, or as CSV. Pure.

JSON is pandas' form `split`, a row a line. A missing value and NaN are null, as pandas writes them;
an infinity is `1e999`, which pandas and Python read as one. Times are text in ISO 8601.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

from gittrack.errors import InvalidValueError

Column = str | int

#: Their text says all about them.
_TEXTUAL = (UUID, PurePath, Decimal, dt.timedelta)
_TEXTUAL_NAMES = ("Period", "Interval")
_PLAIN = frozenset((str, int, bool, type(None)))
_DEEPEST = 100
#: What `float` reads and nobody writes for a number: blanks, `1_000`, `007`.
_ODD_NUMBER = re.compile(r"[\s_]|^-?0[0-9]")
_QUOTED = re.compile(r'("(?:[^"\\]|\\.)*")')


class Table(NamedTuple):
    """Columns and their values, all of the same number; `None` is a missing one."""

    columns: tuple[Column, ...] = ()
    values: tuple[list[Any], ...] = ()

    @property
    def height(self) -> int:
        """How many rows there are."""
        return len(self.values[0]) if self.values else 0

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows, in order."""
        return zip(*self.values, strict=True)

    def with_column(self, name: Column, value: Any) -> Table:
        """The same table with one more column, which holds that value in each row."""
        return Table((*self.columns, name), (*self.values, [value] * self.height))


def from_rows(rows: Sequence[Mapping[Any, Any]]) -> Table:
    """A table of mappings; a row that lacks a column has None there."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    values = tuple([row.get(key) for row in rows] for key in keys)
    return Table(tuple(to_column(key) for key in keys), values)


def to_column(name: Any) -> Column:
    """The name of a column: text and integers stay, of anything else its text."""
    if isinstance(name, str):
        return name
    return int(name) if isinstance(name, int) and not isinstance(name, bool) else str(name)


def append(table: Table, other: Table) -> Table:
    """The rows of both; what a table has no column for is None there.

    A column that a table holds twice meets that of the other in the same place among its likes.
    """
    mine, theirs = _numbered(table.columns), _numbered(other.columns)
    columns, values = [], []
    for key in dict.fromkeys((*mine, *theirs)):
        above = table.values[mine[key]] if key in mine else [None] * table.height
        below = other.values[theirs[key]] if key in theirs else [None] * other.height
        columns.append(key[0])
        values.append([*above, *below])
    return Table(tuple(columns), tuple(values))


def _numbered(columns: Sequence[Column]) -> dict[tuple[Column, int], int]:
    seen: dict[Column, int] = {}
    found = {}
    for at, name in enumerate(columns):
        seen[name] = number = seen.get(name, -1) + 1
        found[name, number] = at
    return found


def join_all(tables: Iterable[Table]) -> Table:
    """The rows of all of them."""
    whole = Table()
    for table in tables:
        whole = append(whole, table) if whole.columns else table
    return whole


# -- JSON ------------------------------------------------------------------------------------


def encode_split(table: Table) -> bytes:
    """A table as JSON, a row a line.

    Raises:
        InvalidValueError: a value is of a type that JSON cannot hold; it names the column.
    """
    plain = [_plain_column(n, v) for n, v in zip(table.columns, table.values, strict=True)]
    encode = json.JSONEncoder(
        ensure_ascii=False, separators=(",", ":"), check_circular=False
    ).encode
    columns = encode(list(table.columns))
    rows = ",\n".join([_infinite(encode(row)) for row in zip(*plain, strict=True)])
    text = f'{{"columns":{columns},\n"data":[\n{rows}\n]}}\n'
    # Halves of surrogate pairs become escapes that JSON has too.
    return text.encode("utf-8", "backslashreplace")


def _infinite(line: str) -> str:
    """The line with infinities as JSON can spell them; what stands in quotes stays."""
    if "Infinity" not in line:
        return line
    parts = _QUOTED.split(line)
    parts[::2] = [part.replace("Infinity", "1e999") for part in parts[::2]]
    return "".join(parts)


def decode_split(data: bytes) -> Table:
    """The table that `encode_split`, pandas or MLflow wrote.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it is no object with `columns` and `data`")
    columns, rows = found.get("columns"), found.get("data")
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise ValueError("it is no object with `columns` and `data`")
    width = len(columns)
    if not all(isinstance(row, list) and len(row) == width for row in rows):
        raise ValueError(f"a row has not the {width} values that the columns have")
    names = tuple(to_column(".".join(map(str, n)) if isinstance(n, list) else n) for n in columns)
    return Table(names, tuple([row[at] for row in rows] for at in range(width)))


def _plain_column(name: Column, values: list[Any]) -> list[Any]:
    types = set(map(type, values))
    if types <= _PLAIN:
        return values
    if types <= _PLAIN | {float}:
        return [None if value != value else value for value in values]
    return [_plain(value, name, row, 0) for row, value in enumerate(values)]


def _plain(value: Any, name: Column, row: int, depth: int) -> Any:
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if depth > _DEEPEST:
        raise _no_json(name, row, "nested deeper than a hundred levels")
    if isinstance(value, Mapping):
        return {str(key): _plain(item, name, row, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return [_plain(item, name, row, depth + 1) for item in items]
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Enum):
        return _plain(value.value, name, row, depth + 1)
    if isinstance(value, _TEXTUAL) or type(value).__name__ in _TEXTUAL_NAMES:
        return str(value)
    if hasattr(value, "tolist"):
        plain = value.tolist()
        if type(plain) is not type(value):
            return _plain(plain, name, row, depth + 1)
    raise _no_json(name, row, f"of type {type(value).__name__}")


def _no_json(name: Column, row: int, what: str) -> InvalidValueError:
    return InvalidValueError(
        f"log_table: column {name!r} of data holds in row {row} a value that is {what}",
        why="a table holds numbers, text, times, and lists and mappings of them",
        next="leave the column out, or make text of it",
    )


# -- CSV -------------------------------------------------------------------------------------


def encode_csv(table: Table) -> bytes:
    """A table as CSV in UTF-8; a missing value is empty, a nested one JSON.

    Raises:
        InvalidValueError: a value has no text; it names the column.
    """
    plain = [_plain_column(n, v) for n, v in zip(table.columns, table.values, strict=True)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    for row in zip(*plain, strict=True):
        writer.writerow([json.dumps(v) if isinstance(v, (list, dict)) else v for v in row])
    return out.getvalue().encode("utf-8", "backslashreplace")


def decode_csv(data: bytes) -> Table:
    """The table in a CSV file: a column is of integers, floats or truth values if all of it is.

    Text that looks like a number but is not spelled as one, such as 007, stays text.

    Raises:
        ValueError: it is none.
    """
    try:
        rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except csv.Error as error:
        raise ValueError(str(error)) from None
    if not rows:
        return Table()
    columns, rows = rows[0], [row for row in rows[1:] if row]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError(f"a row has not the {len(columns)} values that the columns have")
    values = tuple(_typed([row[at] for row in rows]) for at in range(len(columns)))
    return Table(tuple(columns), values)


def _typed(texts: list[str]) -> list[Any]:
    for convert in (_to_bool, _to_int, _to_float):
        try:
            return [None if text == "" else convert(text) for text in texts]
        except ValueError:
            continue
    return [text or None for text in texts]


def _to_bool(text: str) -> bool:
    if text not in ("True", "False"):
        raise ValueError(text)
    return text == "True"


def _to_int(text: str) -> int:
    number = int(text)
    if str(number) != text:
        raise ValueError(text)
    return number


def _to_float(text: str) -> float:
    if _ODD_NUMBER.search(text):
        raise ValueError(text)
    return float(text)
