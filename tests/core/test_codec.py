"""Any legal value survives; what we write reads the same everywhere; hostile bytes are refused."""

from __future__ import annotations

import csv
import io
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gittrack.core import codec, yamltext
from gittrack.core.model import Metric, MetricSummary, Stamp, next_time
from gittrack.errors import CorruptStoreError, InvalidValueError

text = st.text(st.characters(codec="utf-8"), max_size=30)
keys = st.one_of(
    text.filter(bool),
    st.sampled_from(
        ["a", "A", "a/b", "..", "CON", "yes", "No", "~", "null", "1", "1e3", ".nan", "a:b", "- a",
         "#", "é", "日本", "a b", " a", "a ", '"', "\\", "'", "{", "[", "&x", "*x", "!t", "%", "@"]
    ),
)  # fmt: skip
scalars = st.one_of(
    text, st.integers(), st.floats(), st.booleans(), st.none(), st.just(-0.0), st.just(5e-324)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)
mappings = st.dictionaries(keys, values, max_size=6)


def bits(value: Any) -> Any:
    """The value with floats as their bytes, so that -0.0 and NaN can be compared."""
    if isinstance(value, float):
        return ("float", "nan" if value != value else struct.pack(">d", value))
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return ("int", value)
    if isinstance(value, (list, tuple)):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    return value


@given(mappings)
def test_any_mapping_survives(mapping: dict[str, Any]) -> None:
    data = codec.encode_mapping(mapping)
    assert bits(codec.decode_mapping(data)) == bits(mapping)
    assert codec.encode_mapping(dict(reversed(mapping.items()))) == data


@given(mappings)
def test_the_fast_path_reads_all_that_we_write(mapping: dict[str, Any]) -> None:
    data = codec.encode_mapping(mapping).decode()
    assert bits(yamltext._decode_canonical(data)) == bits(mapping)


@pytest.mark.parametrize("version", ["1.1", "1.2"])
@given(mapping=mappings)
def test_other_yaml_readers_see_the_same(version: str, mapping: dict[str, Any]) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.version = version
    found = yaml.load(codec.encode_mapping(mapping).decode()) or {}
    assert bits(found) == bits(mapping)


@given(mappings)
def test_one_entry_is_one_line(mapping: dict[str, Any]) -> None:
    data = codec.encode_mapping(mapping)
    assert len(data.decode().splitlines()) == len(mapping)
    assert data.count(b"\n") == len(mapping)


def test_bytes_of_an_example() -> None:
    data = codec.encode_mapping(
        {"lr": 1e-05, "n": 3, "yes": "no", "a/b": None, "ok": True, "x": [1, "é", {"k": math.inf}]}
    )
    assert data.decode() == (
        'a/b: null\nlr: 1.0e-05\n"n": 3\nok: true\nx: [1, "é", {k: .inf}]\n"yes": "no"\n'
    )


def test_hand_written_yaml_is_read_too() -> None:
    data = b"# a comment\nlr: 1e-3\nnested:\n  - 1\n  - two\nname: plain text\n"
    assert codec.decode_mapping(data) == {
        "lr": 0.001,
        "nested": [1, "two"],
        "name": "plain text",
    }
    assert codec.decode_mapping(b"") == {}


@pytest.mark.parametrize(
    "data",
    [
        b"a: &x 1\n",
        b"a: &x [1]\nb: *x\n",
        b"a: !!python/object/apply:os.system ['true']\n",
        b"a: !foo 1\n",
        b"- 1\n",
        b"1: 2\n",
        b"a: 1\na: 2\n",
        b"a: [1\n",
        b"\xff: 1\n",
        b"a: " + b"[" * 60 + b"]" * 60 + b"\n",
        b"a: " + b"[" * 100_000 + b"\n",
        b"just text\n",
    ],
)
def test_hostile_yaml_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptStoreError) as caught:
        codec.decode_mapping(data, where="runs/x/run.yaml")
    assert "runs/x/run.yaml" in caught.value.message


def test_an_oversized_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamltext, "MAX_BYTES", 10)
    with pytest.raises(CorruptStoreError, match="does not follow"):
        codec.decode_mapping(b"a: 123456789\n")


@pytest.mark.parametrize("t", [2**53, -1, 10**30])
def test_a_stamp_of_no_possible_time_is_refused(t: int) -> None:
    with pytest.raises(CorruptStoreError):
        codec.decode_stamps(f'long_key: {{by: "w", t: {t}, v: 1}}\n'.encode())


@pytest.mark.parametrize("key", ["y", "no", "True", "null", "end", "a", "tags.true"])
def test_the_fast_way_reads_stamps_as_the_slow_way_does(key: str) -> None:
    data = f'{key}: {{by: "w", t: 1, v: 1}}\n'.encode()
    results = []
    for decode in (codec.decode_stamps, lambda data: codec._decode_stamps(data, "")):
        try:
            results.append(decode(data))
        except CorruptStoreError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_no_clock_pushes_stamps_out_of_the_format() -> None:
    assert next_time(5, 3) == 5
    assert next_time(5, 9) == 10
    assert next_time(5, 2**53 - 1) == 2**53 - 1


@pytest.mark.parametrize("value", ["2020-01-01", "[1, 2020-01-01]", "{1: 2}", "!!binary aGk="])
def test_what_only_yaml_knows_is_refused(value: str) -> None:
    with pytest.raises(CorruptStoreError):
        codec.decode_mapping(f"a:   {value}\n".encode())


@given(
    st.dictionaries(keys, st.builds(Stamp, scalars, st.integers(0, 2**53 - 1), text), max_size=5)
)
def test_stamped_maps_survive(stamps: dict[str, Stamp]) -> None:
    found = codec.decode_stamps(codec.encode_stamps(stamps))
    assert bits({k: list(v) for k, v in found.items()}) == bits(
        {k: list(v) for k, v in stamps.items()}
    )


def test_a_malformed_stamp_is_corrupt() -> None:
    with pytest.raises(CorruptStoreError, match="malformed"):
        codec.decode_stamps(b"name: 1\n")


points = st.lists(
    st.tuples(
        keys.filter(lambda k: "\r" not in k and "\n" not in k and "\x00" not in k),
        st.integers(-(2**63), 2**63 - 1),
        st.integers(0, 2**53),
        st.floats(),
    ),
    max_size=30,
)


@given(points)
def test_points_survive_to_the_last_bit(rows: list[tuple[str, int, int, float]]) -> None:
    data = codec.encode_points((k, s, t, repr(v)) for k, s, t, v in rows)
    found = [(m.key, m.step, m.timestamp, m.value) for m in codec.decode_points(data)]
    assert sorted(map(repr, found)) == sorted(map(repr, rows))
    assert [f[:3] for f in found] == sorted(r[:3] for r in rows)


@given(points)
def test_csv_is_read_by_the_standard_library(rows: list[tuple[str, int, int, float]]) -> None:
    data = codec.encode_points((k, s, t, repr(v)) for k, s, t, v in rows)
    read = list(csv.DictReader(io.StringIO(data.decode(), newline="")))
    assert len(read) == len(rows)
    assert {row["key"] for row in read} == {row[0] for row in rows}


def test_further_columns_are_passed_over() -> None:
    data = b"model,key,step,time_ms,value\nm1,loss,3,1000,0.5\n"
    assert list(codec.decode_points(data)) == [Metric("loss", 0.5, 3, 1000)]


@pytest.mark.parametrize("data", [b"a,b\n1,2\n", b"key,step,time_ms,value\nx,1\n", b"\xff"])
def test_a_damaged_segment_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptStoreError):
        list(codec.decode_points(data))


def test_the_last_point_is_the_greatest_step_then_time_then_value() -> None:
    rows = [("a", 1, 5, "9.0"), ("a", 2, 4, "1.0"), ("a", 2, 4, "3.0"), ("a", 2, 4, "nan")]
    assert codec.summarise_rows(rows)["a"] == MetricSummary(3.0, 2, 4, 1.0, 9.0, 4)


@given(points, points)
def test_merged_summaries_are_the_summary_of_all(a: list[Any], b: list[Any]) -> None:
    def rows(items: list[Any]) -> list[Any]:
        return [(k, s, t, repr(v)) for k, s, t, v in items]

    merged = codec.merge_summaries(codec.summarise_rows(rows(a)), codec.summarise_rows(rows(b)))
    whole = codec.summarise_rows(rows(a + b))
    assert bits({k: list(v) for k, v in merged.items()}) == bits(
        {k: list(v) for k, v in whole.items()}
    )


def test_summaries_survive() -> None:
    metrics = {"a/b": MetricSummary(math.nan, 1, 2, math.nan, math.nan, 1)}
    of, found = codec.decode_summaries(codec.encode_summaries(["z.csv", "a.csv"], metrics))
    assert of == ["a.csv", "z.csv"]
    assert bits(list(found["a/b"])) == bits(list(metrics["a/b"]))


@given(st.integers(0, 253402300799999))
def test_times_survive(ms: int) -> None:
    assert codec.parse_time(codec.format_time(ms)) == ms


@pytest.mark.parametrize("bad", ["", "2026-11-23", "yesterday", "2026-11-23T15:30:12"])
def test_a_bad_time_is_refused(bad: str) -> None:
    with pytest.raises(CorruptStoreError):
        codec.parse_time(bad)


class TestParams:
    def test_nested_mappings_become_dotted_keys(self) -> None:
        assert codec.flatten_params({"model": {"depth": 3, "opt": {"lr": 0.1}}, "x": None}) == {
            "model.depth": 3,
            "model.opt.lr": 0.1,
            "x": None,
        }

    def test_two_values_under_one_key_are_an_error(self) -> None:
        with pytest.raises(InvalidValueError, match=r"a\.b"):
            codec.flatten_params({"a": {"b": 1}, "a.b": 2})

    def test_types_are_kept_and_numpy_scalars_become_numbers(self) -> None:
        import numpy as np

        found = codec.flatten_params(
            {"i": np.int64(3), "f": np.float32(0.5), "b": np.bool_(True), "t": "x",
             "l": (1, "a"), "arr": np.arange(3), "obj": 1j}
        )  # fmt: skip
        assert found == {
            "i": 3, "f": 0.5, "b": True, "t": "x", "l": [1, "a"], "arr": [0, 1, 2], "obj": "1j",
        }  # fmt: skip
        assert type(found["b"]) is bool
        assert type(found["i"]) is int

    def test_a_set_has_one_order_in_every_process(self) -> None:
        found = codec.flatten_params({"s": {"c", "a", "b"}, "f": frozenset((2, 1))})
        assert found == {"s": ["a", "b", "c"], "f": [1, 2]}


class TestNumbers:
    @pytest.mark.parametrize("value", ["0.5", b"1", None, [1, 2], {}, object()])
    def test_what_is_no_number_names_key_and_value(self, value: object) -> None:
        with pytest.raises(InvalidValueError) as caught:
            codec.to_number("metric", "acc", value)
        assert "'acc'" in caught.value.message
        assert type(value).__name__ in caught.value.message

    def test_scalars_of_other_libraries_are_numbers(self) -> None:
        from decimal import Decimal

        import numpy as np

        for value in (np.float32(0.5), np.int64(1), np.array(2.0), Decimal("1.5"), True, 7):
            assert codec.to_number("metric", "a", value) == float(value)


def test_blob_ids_are_gits() -> None:
    assert codec.blob_id(b"", "sha1") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"


@given(
    st.lists(st.tuples(keys, st.integers(0, 9), st.integers(0, 9), st.just("1.0")), max_size=30),
    st.integers(30, 200),
)
def test_a_long_segment_is_split_between_rows(
    rows: list[tuple[str, int, int, str]], most: int
) -> None:
    whole = codec.encode_points(rows)
    pieces = list(codec.split_points(whole, most))
    assert [row for piece in pieces for row in codec.decode_rows(piece)] == sorted(rows)
    header = len("key,step,time_ms,value\n")
    for piece in pieces:
        assert len(piece) <= most + header or len(list(codec.decode_rows(piece))) == 1
    assert all(piece.startswith(b"key,step,time_ms,value\n") for piece in pieces)
