"""Curves in one line of text. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII = "_.-=*#"


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """The shape of a series in at most `width` characters, its last value at the end.

    Each character is the mean of its share of the points; a share without a finite value is a
    blank. A flat series is drawn in the middle.
    """
    blocks = _ASCII if ascii_only else _BLOCKS
    count = len(values)
    width = min(width, count)
    if width < 2:
        return ""
    means: list[float | None] = []
    for at in range(width):
        share = values[at * count // width : (at + 1) * count // width]
        finite = [value for value in share if math.isfinite(value)]
        # Divided first: the sum of two great values may be infinite.
        means.append(sum(value / len(finite) for value in finite) if finite else None)
    known = [mean for mean in means if mean is not None]
    if not known:
        return ""
    low, high = min(known), max(known)
    span = high / 2 - low / 2
    return "".join(
        " " if mean is None else blocks[_level(mean, low, span, blocks)] for mean in means
    )


def _level(mean: float, low: float, half_span: float, blocks: str) -> int:
    if not half_span > 0:
        return len(blocks) // 2 - 1
    share = (mean / 2 - low / 2) / half_span
    return min(len(blocks) - 1, int(share * len(blocks)))
