"""Tables: aligned for a terminal, Markdown, CSV and TSV. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gittrack.cli.output import text as t

_NUMBER = re.compile(r"[+-]?(\d[\d,.]*(e[+-]?\d+)?( ?%)?|Infinity)|NaN|", re.IGNORECASE)
_MARKDOWN = re.compile(r"[\\`*\[\]~|]")
_MIN_COLUMN = 7
#: tabulate counts characters; each drawn one is lent one of these, and a filler if it is wide.
_LENT = 0x100001
_FILLER = chr(0x100000)


def render_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """Columns under a rule, cut to `width`: first the widest cells, then columns at the right."""
    if not rows:
        return []
    lined = [list(header), *(list(row) for row in rows)]
    sizes = [max(map(t.width_of, column)) for column in zip(*lined, strict=True)]
    if width is not None:
        sizes = _fit(sizes, width)
        lined = [list(map(t.cut, row, sizes)) for row in lined]
    rule = ["-" * size for size in sizes]
    return _tabulate([], [lined[0], rule, *lined[1:]], "plain", lined[1:])


def render_markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table of GitHub's Markdown; nothing in a cell is taken for markup."""
    if not rows:
        return []
    return _tabulate(
        [escape_markdown(cell) for cell in header],
        [[escape_markdown(cell) for cell in row] for row in rows],
        "pipe",
        rows,
    )


def render_separated(header: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> str:
    """CSV as RFC 4180 has it, or the same with tabs (and line feeds alone)."""
    import csv
    import io

    file = io.StringIO()
    if form == "csv":
        writer = csv.writer(file, lineterminator="\r\n")
    else:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return file.getvalue()


def escape_markdown(text: str) -> str:
    """The text without anything that Markdown or HTML would act on."""
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(lambda match: "\\" + match[0], text)


def hidden_columns(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> list[str]:
    """The columns that have no room in `width`, for who wants to say so."""
    if not rows or width is None:
        return []
    columns = zip(header, *rows, strict=True)
    sizes = [max(map(t.width_of, column)) for column in columns]
    return list(header[_room_for(sizes, width) :])


def _room_for(sizes: Sequence[int], width: int) -> int:
    """How many columns fit when each is cut as far as it may be."""
    used = _first(sizes, width)
    for count, size in enumerate(sizes[1:], start=1):
        used += 2 + min(size, _MIN_COLUMN)
        if used > width:
            return count
    return len(sizes)


def _first(sizes: Sequence[int], width: int) -> int:
    """The first column names the row and stays whole, but for half of the width beside others."""
    return min(sizes[0], width if len(sizes) == 1 else max(_MIN_COLUMN, width // 2))


def _fit(sizes: Sequence[int], width: int) -> list[int]:
    """Sizes that fit: all columns but the first share one greatest size, as large as it can be."""
    count = _room_for(sizes, width)
    if count == 1:
        return [min(sizes[0], width)]
    first, rest = _first(sizes, width), sizes[1:count]
    room = width - first - 2 * len(rest)
    low, high = _MIN_COLUMN, max(_MIN_COLUMN, *rest)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(size, middle) for size in rest) <= room:
            low = middle
        else:
            high = middle - 1
    kept = [min(size, low) for size in rest]
    # What is left over goes to the first ones that were cut, a column each.
    left = room - sum(kept)
    for at, size in enumerate(rest):
        if left > 0 and size > low:
            kept[at] += 1
            left -= 1
    return [first + min(left, sizes[0] - first), *kept]


def _tabulate(
    header: list[str], rows: list[list[str]], form: str, values: Sequence[Sequence[str]]
) -> list[str]:
    """What tabulate makes of it; columns whose `values` are numbers go to the right."""
    from tabulate import tabulate

    lent: dict[str, str] = {}
    back: dict[int, str] = {ord(_FILLER): ""}

    def lend(cell: str) -> str:
        if cell.isascii():
            return cell
        drawn = []
        for cluster, width in t.clusters(cell):
            if cluster not in lent:
                lent[cluster] = chr(_LENT + len(lent))
                back[ord(lent[cluster])] = cluster
            drawn.append(lent[cluster] + _FILLER * (width - 1))
        return "".join(drawn)

    align = ["right" if _is_numeric(column) else "left" for column in zip(*values, strict=True)]
    table = tabulate(
        [[lend(cell) for cell in row] for row in rows],
        headers=[lend(cell) for cell in header],
        tablefmt=form,
        disable_numparse=True,
        colalign=align,
    )
    return [line.rstrip().translate(back) for line in table.splitlines()]


def _is_numeric(column: Sequence[str]) -> bool:
    return any(column) and all(_NUMBER.fullmatch(cell) for cell in column)
