"""Tables and arrays of real libraries: one digest everywhere, and nothing odd ends the recording."""

from __future__ import annotations

import datetime as dt
import math
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from gittrack.capture import frames
from gittrack.capture.frames import UnknownDataError, describe_values
from gittrack.core import digest


def digest_of(data: Any, **options: bool) -> str:
    return describe_values(data, **options).digest


def small() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n": [1, 2, -3],
            "x": [0.1, None, float("inf")],
            "s": ["a", "é", None],
            "f": [True, False, True],
            "t": pd.to_datetime(
                ["2026-01-01", "2026-01-02T03:04:05.123456", None], format="ISO8601"
            ),
            "z": pd.to_datetime(["2026-07-01"] * 3).tz_localize("Europe/Berlin"),
            "d": pd.to_timedelta([1, 2, None], unit="h"),
            "c": pd.Categorical(["u", None, "u"]),
        }
    )


#: Fixed: who changes how a digest is made gives every dataset a new version.
SMALL = "table:4d26ca59ea160c3401ed979d"


def test_one_table_has_one_digest_in_every_library() -> None:
    frame = small()
    assert digest_of(frame) == SMALL
    assert digest_of(pl.from_pandas(frame)) == SMALL
    assert digest_of(pa.Table.from_pandas(frame, preserve_index=False)) == SMALL
    # However it is held: object and arrow texts, other units, other zones, narrow numbers.
    for column, kind in (
        ("s", "object"), ("s", "string[pyarrow]"), ("t", "datetime64[ns]"), ("n", "int8"), ("c", "object"),
        ("z", "datetime64[ns, UTC]"), ("n", "Int64"), ("d", "timedelta64[ns]"), ("f", "boolean"),
            ("t", "timestamp[ns][pyarrow]"), ("n", "int64[pyarrow]"), ("d", "duration[s][pyarrow]"),
    ):  # fmt: skip
        assert digest_of(frame.astype({column: kind})) == SMALL, (column, kind)
    assert digest_of(frame.iloc[::-1].iloc[::-1]) == SMALL
    batch = pa.Table.from_pandas(frame, preserve_index=False).to_batches()[0]
    assert digest_of(batch) == SMALL


def test_the_digest_is_the_same_in_another_process() -> None:
    script = (
        "import numpy, pandas\nfrom gittrack.capture.frames import describe_values as d\n"
        "print(d(pandas.DataFrame({'a': ['x', {'k', 'l'}, (1, 2)]})).digest)"
    )
    done = [
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True,
            text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert done[0] == done[1] and done[0].startswith("table:")


CHANGES: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "a value": lambda f: f.assign(n=[1, 2, 3]),
    "a text": lambda f: f.assign(s=["a", "e", None]),
    "a missing text": lambda f: f.assign(s=["a", "é", ""]),
    "an instant": lambda f: f.assign(t=f["t"] + pd.Timedelta(1, "ns")),
    "the order of rows": lambda f: f.iloc[::-1].reset_index(drop=True),
    "the order of columns": lambda f: f[f.columns[::-1]],
    "a name": lambda f: f.rename(columns={"n": "N"}),
    "a name of another type": lambda f: f.rename(columns={"n": 1}),
    "the index": lambda f: f.set_index("n", drop=False),
    "a row less": lambda f: f.iloc[:2],
    "numbers as text": lambda f: f.assign(n=["1", "2", "-3"]),
    "numbers as floats": lambda f: f.assign(n=[1.0, 2.0, -3.0]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_gives_another_digest(change: Callable[[pd.DataFrame], pd.DataFrame]) -> None:
    assert digest_of(change(small())) != SMALL


class Odd:
    """Nothing can be done with it."""

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise RuntimeError("do not ask")

    def __reduce__(self) -> str:
        raise RuntimeError("do not pickle")


def test_odd_tables_are_described() -> None:
    loop: list[Any] = []
    loop += [loop, loop, loop]
    values = [1, "1", 1.5, None, b"b", [1, {"k": {2, 3}}], dt.date(2026, 1, 1), Decimal("1.10"), 2**70,
              np.float32(1), np.arange(3), pd.NaT, pd.NA, complex(1, 2), dt.timedelta(1)]  # fmt: skip
    found = describe_values(pd.DataFrame({"mixed": values}))
    assert (found.rows, found.columns, found.opaque) == (len(values), 1, ())
    found = describe_values(pd.DataFrame({"o": [Odd(), Odd()], "l": [loop, 1], 3: [1, 2]}))
    assert found.opaque == ("o", "l")
    assert [name for name, _ in found.schema] == ["o", "l", "3"]
    twice = pd.DataFrame([[1, 2]], columns=["a", "a"])
    assert describe_values(twice).schema == (("a", "int64"), ("a", "int64"))
    many = small().set_index(["n", "s"])
    many.columns = pd.MultiIndex.from_product([["a", "b"], [1, 2, 3]])
    assert describe_values(many).schema[0][0] == "('a', 1)"
    for empty in (pd.DataFrame(), pd.DataFrame({"a": []}), pl.DataFrame(), pa.table({})):
        assert describe_values(empty).rows == 0
    assert describe_values(pd.Series([1, 2], name="y")).columns == 1
    assert describe_values(pl.Series("y", [1, 2])).rows == 2
    assert describe_values(pa.array([1, None])).rows == 2
    period = pd.DataFrame({"p": pd.period_range("2026-01", periods=2, freq="M")})
    period["i"] = pd.interval_range(0, periods=2)
    assert (describe_values(period).rows, describe_values(period).opaque) == (2, ())
    assert digest_of(period) != digest_of(period.shift(1))
    nested = pl.DataFrame({"l": [[1, 2], None], "s": [{"a": 1}, {"a": 2}], "t": [dt.time(1), None]})
    assert digest_of(nested) == digest_of(nested.to_arrow())


def test_a_wide_table_has_the_types_of_its_first_columns() -> None:
    found = describe_values(pd.DataFrame(np.zeros((1, 600))))
    assert (found.columns, len(found.schema)) == (600, 500)


def test_arrays() -> None:
    base = np.arange(12.0).reshape(3, 4)
    first = describe_values(base)
    assert (first.shape, first.rows, first.size_bytes, first.schema) == (
        (3, 4), 3, 96, (("", "float64"),),
    )  # fmt: skip
    assert first.digest == "array:4da94309fc2656eb297ddb7f"
    same = [base.copy(order="F"), base.astype(">f8"), np.arange(24.0).reshape(3, 8)[:, ::2] / 2]
    assert {digest_of(array) for array in same} == {first.digest}
    nan = np.frombuffer(b"\1\0\0\0\0\0\xf8\xff" + b"\0\0\0\0\0\0\xf8\x7f", "<f8")
    assert digest_of(nan[:1]) == digest_of(nan[1:])
    padded = np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    packed = np.zeros(2, [("a", "i1"), ("b", "f8")])
    assert digest_of(padded) == digest_of(packed)
    assert describe_values(padded).schema == (("a", "int8"), ("b", "float64"))
    different = [
        base, base[0], base.T, base.astype("f4"), base.astype("i8"), np.array(3.0), np.array([]),
        np.zeros((0, 3)), np.array(["a", "b"]), np.array(["a", None], object), np.float64(3),
        np.array(["2026-01-01", "NaT"], "M8[D]"), np.array(["2026-01-01", "NaT"], "M8[s]"),
        np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[0, 0]), np.array([True, False]),
        np.longdouble(1) / 3, np.array([1j]), packed, np.array([b"a"]), np.zeros(2, "V3"),
    ]  # fmt: skip
    day, record = np.array(["2026-01-01"], "M8[D]"), np.ones(1, [("a", "i4"), ("b", "U2")])
    for array in (day, record):
        hidden = [np.ma.array(some, mask=[True]) for some in (array, array[::-1])]
        assert digest_of(hidden[0]) == digest_of(hidden[1]) != digest_of(array)
    digests = [digest_of(array) for array in different]
    assert digests[5] == digests[10]  # a number is an array of no dimension
    assert len(set(digests)) == len(digests) - 1


def test_several_arrays_are_one_dataset() -> None:
    x, y = np.zeros((3, 2)), np.ones(3)
    found = describe_values({"x": x, "y": y})
    assert found.schema == (("x", "float64 (3, 2)"), ("y", "float64 (3,)"))
    assert (found.rows, found.columns, found.size_bytes) == (3, 2, 72)
    others = [{"x": y, "y": x}, {"y": y, "x": x}, (x, y), [x], {"x": x, "y": small()}]
    assert len({found.digest, *map(digest_of, others)}) == len(others) + 1
    with pytest.raises(UnknownDataError, match=r"its part 'y': it is of type builtins.int"):
        describe_values({"x": x, "y": 3})


@pytest.mark.parametrize("data", [object(), 3, [], {}, pl.LazyFrame({"a": [1]}), "text", {1, 2}])
def test_what_is_no_data_is_said(data: Any) -> None:
    with pytest.raises(UnknownDataError):
        describe_values(data)


def test_large_data_is_sampled_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "MOST_VALUES", 1_000)
    monkeypatch.setattr(digest, "_SAMPLE", 300)
    monkeypatch.setattr(digest, "MOST_BYTES", 8_000)
    monkeypatch.setattr(digest, "BLOCK", 16)
    monkeypatch.setattr(digest, "_BLOCKS", 8)
    monkeypatch.setattr(frames, "_AT_ONCE", 100)
    frame = pd.DataFrame({"a": range(1_001), "b": range(1_001)})
    found = describe_values(frame)
    assert found.sampled and (found.rows, found.columns) == (1_001, 2)
    assert (
        found.digest == digest_of(pl.from_pandas(frame)) == digest_of(pa.Table.from_pandas(frame))
    )
    assert not describe_values(frame, exact=True).sampled
    assert not describe_values(frame.iloc[:500]).sampled
    rows = digest.sample_rows(1_001, 2)
    assert rows is not None and (rows[0], rows[-1], len(rows)) == (0, 1_000, 150)
    assert rows == sorted(set(rows))
    hit, missed = frame.copy(), frame.copy()
    hit.loc[rows[7], "a"] = -1
    missed.loc[rows[7] + 1, "a"] = -1
    assert digest_of(hit) != found.digest == digest_of(missed)
    assert digest_of(missed, exact=True) != digest_of(frame, exact=True)
    array = np.arange(2_000)
    assert describe_values(array).sampled and not describe_values(array[:1_000]).sampled
    changed = array.copy()
    changed[-1] = 0
    assert digest_of(changed) != digest_of(array)
    assert digest_of(array, exact=True) == digest_of(np.asfortranarray(array), exact=True)
    assert digest_of(array.astype(object)[:1_001]) != digest_of(array.astype(object)[:1_000])


def test_embeddings_count_by_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    base = np.arange(4_000.0).reshape(200, 20)
    lists = [[*row[:3], float("nan"), int(row[0])] for row in base.tolist()]
    tables = (
        pd.DataFrame({"id": range(200), "e": list(base), "l": lists}),
        pl.DataFrame({"id": range(200), "e": base.tolist(), "l": pl.Series(lists, strict=False)}),
    )
    assert not any(describe_values(table).sampled for table in tables)
    monkeypatch.setattr(digest, "MOST_VALUES", 4_000)
    monkeypatch.setattr(digest, "_SAMPLE", 20)
    for table in tables:
        assert describe_values(table).sampled
        assert not describe_values(table, exact=True).sampled
    frame = tables[0]
    before = digest_of(frame)
    frame.at[1, "e"] = base[0]  # between the ten rows
    assert digest_of(frame) == before
    frame.at[199, "e"] = base[0]
    assert digest_of(frame) != before


@pytest.mark.parametrize(
    "values",
    [[1.5, -0.0, 1e300], [1.0, math.nan], [math.inf, -math.inf], [math.inf, 1.0], [1, -(2**70), 0],
     [True, False], [1, True], [1, 1.5], []],
)  # fmt: skip
def test_a_list_of_numbers_has_the_tokens_of_each(values: list[Any]) -> None:
    fast = digest._numbers(values)
    assert fast is None or fast == b"".join(digest._token(value, set(), ()) for value in values)


def test_a_named_tuple_is_its_fields() -> None:
    class Split(NamedTuple):
        x: Any
        y: Any

    x, y = np.ones((3, 2)), np.zeros(3)
    assert digest_of(Split(x, y)) == digest_of({"x": x, "y": y}) != digest_of((x, y))
