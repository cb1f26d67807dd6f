"""Tables come back as they were kept, and pandas reads them as we do."""

from __future__ import annotations

import datetime as dt
import io
import json
import math
from decimal import Decimal
from pathlib import PurePosixPath

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gittrack.core import table as t
from gittrack.core.table import Table
from gittrack.errors import InvalidValueError

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False)
    | st.text()
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
NAMES = st.text() | st.integers(-(2**31), 2**31)


@st.composite
def tables(draw: st.DrawFn, values: st.SearchStrategy[object] = VALUES) -> Table:
    columns = draw(st.lists(NAMES, max_size=4))
    height = draw(st.integers(0, 4)) if columns else 0
    column = st.lists(values, min_size=height, max_size=height)
    return Table(tuple(columns), tuple(draw(column) for _ in columns))


@given(tables())
def test_json_gives_back_what_it_was_made_of(table: Table) -> None:
    data = t.encode_split(table)
    assert t.decode_split(data) == table
    assert t.encode_split(t.decode_split(data)) == data
    # JSON as the standard has it: no NaN, no Infinity.
    json.loads(data, parse_constant=lambda word: pytest.fail(word))


@given(tables(), tables(), tables())
def test_appending_loses_no_row_and_no_column(a: Table, b: Table, c: Table) -> None:
    both = t.append(a, b)
    assert both.height == a.height + b.height
    assert t.append(both, c) == t.append(a, t.append(b, c))
    assert t.append(a, Table()) == a == t.append(Table(), a)
    assert both.columns[: len(a.columns)] == a.columns


def test_pandas_reads_the_same_values() -> None:
    table = Table(
        ("n", "x", 3, "text", "nested"),
        ([1, 2, 3], [0.5, math.inf, math.nan], [True, False, True], ["a", "Infinity", None],
         [{"a": [1]}, None, ["\ud800", "é\n"]]),
    )  # fmt: skip
    text = t.encode_split(table).decode()
    assert text.splitlines()[1:3] == ['"data":[', '[1,0.5,true,"a",{"a":[1]}],']
    assert '[2,1e999,false,"Infinity",null],' in text
    frame = pd.read_json(io.StringIO(text), orient="split")
    assert list(frame.columns) == ["n", "x", 3, "text", "nested"]
    assert frame["n"].tolist() == [1, 2, 3]
    assert frame["x"].tolist()[:2] == [0.5, math.inf] and math.isnan(frame["x"][2])
    assert frame["nested"][0] == {"a": [1]}


def test_what_pandas_wrote_is_read() -> None:
    frame = pd.DataFrame({"a": [1, None], "t": pd.to_datetime(["2026-01-02", "2026-01-03"])})
    for index in (True, False):
        text = frame.to_json(orient="split", index=index, date_format="iso")
        table = t.decode_split(text.encode())
        assert table.columns == ("a", "t")
        assert table.values[0] == [1.0, None]
        assert table.values[1][0].startswith("2026-01-02T00:00:00")


def test_values_that_say_all_by_their_text_are_kept_as_text() -> None:
    day = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
    table = Table(("v",), ([day, day.date(), Decimal("1.10"), PurePosixPath("a/b"), {3, 1}],))
    assert t.decode_split(t.encode_split(table)).values[0] == [
        "2026-01-02T03:00:00+00:00", "2026-01-02", "1.10", "a/b", [1, 3]
    ]  # fmt: skip


def test_a_value_without_a_form_is_named() -> None:
    endless: list[object] = []
    endless.append(endless)
    for value, word in ((object(), "of type object"), (b"x", "of type bytes"), (endless, "nested")):
        for encode in (t.encode_split, t.encode_csv):
            with pytest.raises(InvalidValueError, match=f"column 'v' .* row 1 .*{word}"):
                encode(Table(("v",), ([1, value],)))


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"columns":["a"],"data":[[1,2]]}', '{"columns":1,"data":[]}', "[" * 99_999],
)
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        t.decode_split(text.encode())


@given(
    tables(st.integers() | st.text("ab,\"'\n;7 é", min_size=1).filter(lambda s: "7" not in s)),
)
def test_csv_gives_back_integers_and_text(table: Table) -> None:
    data = t.encode_csv(table)
    found = t.decode_csv(data)
    if table.columns:
        assert [str(name) for name in table.columns] == list(found.columns)
        assert [[str(v) for v in column] for column in table.values] == [
            [str(v) for v in column] for column in found.values
        ]
    assert t.encode_csv(found) == data


def test_csv_columns_have_one_type() -> None:
    text = "i,f,b,zip,gap,mixed\n1,1.5,True,007,,1\n-2,nan,False,100,5,x\n"
    table = t.decode_csv(text.encode())
    assert table.values[0] == [1, -2]
    assert table.values[1][0] == 1.5 and math.isnan(table.values[1][1])
    assert table.values[2:] == ([True, False], ["007", "100"], [None, 5], ["1", "x"])
    with pytest.raises(ValueError):
        t.decode_csv(b"a,b\n1\n")
