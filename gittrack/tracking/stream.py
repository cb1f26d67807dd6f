"""A stream of points as text: `key value [step]` lines or JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from gittrack.core import names
from gittrack.errors import GittrackError

#: Key, value, step or None for the key's next one, and no time of its own.
Row = tuple[str, float, int | None, None]

_STEP_KEYS = ("step", "_step")
_LOW, _HIGH = -(1 << 63), (1 << 63) - 1
_BRACE = ord("{")


class Parser:
    """Turns lines into points; remembers the keys that were found legal."""

    def __init__(self) -> None:
        self._keys: dict[bytes, str] = {}

    def parse(self, lines: Sequence[bytes], rows: list[Row]) -> list[int]:
        """Add the points of whole lines to `rows`; the positions of the lines that make no sense.

        A line is `key value`, `key value step` or a JSON object: `{"loss": 0.5, "step": 3}` or
        `{"key": "val/loss", "value": 0.5, "step": 3}`. Empty lines are passed over.
        """
        if len(lines) > 1 and lines[0][:1] == b"{" and self._parse_all(lines, rows):
            return []
        bad: list[int] = []
        keys = self._keys
        for number, line in enumerate(lines):
            parts = line.split()
            try:
                if not parts:
                    continue
                if line[0] == _BRACE or not 2 <= len(parts) <= 3:
                    self._parse_json(line, rows)
                    continue
                key = keys.get(parts[0]) or self._declare(parts[0])
                step = int(parts[2]) if len(parts) == 3 else None
                if step is not None and not _LOW <= step <= _HIGH:
                    raise ValueError(line)
                rows.append((key, float(parts[1]), step, None))
            except (ValueError, TypeError, OverflowError, GittrackError):
                bad.append(number)
        return bad

    def _declare(self, key: bytes) -> str:
        self._keys[key] = found = names.check_key("metric", key.decode())
        return found

    def _parse_all(self, lines: Sequence[bytes], rows: list[Row]) -> bool:
        """All lines as one JSON list, three times as fast; nothing if one of them is wrong."""
        fresh: list[Row] = []
        try:
            found = json.loads(f"[{b','.join(lines).decode()}]")
            for item in found:
                self._take(item, fresh)
        except (ValueError, TypeError, OverflowError, GittrackError):
            return False
        # A line that holds two objects, or half of one, would have slipped through.
        if len(found) != len(lines):
            return False
        rows += fresh
        return True

    def _parse_json(self, line: bytes, rows: list[Row]) -> None:
        self._take(json.loads(line), rows)

    def _take(self, found: Any, rows: list[Row]) -> None:
        """Add the points of one JSON object, all or none."""
        if not isinstance(found, dict):
            raise ValueError(found)
        step = next((found.pop(key) for key in _STEP_KEYS if key in found), None)
        if step is not None and (type(step) is not int or not _LOW <= step <= _HIGH):
            raise ValueError(found)
        if found.keys() == {"key", "value"}:
            found = {str(found["key"]): found["value"]}
        fresh: list[Row] = []
        for key, value in found.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(found)
            raw = key.encode()
            fresh.append((self._keys.get(raw) or self._declare(raw), float(value), step, None))
        rows += fresh
