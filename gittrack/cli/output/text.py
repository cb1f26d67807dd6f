"""Text for a terminal: made safe, measured, cut and wrapped. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator

from gittrack.core.dataset import short_digest
from gittrack.core.model import Artifact, Dataset
from gittrack.core.plain import UNSAFE as UNSAFE
from gittrack.core.plain import UNSAFE_IN_LAYOUT as UNSAFE_IN_LAYOUT
from gittrack.core.plain import duration as duration
from gittrack.core.plain import number as number
from gittrack.core.plain import safe as safe
from gittrack.core.plain import value_text as value_text

ELLIPSIS = "…"


def safe_lines(text: str) -> list[str]:
    """The lines of a text, each of them safe."""
    return [safe(line.expandtabs(4)) for line in re.split(r"\r\n|\n", text.strip("\r\n"))]


def clusters(text: str) -> Iterator[tuple[str, int]]:
    """The characters as they are drawn, marks with their base, and the columns each takes."""
    from unicodedata import category, east_asian_width

    base, width = "", 0
    for char in text:
        if base and (char in "\u200c\u200d\ufe0e\ufe0f" or category(char) in ("Mn", "Me")):
            base += char
            continue
        if base:
            yield base, width
        base, width = char, 2 if east_asian_width(char) in "WF" else 1
    if base:
        yield base, width


def width_of(text: str) -> int:
    """How many columns of a terminal the text takes."""
    return len(text) if text.isascii() else sum(width for _, width in clusters(text))


def cut(text: str, width: int) -> str:
    """The text in at most `width` columns, an ellipsis at the end of what was cut."""
    if width_of(text) <= width:
        return text
    kept, used = [], 0
    for cluster, columns in clusters(text):
        if used + columns > width - 1:
            break
        kept.append(cluster)
        used += columns
    return "".join(kept).rstrip() + ELLIPSIS if width > 0 else ""


def pad(text: str, width: int) -> str:
    """The text with blanks up to `width` columns."""
    return text + " " * (width - width_of(text))


def flow(items: Iterable[str], width: int, gap: str = "  ") -> list[str]:
    """Items side by side in lines of at most `width` columns; a longer item is cut."""
    lines: list[str] = []
    room = 0
    for item in items:
        item = cut(item, width)
        columns = width_of(item)
        if lines and columns + len(gap) <= room:
            lines[-1] += gap + item
            room -= columns + len(gap)
        else:
            lines.append(item)
            room = width - columns
    return lines


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text, broken between words where they are longer than `width` columns."""
    lines: list[str] = []
    for line in safe_lines(text):
        lead = line[: len(line) - len(line.lstrip(" "))]
        if width_of(line) <= width:
            lines.append(line.rstrip())
            continue
        words = [piece for word in line.split() for piece in _pieces(word, width - len(lead))]
        lines += [lead + part for part in flow(words, width - len(lead), " ")]
    return lines


def _pieces(word: str, width: int) -> list[str]:
    if width_of(word) <= width:
        return [word]
    pieces, used = [""], 0
    for cluster, columns in clusters(word):
        if used + columns > width:
            pieces.append("")
            used = 0
        pieces[-1] += cluster
        used += columns
    return pieces


# -- values ----------------------------------------------------------------------------------


def date(time_ms: int) -> str:
    """A time as `git log` shows it, in the zone of whoever reads."""
    at = time.localtime(time_ms / 1000)
    return f"{time.strftime('%a %b', at)} {at.tm_mday} {time.strftime('%H:%M:%S %Y %z', at)}"


def ago(time_ms: int, now_ms: int | None = None) -> str:
    """How long ago, as git says it."""
    seconds = max(
        0, ((time.time_ns() // 1_000_000 if now_ms is None else now_ms) - time_ms) // 1000
    )
    for unit, length, least in (
        ("second", 1, 90), ("minute", 60, 90 * 60), ("hour", 3600, 36 * 3600),
        ("day", 86400, 14 * 86400), ("week", 7 * 86400, 70 * 86400),
        ("month", 30 * 86400, 365 * 86400),
    ):  # fmt: skip
        if seconds < least:
            return f"{plural(round(seconds / length), unit)} ago"
    return f"{plural(round(seconds / 31557600), 'year')} ago"


def size(size_bytes: int) -> str:
    """A number of bytes, in the unit that keeps it short."""
    if size_bytes < 1000:
        return f"{size_bytes} B"
    power = 1
    while power < 4 and size_bytes >= 999.5 * 1000**power:
        power += 1
    return f"{size_bytes / 1000**power:.3g} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def plural(count: int, noun: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def artifact_text(item: Artifact) -> str:
    """What is known of an artifact: `1.2 MB`, or of a folder kept as one `300 files  1.2 MB`."""
    if item.files is None:
        return size(item.size_bytes)
    return f"{item.files:,} file{'s' * (item.files != 1)}  {size(item.size_bytes)}"


def data_text(item: Dataset, *, short: bool = False) -> str:
    """What was recorded of a dataset: `1,000 x 5  1.2 MB  md5:...`."""
    parts = [*_data_sizes(item), short_digest(item.digest) if short else item.digest]
    if item.sampled:
        parts.append("(of a sample)")
    return safe("  ".join(parts))


def data_size(item: Dataset) -> str:
    """How large a dataset is: `1,000 x 5, 1.2 MB`; and whether its digest is of a sample."""
    return ", ".join([*_data_sizes(item), *(["sampled"] if item.sampled else [])])


def _data_sizes(item: Dataset) -> list[str]:
    parts = []
    if item.shape is not None:
        parts.append(" x ".join(f"{number:,}" for number in item.shape) or "one value")
    elif item.rows is not None and item.columns is not None:
        parts.append(f"{item.rows:,} x {item.columns:,}")
    if item.files is not None:
        parts.append(plural(item.files, "file"))
    if item.size_bytes is not None:
        parts.append(size(item.size_bytes))
    return parts
