"""Values in plain words, for every kind of page: made safe, and as people write them. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

#: Controls, halves of surrogate pairs, line separators, and what turns the direction of text or
#: hides in it. Joiners (U+200C, U+200D) stay: emoji and several scripts need them.
_UNSAFE_CLASS = (
    "\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f"
)
UNSAFE = re.compile(f"[{_UNSAFE_CLASS}]")
#: The same without the line feed and the tab that a layout itself is made of.
UNSAFE_IN_LAYOUT = re.compile(f"[{_UNSAFE_CLASS.replace(chr(0) + '-' + chr(0x1F), '')}]")


def safe(text: str) -> str:
    """The text on one line, with every character that could steer a terminal spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return UNSAFE.sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    code = ord(match[0])
    named = {9: "\\t", 10: "\\n", 13: "\\r"}.get(code)
    if named:
        return named
    return (
        f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    )


def number(value: float) -> str:
    """A metric for people: six significant digits, the way they would write it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.6g}"


def value_text(value: Any) -> str:
    """A param or a tag for people: text bare, everything else as JSON spells it."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, float):
        return number(value) if not value.is_integer() else repr(value)
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_item_text(item) for item in value) + "]"
    return safe(json.dumps(value, ensure_ascii=False, default=str))


def _item_text(value: Any) -> str:
    return (
        safe(json.dumps(value, ensure_ascii=False)) if isinstance(value, str) else value_text(value)
    )


def duration(duration_ms: int) -> str:
    """A span of time in its two greatest units."""
    seconds = duration_ms / 1000
    if seconds < 59.95:
        return f"{seconds:.1f}s" if duration_ms >= 100 else f"{duration_ms}ms"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute}m{second:02d}s"
    days, hour = divmod(hours, 24)
    return f"{days}d{hour:02d}h" if days else f"{hour}h{minute:02d}m"
