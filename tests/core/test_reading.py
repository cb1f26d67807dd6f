"""What people read of runs: which way a metric is better, several runs at once, curves, samples."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.diff import mark_words
from gittrack.cli.output.spark import sparkline
from gittrack.cli.output.tables import hidden_columns, render_table
from gittrack.core import codec
from gittrack.core.compare import MISSING, compare_runs
from gittrack.core.diff import (
    CHANGED,
    EQUAL,
    Surroundings,
    changes_between,
    diff_runs,
    flatten,
)
from gittrack.core.direction import MAX, MIN, direction, is_better
from gittrack.core.model import Metric, MetricSummary, Run
from gittrack.errors import CorruptStoreError


@pytest.mark.parametrize(
    ("key", "way"),
    [
        ("acc", MAX), ("val/acc", MAX), ("val_accuracy", MAX), ("top5_acc", MAX), ("test/AUC", MAX),
        ("F1", MAX), ("mAP", MAX), ("meanReward", MAX), ("R2", MAX), ("accuracy_score", MAX),
        ("loss", MIN), ("train/loss", MIN), ("log_loss", MIN), ("valLoss", MIN), ("rmse", MIN),
        ("word-error", MIN), ("ppl", MIN), ("accuracy_loss", MIN), ("latency_ms", MIN),
        ("epoch", None), ("lr", None), ("accumulated", None), ("lossless", None), ("", None),
        ("acc/epoch", None), ("日本", None),
    ],
)  # fmt: skip
def test_the_name_of_a_metric_tells_its_direction(key: str, way: str | None) -> None:
    assert direction(key) == way


def test_settings_go_before_names() -> None:
    assert direction("loss", maximize=["lo*"]) == MAX
    assert direction("val/bits", minimize=["*/bits"]) == MIN
    assert direction("x", maximize=["x"], minimize=["x"]) == MAX
    assert is_better(0.1, MAX) is True and is_better(-0.1, MIN) is True
    assert is_better(0.1, MIN) is False
    assert is_better(0.0, MAX) is None and is_better(0.1, None) is None


def summary(last: float) -> MetricSummary:
    return MetricSummary(last, 0, 0, last, last, 1)


A = Run("20261101-000000-00000000000a", "e", "iris", "a", "finished", 1,
        params={"lr": 0.1, "same": 1, "n": None}, metrics={"loss": summary(1.0)}, branch="main")  # fmt: skip
B = Run("20261101-000000-00000000000b", "e", "iris", "b", "failed", 2, exit_code=1,
        params={"lr": 0.2, "same": 1}, metrics={"loss": summary(0.5), "acc": summary(0.5)}, branch="main")  # fmt: skip


def test_compare_tells_null_from_missing() -> None:
    lines = {line.key: line for line in compare_runs([A, B])}
    assert lines.keys() == {"loss", "acc", "lr", "n", "status", "exit_code"}
    assert lines["n"].values == (None, MISSING)
    assert lines["acc"].values == (MISSING, 0.5)
    assert compare_runs([A, A]) == []
    everything = compare_runs([A, A], equal=True)
    assert {line.key for line in everything} >= {"loss", "lr", "same", "branch"}
    assert not any(line.differs for line in everything)


def test_equal_values_are_there_when_they_are_asked_for() -> None:
    changes, same = changes_between({"a": 1, "b": 2}, {"a": 1, "b": 3}, equal=True)
    assert [(change.key, change.kind) for change in changes] == [("a", EQUAL), ("b", CHANGED)]
    assert same == 1
    diff = diff_runs(A, A, equal=True)
    assert diff.is_empty and diff.params and diff.metrics
    around = Surroundings({"packages.torch": "2.1"}), Surroundings({"packages.torch": "2.2"})
    diff = diff_runs(A, A, None, around)
    assert [change.key for change in diff.environment] == ["packages.torch"]
    assert not diff.is_empty


def test_flatten_joins_keys_with_dots() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": {}, "e": [1]}) == {"a.b.c": 1, "d": {}, "e": [1]}


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([1, 1, 1], 8, "▄▄▄"),
        ([0, math.nan, 1], 8, "▁ █"),
        ([0, 0, 10, 10], 2, "▁█"),
        ([1], 8, ""),
        ([], 8, ""),
        ([math.nan, math.inf], 8, ""),
        ([-1e308, 1e308], 8, "▁█"),
        ([1e308] * 9, 3, "▄▄▄"),
    ],
)
def test_sparklines(values: list[float], width: int, shown: str) -> None:
    assert sparkline(values, width) == shown


@given(st.lists(st.floats(), max_size=60), st.integers(0, 30))
def test_a_sparkline_never_fails_nor_grows(values: list[float], width: int) -> None:
    for ascii_only in (False, True):
        assert len(sparkline(values, width, ascii_only=ascii_only)) <= width


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99)), max_size=80), st.integers(1, 9)
)
def test_a_sample_is_of_the_points_and_ends_with_the_last(
    pairs: list[tuple[str, int]], most: int
) -> None:
    rows = sorted({(key, step, step, repr(step / 2)) for key, step in pairs})
    data = codec.encode_points(rows)
    full = list(codec.decode_points(data))
    sample = list(codec.sample_points(data, most))
    assert set(sample) <= set(full)
    for key in {point.key for point in full}:
        mine = [point for point in sample if point.key == key]
        theirs = [point for point in full if point.key == key]
        assert mine[-1] == theirs[-1]
        assert len(mine) <= 2 * most + 1
    if most >= len(full):
        assert sample == full


@pytest.mark.parametrize(
    "data",
    [
        b"key,step\n",
        b"\xff",
        b"key,step,time_ms,value\na,b,1,2\n",
        b"key,step,time_ms,value\na,1\n",
    ],
)
def test_what_is_no_segment_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptStoreError):
        list(codec.decode_points(data))
    with pytest.raises(CorruptStoreError):
        list(codec.sample_points(data, 5))


def test_further_columns_of_a_segment_are_passed_over() -> None:
    data = b"model,key,step,time_ms,value\nm,a,1,2,3.0\n"
    assert list(codec.decode_points(data)) == [Metric("a", 3.0, 1, 2)]


@given(
    st.lists(st.text("ab 日", max_size=12), min_size=1, max_size=6),
    st.integers(8, 60),
)
def test_a_table_never_passes_its_width(header: list[str], width: int) -> None:
    rows = [[cell * 3 for cell in header], header]
    lines = render_table(header, rows, width)
    assert all(t.width_of(line) <= width for line in lines)
    hidden = hidden_columns(header, rows, width)
    assert header[len(header) - len(hidden) :] == hidden


def test_a_table_uses_the_whole_width() -> None:
    (head, *_) = render_table(["k", "a" * 50, "b" * 50], [["1", "2", "3"]], 41)
    assert t.width_of(head) == 41


def test_words_that_changed_are_marked() -> None:
    assert mark_words("a b c", "a x c", Style(True)) == (
        "a \x1b[31mb\x1b[m c", "a \x1b[32mx\x1b[m c",
    )  # fmt: skip
    assert mark_words("", "new", Style(True)) == ("", "\x1b[32mnew\x1b[m")


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds ago"), (89, "89 seconds ago"), (120, "2 minutes ago"), (7200, "2 hours ago"),
     (3 * 86400, "3 days ago"), (21 * 86400, "3 weeks ago"), (200 * 86400, "7 months ago"),
     (800 * 86400, "2 years ago"), (-5, "0 seconds ago")],
)  # fmt: skip
def test_times_are_relative_as_in_git(seconds: int, said: str) -> None:
    assert t.ago(0, seconds * 1000) == said
