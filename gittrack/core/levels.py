"""Where the level of a series shifts. Pure.

The series is cut into levels so that the sum over all points of min((value - level)^2, K^2), plus
a penalty for each cut, is least: optimal partitioning under the biweight loss, found exactly by
functional pruning. No point costs more than K^2 = 1.5 penalties, so one that stands apart is no
level of its own: to cut it out costs 2. Two in a row are one (3 against 2), and so is a single
point at either end, where one cut is enough.

Source: Fearnhead and Rigaill (2019), Changepoint Detection in the Presence of Outliers, JASA 114,
525, algorithm 1; the pruning is Maidstone et al. (2017), On optimal multiple changepoint
algorithms for large data; a penalty of variance x log n is Yao's (1988).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from statistics import fmean, median, median_low
from typing import NamedTuple

#: With fewer points nothing tells a shift from noise.
MIN_POINTS = 3
#: What a point costs at most, in penalties.
_MOST = 1.5
#: Median of the absolute difference of two draws from N(0, 1).
_MEDIAN_DIFFERENCE = 0.6745 * math.sqrt(2)
#: Values nearer to each other than this share of the greatest are equal: rounding, not results.
_ROUNDING = 1e-12


class Level(NamedTuple):
    """The points `start` to `end` (not included), and their median."""

    start: int
    end: int
    value: float


class _Piece(NamedTuple):
    """The least cost of all points so far, if the present level is between the last end and `end`.

    It is points * (level - mean)^2 + rest; the present level began at point `start`.
    """

    end: float
    points: int
    mean: float
    rest: float
    start: int


def find_levels(values: Sequence[float]) -> list[Level]:
    """The levels of a series, one after another; a single one if it never shifts.

    Of series of draws from one normal distribution about 3 % are cut all the same (measured:
    2.7 % of 4 draws, 3.2 % of 6, 3.0 % of 10 and 20, 2.8 % of 50, 0.7 % of 100, 0.5 % of 300).
    Two levels that are 4, 5 and 6 standard deviations apart are found in 72, 89 and 96 % of the
    series where each has five points, and from 3 on in all where each has fifteen.

    Args:
        values: shape (n,), finite, in the order of time.
    Raises:
        ValueError: a value is NaN or infinite.
    """
    if not all(map(math.isfinite, values)):
        raise ValueError("values must be finite")
    if not values:
        return []
    count = len(values)
    cuts: list[int] = []
    if count >= MIN_POINTS:
        penalty = penalty_of(count)
        scaled = _scaled(values, 3 * math.sqrt(_MOST * penalty))
        if scaled is not None:
            cuts = _cuts(scaled, penalty)
    ends = [*cuts, count]
    return [
        Level(start, end, median(values[start:end]))
        for start, end in zip([0, *cuts], ends, strict=True)
    ]


def penalty_of(count: int) -> float:
    """What a cut costs, in variances of the noise.

    Yao's 2 log n, and more for short series, whose noise is badly known.
    """
    return 2 * math.log(count) + 4 + 100 / count


def noise_of(values: Sequence[float]) -> float:
    """The standard deviation of the noise around the levels; 0 if there is none.

    From the median of the differences between neighbours, which shifts and outliers do not reach.
    Where most differences are 0, values are counts of few things, or there is no noise: up to
    two differences, or a quarter of them, may then be shifts; with more it is noise, by von
    Neumann's mean square difference.
    """
    equal = _ROUNDING * max(map(abs, values))
    steps = sorted(abs(b - a) for a, b in itertools.pairwise(values))
    steps = [0.0 if step <= equal else step for step in steps]
    if median_low(steps):
        return median(steps) / _MEDIAN_DIFFERENCE
    moved = sum(step > 0 for step in steps)
    if moved <= max(2, len(steps) // 4):
        return 0.0
    return math.sqrt(fmean(step**2 for step in steps) / 2)


def _scaled(values: Sequence[float], apart: float) -> list[float] | None:
    """The values in units of their noise, around 0; None if they are all equal.

    Without noise every difference counts, so all of them are made large.
    """
    noise = noise_of(values)
    if noise:
        middle = median(values)
        return [(value - middle) / noise for value in values]
    equal = _ROUNDING * max(map(abs, values))
    ranks: dict[float, float] = {}
    rank = 0.0
    before: float | None = None
    for value in sorted(set(values)):
        if before is not None and value - before > equal:
            rank += apart
        ranks[value] = rank
        before = value
    return [ranks[value] for value in values] if rank else None


def _cuts(values: Sequence[float], penalty: float) -> list[int]:
    """The points at which a new level begins, in order.

    Args:
        values: in standard deviations of the noise, not all of them equal.
    """
    most = _MOST * penalty
    low, high = min(values), max(values)
    pieces = [_Piece(high, 0, 0.0, 0.0, 0)]
    best = 0.0
    #: Of each point: where its level begins, if it were the last of all.
    starts: list[int] = []
    for at, value in enumerate(values):
        if at:
            pieces = _with_new_level(pieces, low, best + penalty, at)
        pieces = _with_point(pieces, low, value, most)
        best, start = math.inf, 0
        left = low
        for end, count, mean, rest, begun in pieces:
            level = min(max(mean, left), end)
            cost = count * (level - mean) ** 2 + rest
            if cost < best:
                best, start = cost, begun
            left = end
        starts.append(start)
    cuts = []
    at = len(values)
    while at := starts[at - 1]:
        cuts.append(at)
    return cuts[::-1]


def _with_new_level(pieces: list[_Piece], low: float, cost: float, at: int) -> list[_Piece]:
    """The pieces where they cost less than a level that begins now, and that elsewhere."""
    found: list[_Piece] = []

    def begin(end: float) -> None:
        piece = _Piece(end, 0, 0.0, cost, at)
        if found and found[-1].start == at:
            found[-1] = piece
        else:
            found.append(piece)

    left = low
    for piece in pieces:
        end, count, mean, rest, _ = piece
        if rest >= cost:
            begin(end)
        elif not count:
            found.append(piece)
        else:
            reach = math.sqrt((cost - rest) / count)
            if mean + reach <= left or mean - reach >= end:
                begin(end)
            else:
                if mean - reach > left:
                    begin(mean - reach)
                if mean + reach < end:
                    found.append(piece._replace(end=mean + reach))
                    begin(end)
                else:
                    found.append(piece)
        left = end
    return found


def _with_point(pieces: list[_Piece], low: float, value: float, most: float) -> list[_Piece]:
    """The pieces with the cost of one more point: its squared distance, or `most`."""
    reach = math.sqrt(most)
    first, last = value - reach, value + reach
    found: list[_Piece] = []
    left = low
    for end, count, mean, rest, start in pieces:
        if left < first:
            stop = min(end, first)
            found.append(_Piece(stop, count, mean, rest + most, start))
            left = stop
        if left < end and left < last:
            # Welford's update: sums of squares would lose what lies far from 0.
            more = count + 1
            away = value - mean if count else 0.0
            moved = mean + away / more if count else value
            stop = min(end, last)
            found.append(_Piece(stop, more, moved, rest + away * away * count / more, start))
            left = stop
        if left < end:
            found.append(_Piece(end, count, mean, rest + most, start))
        left = end
    return found
