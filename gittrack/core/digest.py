"""The digest of values in memory: the same in every process, on every platform. Pure.

Of a column it covers the values, not how a library happens to hold them: whole numbers of 32 bits
are those of 64, a category is the text that it stands for, a text is one whether its column is
called `object`, `str` or `Utf8`, an instant is one in every unit and time zone, and a missing value
is missing, be it None, NaN or NaT. So the same table in pandas and in polars mostly has one digest;
that is no promise, for what one library calls missing another may not.

Nothing is pickled, and nobody's `__hash__` or `__repr__` is asked: a value of a type that is not
known here counts by the name of its type alone, and `Digest.opaque` tells so.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Any

#: More values than that are sampled: about two seconds of texts.
MOST_VALUES = 5_000_000
#: The values of a sample, and the rows of one at least.
_SAMPLE, _LEAST_ROWS = 500_000, 100
#: The same where rows hold arrays: ten pictures of 224 x 224 pixels take four seconds.
_LEAST_NESTED = 10
#: More bytes of an array than that are sampled, in so many blocks of so many elements.
MOST_BYTES = 256 * 2**20
BLOCK, _BLOCKS = 16_384, 256
_MAX_DEPTH = 20
_DIGITS = 24

#: How units of time relate to a microsecond: (times, divided by).
_UNITS = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}


class Digest:
    """Takes in named columns of values, or blocks of bytes, and gives the digest."""

    def __init__(self, kind: str, *facts: object) -> None:
        self._kind = kind
        self._hash = sha256(repr(("gittrack", kind, 1, *facts)).encode())
        self.opaque: set[str] = set()

    def add_bytes(self, data: bytes | memoryview) -> None:
        """Take in bytes that are no longer or shorter than what was said before."""
        self._hash.update(data)

    def add_column(self, name: Any, values: Sequence[Any]) -> bool:
        """Take in a column; whether all of its values are covered."""
        before = len(self.opaque)
        unknown: set[str] = set()
        self._hash.update(_token(name, unknown, ()))
        _put(self._hash.update, values, unknown)
        self.opaque |= unknown
        return len(self.opaque) == before and not unknown

    def text(self) -> str:
        """The digest: what it covers, a colon, hex digits."""
        return f"{self._kind}:{self._hash.hexdigest()[:_DIGITS]}"


def sample_rows(rows: int, columns: int, width: int = 0) -> list[int] | None:
    """The rows that stand for a large table, in order; None if all are taken.

    They are evenly spread, the first and the last among them, and follow from the size alone.

    Args:
        width: the values of a row, if those inside of its lists and arrays are more than columns.
    """
    if rows * max(columns, width, 1) <= MOST_VALUES:
        return None
    least = _LEAST_ROWS if width <= columns else _LEAST_NESTED
    return spread(rows, max(least, _SAMPLE // max(columns, width, 1)))


def spread(rows: int, count: int) -> list[int]:
    """So many rows, evenly spread, in order, or all of them if there are fewer."""
    count = min(rows, count)
    return [at * (rows - 1) // max(count - 1, 1) for at in range(count)]


def sample_blocks(elements: int, size_bytes: int) -> list[tuple[int, int]] | None:
    """Where the blocks begin and end that stand for a large array; None if all of it is taken."""
    if size_bytes <= MOST_BYTES or elements <= BLOCK * _BLOCKS:
        return None
    last = elements - BLOCK
    starts = [at * last // (_BLOCKS - 1) for at in range(_BLOCKS)]
    return [(start, start + BLOCK) for start in starts]


def instants(values: Sequence[int | None], unit: str) -> list[Any]:
    """Times in a unit since the epoch, or spans of time, as what is one in every unit.

    Microseconds, or where those do not hold them nanoseconds, as text.
    """
    times, divided = _UNITS[unit]
    if divided == 1:
        return [None if value is None else value * times for value in values]
    return [
        None if value is None else f"{value}ns" if value % divided else value // divided
        for value in values
    ]


# -- values ------------------------------------------------------------------------------------


def _put(put: Callable[[bytes], object], values: Sequence[Any], unknown: set[str]) -> None:
    """Hash a column; one of a single type without a step of Python's own for each value."""
    types = set(map(type, values))
    has_missing = type(None) in types
    types.discard(type(None))
    put(f"[{len(values)}:".encode())
    if types == {float}:
        plain = [_NAN if value is None or value != value else value for value in values]
        put(b"d" + _little(array("d", plain)))
        return
    if types == {str} or types == {bytes}:
        sizes = [-1 if value is None else _size(value) for value in values]
        put((b"s" if types == {str} else b"b") + _little(array("q", sizes)))
        # Not all at once: a column of documents may fill most of the memory by itself.
        for at in range(0, len(values), _AT_ONCE):
            put(b"".join(map(_bytes, values[at : at + _AT_ONCE])))
        return
    if types == {int} or types == {bool}:
        numbers = [0 if value is None else value for value in values] if has_missing else values
        try:
            packed = _little(array("q", numbers))
        except OverflowError:
            pass  # beyond 64 bits: one by one
        else:
            put((b"i" if types == {int} else b"t") + packed)
            if has_missing:
                put(bytes(value is None for value in values))
            return
    put(b"v")
    for value in values:
        put(_token(value, unknown, ()))


_NAN = float("nan")
_AT_ONCE = 1_000


def _bytes(value: str | bytes | None) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return b"" if value is None else value


def _size(value: str | bytes) -> int:
    return len(value if isinstance(value, bytes) or value.isascii() else _bytes(value))


def _little(values: array[Any]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _token(value: Any, unknown: set[str], above: tuple[int, ...]) -> bytes:
    """A value as bytes that no other value has; missing ones are one.

    Args:
        above: the ids of the objects that hold it: one that holds itself three times would be
            walked through 3 ** 20 times.
    """
    match value:
        case None:
            return b"n;"
        case bool():
            return b"t1;" if value else b"t0;"
        case int():
            return b"i%d;" % value
        case float():
            return b"n;" if value != value else b"d" + _little(array("d", [value]))
        case str():
            return _sized(b"s", value.encode("utf-8", "surrogatepass"))
        case bytes() | bytearray() | memoryview():
            return _sized(b"b", bytes(value))
        case complex():
            return b"c" + _little(array("d", [value.real, value.imag]))
    if isinstance(value, (date, time, timedelta)):
        return _time_token(value)
    if len(above) > _MAX_DEPTH or id(value) in above:
        unknown.add("values within values")
        return b"?deep;"
    above = (*above, id(value))
    if isinstance(value, Mapping):
        pairs = [
            _token(key, unknown, above) + _token(item, unknown, above)
            for key, item in value.items()
        ]
        return _sized(b"m", b"".join(sorted(pairs)))
    if isinstance(value, (list, tuple)):
        plain = _numbers(value)
        if plain is None:
            plain = b"".join([_token(item, unknown, above) for item in value])
        return _sized(b"l", plain)
    if isinstance(value, (set, frozenset)):
        return _sized(b"u", b"".join(sorted(_token(item, unknown, above) for item in value)))
    return _other_token(value, unknown, above)


def _numbers(values: Sequence[Any]) -> bytes | None:
    """The tokens of numbers of one type, as `_token` gives them; 20 times as fast."""
    types = set(map(type, values))
    if types == {int}:
        return f"i{';i'.join(map(str, values))};".encode()
    # A NaN, or infinities of both signs, are left to others.
    if types != {float} or sum(values) != sum(values):
        return None
    packed = _little(array("d", values))
    tokens = bytearray(b"d" * (9 * len(values)))
    for at in range(8):
        tokens[at + 1 :: 9] = packed[at::8]
    return bytes(tokens)


def count_values(value: Any, above: tuple[int, ...] = ()) -> int:
    """How many values there are in a value; an array or a list holds many."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
        return int(value.size)
    if not isinstance(value, (list, tuple, set, frozenset, Mapping)) or id(value) in above:
        return 1
    items = list(value.values()) if isinstance(value, Mapping) else value
    if len(items) > _SAMPLE or len(above) > _MAX_DEPTH:
        return len(items)
    above = (*above, id(value))
    return sum(count_values(item, above) for item in items)


def _other_token(value: Any, unknown: set[str], above: tuple[int, ...]) -> bytes:
    kind = type(value)
    root = kind.__module__.partition(".")[0]
    if root == "numpy" and hasattr(value, "tolist"):
        plain = value.tolist()
        if not isinstance(plain, kind):
            return _token(plain, unknown, above)
        return _sized(b"x", str(plain).encode())  # a long double has no plain type
    if kind.__name__ == "NAType" and root == "pandas":
        return b"n;"
    if root == "pandas" and kind.__name__ in ("Period", "Interval"):
        return _sized(b"x", repr(value).encode("utf-8", "surrogatepass"))
    if kind.__module__ in ("decimal", "fractions", "uuid", "pathlib", "ipaddress"):
        return _sized(b"x", f"{kind.__name__} {value}".encode("utf-8", "surrogatepass"))
    name = f"{kind.__module__}.{kind.__qualname__}"
    unknown.add(name)
    return _sized(b"o", name.encode("utf-8", "surrogatepass"))


def _time_token(value: date | time | timedelta) -> bytes:
    # NaT is not equal to itself, and of no date.
    if value != value:
        return b"n;"
    if isinstance(value, timedelta):
        parts = (value.days, value.seconds, value.microseconds, getattr(value, "nanoseconds", 0))
        return _sized(b"p", repr(parts).encode())
    if isinstance(value, datetime) and value.tzinfo is not None:
        return _sized(b"z", value.astimezone(UTC).isoformat().encode())
    return _sized(b"w", value.isoformat().encode())


def _sized(tag: bytes, data: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(data), data)
