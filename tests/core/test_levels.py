"""Levels are found where they were planted, and nowhere else."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gittrack.core import levels
from gittrack.core.levels import find_levels, noise_of, penalty_of


def starts(values: list[float]) -> list[int]:
    return [level.start for level in find_levels(values)]


@pytest.mark.parametrize(
    "values, expected",
    [
        ([], []),
        ([1.0], [0]),
        ([1.0, 2.0], [0]),
        ([5.0] * 30, [0]),
        ([0.9, 0.9, 0.9, 0.7, 0.7], [0, 3]),
        # One point at an end may be a level, in between it is not.
        ([0.9, 0.9, 0.7], [0, 2]),
        ([0.7, 0.9, 0.9], [0, 1]),
        ([0.9, 0.7, 0.9], [0]),
        ([0.9] * 9 + [0.1] + [0.9] * 9, [0]),
        ([0.9] * 9 + [0.1] * 2 + [0.9] * 9, [0, 9, 11]),
        ([0.1] * 3 + [0.2] * 3 + [0.3] * 3, [0, 3, 6]),
        ([0.9, 0.901, 0.9, 0.902, 0.5], [0, 4]),
        # Rounding is no result.
        ([0.3, 0.1 + 0.2, 0.3, 0.1 + 0.2], [0]),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [0]),
        # Counts of few things: most neighbours agree, and it is noise all the same.
        ([0.90, 0.91, 0.91, 0.90, 0.90, 0.90, 0.89, 0.89, 0.90, 0.91, 0.91, 0.90], [0]),
    ],
)
def test_levels_of_short_series(values: list[float], expected: list[int]) -> None:
    assert starts(values) == expected


def test_a_level_is_the_median_of_its_points() -> None:
    found = find_levels([1.0, 1.1, 0.9, 1.0, 50.0, 1.0, 1.05, 9.0, 9.1, 8.9, 9.0, 9.05, 9.0])
    assert [(level.start, level.end, level.value) for level in found] == [(0, 7, 1.0), (7, 13, 9.0)]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_values_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError):
        find_levels([1.0, value, 2.0])


def fit(part: list[float], penalty: float) -> float:
    """The least that the points of one level cost: it is the mean of some that lie together."""
    most = levels._MOST * penalty
    ordered = sorted(part)
    ranges = itertools.combinations(range(len(part) + 1), 2)
    means = [sum(ordered[i:j]) / (j - i) for i, j in ranges]
    return min(sum(min((value - mean) ** 2, most) for value in part) for mean in means)


def cost(values: list[float], cuts: list[int], penalty: float) -> float:
    parts = zip([0, *cuts], [*cuts, len(values)], strict=True)
    return sum(fit(values[a:b], penalty) for a, b in parts) + penalty * len(cuts)


@given(st.lists(st.integers(-60, 60).map(lambda n: n / 4), min_size=2, max_size=6))
def test_no_other_way_to_cut_costs_less(values: list[float]) -> None:
    assume(len(set(values)) > 1)
    inside = range(1, len(values))
    ways = [
        list(cuts) for size in range(len(values)) for cuts in itertools.combinations(inside, size)
    ]
    least = min(cost(values, cuts, 9.0) for cuts in ways)
    assert cost(values, levels._cuts(values, 9.0), 9.0) == pytest.approx(least)


noise = st.lists(st.floats(-1, 1).map(lambda x: round(x, 3)), min_size=3, max_size=40)


@given(noise, st.sampled_from([1e-6, 0.5, 3.0, 1e6]), st.sampled_from([-100.0, 0.0, 7.0]))
def test_unit_and_zero_of_a_metric_do_not_matter(
    values: list[float], scale: float, shift: float
) -> None:
    # Values that are nearly equal could round to the same.
    assert starts([value * scale + shift * scale for value in values]) == starts(values)


@given(noise)
def test_less_is_as_good_as_more(values: list[float]) -> None:
    assert starts([-value for value in values]) == starts(values)


@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**32))
def test_a_shift_is_found_where_it_was_planted(before: int, after: int, seed: int) -> None:
    chance = random.Random(seed)
    values = [chance.uniform(-1, 1) for _ in range(before + after)]
    assume(noise_of(values) > 0)
    size = 3 * math.sqrt(penalty_of(len(values))) * max(noise_of(values), 1) + 4
    shifted = [value + size * (at >= before) for at, value in enumerate(values)]
    # The shift itself is one of the differences that the noise is taken from.
    assume(noise_of(shifted) < 2 * noise_of(values))
    assert before in starts(shifted)


@given(st.lists(st.tuples(st.integers(2, 9), st.integers(0, 99)), min_size=5, max_size=8))
def test_without_noise_every_level_is_found(planted: list[tuple[int, int]]) -> None:
    parts = [(length * 5, value) for length, value in planted]
    values = [float(value) for length, value in parts for _ in range(length)]
    changes = [
        sum(length for length, _ in parts[:at])
        for at in range(1, len(parts))
        if parts[at][1] != parts[at - 1][1]
    ]
    assert starts(values) == [0, *changes]


@given(st.integers(3, 200), st.floats(-1e9, 1e9))
def test_a_constant_never_shifts(count: int, value: float) -> None:
    assert starts([value] * count) == [0]


def test_noise_is_seldom_taken_for_a_shift() -> None:
    chance = random.Random(3)
    for count in (4, 8, 20, 50):
        series = ([chance.gauss(5, 2) for _ in range(count)] for _ in range(200))
        assert sum(len(find_levels(values)) > 1 for values in series) <= 200 * 0.06


def test_ten_thousand_points_keep_few_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, not timed: the work is the sum of the pieces that pruning leaves."""
    chance = random.Random(5)
    values = [chance.gauss(at // 2500 % 2 * 3, 1) for at in range(10_000)]
    kept = []
    real = levels._with_point

    def counted(pieces: list[levels._Piece], *rest: float) -> list[levels._Piece]:
        kept.append(len(pieces))
        return real(pieces, *rest)

    monkeypatch.setattr(levels, "_with_point", counted)
    assert len(find_levels(values)) == 4
    assert sum(kept) < 20 * len(values)
