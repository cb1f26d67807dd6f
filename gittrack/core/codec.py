"""Values <-> the bytes of the files on a ref."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from operator import lt
from typing import Any

from gittrack.core import yamltext
from gittrack.core.model import MAX_TIME, Metric, MetricSummary, ParamValue, Stamp
from gittrack.core.yamltext import format_float, to_float
from gittrack.errors import CorruptStoreError, InvalidValueError

# The format's history; min_reader and min_writer in store.yaml speak of these numbers.
#   1  2026-11: runs, experiments, params, notes, metric segments and summaries, artifacts as
#      blobs, source overlays.
FORMAT = 1

POINTS_HEADER = "key,step,time_ms,value"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)

#: One point as text: key, step, time in ms, value as Python's repr gives it.
Row = tuple[str, int, int, str]
#: The same without its key.
Point = tuple[int, int, str]

encode_mapping = yamltext.encode
decode_mapping = yamltext.decode
__all__ = ["FORMAT", "decode_mapping", "encode_mapping", "format_float", "to_float"]


# -- stamped maps ----------------------------------------------------------------------------


def encode_stamps(stamps: Mapping[str, Stamp]) -> bytes:
    """A stamped map: `key: {by: ..., t: ..., v: ...}`, a line each."""
    return encode_mapping(
        {key: {"by": stamp.by, "t": stamp.t, "v": stamp.v} for key, stamp in stamps.items()}
    )


# What nearly every line of these two files looks like; read five times as fast as by `decode`.
# A file with any other line is read by `decode` as a whole.
_STAMP_LINE = re.compile(
    r'^([A-Za-z_][A-Za-z0-9_./-]*): \{by: "([0-9a-z-]*)", t: ([0-9]{1,16}), v: (.*)\}$', re.M
)
_SUMMARY_LINE = re.compile(
    r"^metrics\.([A-Za-z0-9_./-]+): \{count: ([0-9]+), last: (\S+), last_step: (-?[0-9]+), "
    r"last_time_ms: (-?[0-9]+), max: (\S+), min: (\S+)\}$",
    re.M,
)


def decode_stamps(data: bytes, *, where: str = "") -> dict[str, Stamp]:
    """The stamped map in a file; an entry without value, time or writer makes it corrupt."""
    try:
        text = data.decode("utf-8")
        lines = _STAMP_LINE.findall(text)
        if len(lines) == text.count("\n") and text[-1:] in ("", "\n"):
            found = {key: Stamp(yamltext.decode_flow(v), int(t), by) for key, by, t, v in lines}
            is_plain = not any(yamltext.is_yaml_word(key) for key in found)
            is_in_time = all(stamp.t < MAX_TIME for stamp in found.values())
            if is_plain and is_in_time and len(found) == len(lines):
                return found
    except ValueError:
        # Not in canonical form, or damaged: the slow way finds out.
        pass
    return _decode_stamps(data, where)


def _decode_stamps(data: bytes, where: str) -> dict[str, Stamp]:
    found = {}
    for key, entry in decode_mapping(data, where=where).items():
        try:
            t, by = entry["t"], entry["by"]
            value = entry["v"]
        except (TypeError, KeyError):
            t = by = value = None
        if not isinstance(t, int) or not isinstance(by, str) or not 0 <= t < MAX_TIME:
            raise CorruptStoreError(
                f"{where or 'a stamped map'} holds a malformed entry: {key!r}",
                why="an entry is {by: text, t: integer from 0 to below 2^53, v: value}",
            )
        found[key] = Stamp(value, t, by)
    return found


def stamp_order(stamp: Stamp) -> tuple[int, str, str]:
    """What decides between two stamps: time, writer, canonical value."""
    return stamp.t, stamp.by, encode_mapping({"v": stamp.v}).decode()


# -- metric points ---------------------------------------------------------------------------


def encode_points(rows: Iterable[Row]) -> bytes:
    """Points as CSV, sorted by key, step, time and value."""
    by_key: dict[str, list[Point]] = {}
    for key, step, time_ms, value in rows:
        by_key.setdefault(key, []).append((step, time_ms, value))
    return encode_gathered(by_key)


def encode_gathered(by_key: Mapping[str, list[Point]]) -> bytes:
    """Points that are already gathered by key, as `encode_points` gives them."""
    lines = [POINTS_HEADER]
    for key in sorted(by_key):
        name = _csv_field(key)
        lines += [f"{name},{s},{t},{v}" for s, t, v in sorted(by_key[key])]
    lines.append("")
    return "\n".join(lines).encode("utf-8")


def _csv_field(text: str) -> str:
    if any(c in text for c in ',"\r\n') or text != text.strip():
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def decode_points(data: bytes) -> Iterator[Metric]:
    """The points in a segment; further columns that its header names are passed over.

    Raises:
        CorruptStoreError: it is not such a file.
    """
    return _to_points(_iter_rows(data))


def decode_rows(data: bytes) -> Iterator[Row]:
    """The rows of a segment, values as their text.

    Raises:
        CorruptStoreError: it is not a segment.
    """
    for row in _iter_rows(data):
        try:
            key, step, time_ms, value = row
            found = key, int(step), int(time_ms), value
        except ValueError as error:
            raise _not_a_segment(error) from None
        yield found


def split_points(data: bytes, most: int) -> Iterator[bytes]:
    """A segment as several of about `most` bytes, each with its header; a short one as it is."""
    if len(data) <= most:
        yield data
        return
    start = data.index(b"\n") + 1
    header = data[:start]
    while start < len(data):
        cut = data.rfind(b"\n", start, start + most) + 1
        end = cut or data.index(b"\n", start) + 1
        # A key may hold line feeds within quotes; never cut there.
        while data.count(b'"', start, end) % 2:
            end = data.index(b"\n", end) + 1
        yield header + data[start:end]
        start = end


def sample_points(data: bytes, most: int) -> Iterator[Metric]:
    """About `most` points of each key of a segment, evenly, its last among them.

    Raises:
        CorruptStoreError: it is not a segment.
    """
    by_key: dict[str, list[list[str]]] = {}
    for row in _iter_rows(data):
        by_key.setdefault(row[0], []).append(row)
    for rows in by_key.values():
        step = max(1, len(rows) // most)
        yield from _to_points(rows[::step] if step == 1 else [*rows[::step], rows[-1]])


def _iter_rows(data: bytes) -> Iterator[list[str]]:
    """Key, step, time and value as text."""
    import csv
    import io

    try:
        rows = csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True)
        header = next(rows, None)
        if header is None:
            return
        if header == POINTS_HEADER.split(","):
            yield from rows
            return
        at = [header.index(name) for name in POINTS_HEADER.split(",")]
        for row in rows:
            yield [row[i] for i in at]
    except (csv.Error, ValueError, IndexError) as error:
        raise _not_a_segment(error) from None


def _to_points(rows: Iterable[list[str]]) -> Iterator[Metric]:
    for row in rows:
        try:
            key, step, time_ms, value = row
            point = Metric(key, float(value), int(step), int(time_ms))
        except ValueError as error:
            raise _not_a_segment(error) from None
        yield point


def _not_a_segment(error: Exception) -> CorruptStoreError:
    return CorruptStoreError("a metric segment does not follow the format", why=str(error))


def segment_name(writer: str, data: bytes, suffix: str = ".csv") -> str:
    """The file name of a segment, or with `.txt` of a piece of output.

    Its writer and 12 hex digits of its sha256.
    """
    from hashlib import sha256

    return f"{writer}-{sha256(data).hexdigest()[:12]}{suffix}"


def point_order(point: Metric) -> tuple[int, int, int, float]:
    """The order of the points of one metric; the last one counts. NaN is below all numbers."""
    value = point.value
    return (
        point.step,
        point.timestamp,
        0 if value != value else 1,
        0.0 if value != value else value,
    )


def distinct(points: list[Point]) -> list[Point]:
    """The points of one key, equal ones once: those of a metric are a set."""
    # Steps that grow need no further look: 5 ms, not 13, for 100,000 points.
    if all(map(lt, points, islice(points, 1, None))):
        return points
    return list(dict.fromkeys(points))


def summarise(points: Iterable[Metric]) -> dict[str, MetricSummary]:
    """What points come to, per key; points that occur twice count twice."""
    return summarise_rows((p.key, p.step, p.timestamp, repr(p.value)) for p in points)


def summarise_rows(rows: Iterable[Row]) -> dict[str, MetricSummary]:
    """What rows come to, per key."""
    by_key: dict[str, list[Point]] = {}
    for key, step, time_ms, value in rows:
        by_key.setdefault(key, []).append((step, time_ms, value))
    return summarise_points(by_key)


def summarise_points(by_key: Mapping[str, list[Point]]) -> dict[str, MetricSummary]:
    """What points come to that are already gathered by key."""
    return {key: _summary(points) for key, points in by_key.items() if points}


def _summary(points: list[Point]) -> MetricSummary:
    values = [float(point[2]) for point in points]
    numbers = [value for value in values if value == value]
    step, time_ms, _ = max(points)
    latest = [float(text) for s, t, text in points if s == step and t == time_ms]
    last = max((value for value in latest if value == value), default=math.nan)
    return MetricSummary(
        last=last,
        last_step=step,
        last_time_ms=time_ms,
        min=min(numbers, default=math.nan),
        max=max(numbers, default=math.nan),
        count=len(points),
    )


def merge_summaries(
    a: Mapping[str, MetricSummary], b: Mapping[str, MetricSummary]
) -> dict[str, MetricSummary]:
    """What two disjoint sets of points come to together."""
    both = dict(a)
    for key, y in b.items():
        x = both.get(key)
        both[key] = y if x is None else _merge(x, y)
    return both


def _merge(x: MetricSummary, y: MetricSummary) -> MetricSummary:
    last = max((x, y), key=_last_order)
    return MetricSummary(
        last=last.last,
        last_step=last.last_step,
        last_time_ms=last.last_time_ms,
        min=min((v for v in (x.min, y.min) if v == v), default=math.nan),
        max=max((v for v in (x.max, y.max) if v == v), default=math.nan),
        count=x.count + y.count,
    )


def _last_order(summary: MetricSummary) -> tuple[int, int, int, float]:
    point = Metric("", summary.last, summary.last_step, summary.last_time_ms)
    return point_order(point)


def encode_summaries(of: Iterable[str], metrics: Mapping[str, MetricSummary]) -> bytes:
    """metrics.yaml: the segments it covers, and per key what their points come to."""
    lines: dict[str, Any] = {f"metrics.{key}": s._asdict() for key, s in metrics.items()}
    return encode_mapping({"of": sorted(of), **lines})


def decode_summaries(data: bytes) -> tuple[list[str], dict[str, MetricSummary]]:
    """The segments that a metrics.yaml covers, and its summaries.

    Raises:
        CorruptStoreError: it does not follow the format.
    """
    try:
        text = data.decode("utf-8")
        lines = _SUMMARY_LINE.findall(text)
        if len(lines) + 1 == text.count("\n"):
            # `of` sorts after every `metrics.*`.
            of = decode_mapping(text[text.rindex("\nof: ") + 1 :].encode())["of"]
            return _checked(
                of,
                {
                    key: MetricSummary(
                        last=to_float(last),
                        last_step=int(step),
                        last_time_ms=int(time_ms),
                        min=to_float(low),
                        max=to_float(high),
                        count=int(count),
                    )
                    for key, count, last, step, time_ms, high, low in lines
                },
            )
    except (ValueError, KeyError, CorruptStoreError):
        # Not in canonical form, or damaged: the slow way finds out.
        pass
    return _decode_summaries(data)


def _decode_summaries(data: bytes) -> tuple[list[str], dict[str, MetricSummary]]:
    found = decode_mapping(data, where="metrics.yaml")
    of = found.pop("of", [])
    metrics = {}
    try:
        for key, value in found.items():
            if key.startswith("metrics."):
                metrics[key[len("metrics.") :]] = MetricSummary(
                    last=float(value["last"]),
                    last_step=int(value["last_step"]),
                    last_time_ms=int(value["last_time_ms"]),
                    min=float(value["min"]),
                    max=float(value["max"]),
                    count=int(value["count"]),
                )
    except (TypeError, KeyError, ValueError) as error:
        raise CorruptStoreError(
            "metrics.yaml does not follow the format", why=f"{key!r}: {error}"
        ) from None
    return _checked(of, metrics)


def _checked(
    of: Any, metrics: dict[str, MetricSummary]
) -> tuple[list[str], dict[str, MetricSummary]]:
    if not isinstance(of, list) or not all(isinstance(name, str) for name in of):
        raise CorruptStoreError("metrics.yaml does not follow the format", why="of: no list")
    for key, item in metrics.items():
        numbers = (item.last_step, item.last_time_ms, item.count)
        if not all(-(2**63) <= number < 2**63 for number in numbers):
            raise CorruptStoreError(
                "metrics.yaml does not follow the format", why=f"{key!r}: beyond 64 bits"
            )
    return of, metrics


# -- times -----------------------------------------------------------------------------------


def format_time(ms: int) -> str:
    """A time in ms since the epoch as `2026-11-23T15:30:12.123Z`."""
    second, rest = divmod(ms, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(second))}.{rest:03d}Z"


def parse_time(text: str) -> int:
    """The ms since the epoch of such a time.

    Raises:
        CorruptStoreError: it is spelled otherwise.
    """
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError(text)
        return (found - _EPOCH) // _MS
    except (TypeError, ValueError):
        raise CorruptStoreError(
            f"{text!r} is not a time", why="times are spelled 2026-11-23T15:30:12.123Z"
        ) from None


# -- values from users -----------------------------------------------------------------------


def flatten_params(params: Mapping[Any, Any], prefix: str = "") -> dict[str, ParamValue]:
    """Params as they are stored: nested mappings become dotted keys, values plain types.

    Raises:
        InvalidValueError: two values end up under the same key.
    """
    flat: dict[str, ParamValue] = {}
    for key, value in params.items():
        name = f"{prefix}{key}" if prefix else key
        items: Mapping[str, ParamValue]
        if isinstance(value, Mapping) and value:
            items = flatten_params(value, f"{name}.")
        else:
            items = {name: to_param(value)}
        for full, item in items.items():
            if full in flat:
                raise InvalidValueError(
                    f"two params come out as '{full}'",
                    why="a nested mapping's keys are joined with dots",
                    next="rename one of them",
                )
            flat[full] = item
    return flat


def to_param(value: Any) -> ParamValue:
    """A param's value as a plain type: number, boolean, text, null or list of such."""
    if value is None or value.__class__ in (str, int, float, bool):
        return value
    if isinstance(value, bool):
        return bool(value)
    # Enums that are also str or int keep what they print as.
    if isinstance(value, (str, int, float)) and not hasattr(value, "name"):
        for plain in (str, int, float):
            if isinstance(value, plain):
                return plain(value)
    if isinstance(value, (list, tuple)):
        return [to_param(item) for item in value]
    if isinstance(value, (set, frozenset)):
        # Python has them in another order in each process.
        return sorted(map(to_param, value), key=repr)
    if isinstance(value, Mapping):
        return str(dict(value))
    shape = getattr(value, "shape", None)
    if shape == () and hasattr(value, "item"):
        return to_param(value.item())
    if shape is not None and hasattr(value, "tolist") and len(shape) == 1 and shape[0] <= 1000:
        return to_param(value.tolist())
    if hasattr(value, "item") and shape is None:
        try:
            return to_param(value.item())
        except (TypeError, ValueError, AttributeError, RecursionError):
            return str(value)
    return str(value)


def to_number(kind: str, key: str, value: Any) -> float:
    """A metric's value as a float: any number, also a NumPy or torch scalar.

    Raises:
        InvalidValueError: it is no number.
    """
    try:
        if not isinstance(value, (str, bytes, bytearray)):
            return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        pass
    raise InvalidValueError(
        f"{kind} '{key}' got {value!r:.80}, of type {type(value).__name__}",
        why=f"a {kind} value is one number",
        next=f"convert it first, or use log_param('{key}', ...) for text",
    )


def object_format(oid: str) -> str:
    """The object format of the repository that an id is of: `sha1` or `sha256`."""
    return "sha1" if len(oid) == 40 else "sha256"


def blob_id(data: bytes, object_format: str) -> str:
    """The id that git gives a blob of these bytes; object format `sha1` or `sha256`."""
    return object_id("blob", data, object_format)


def object_id(kind: str, data: bytes, object_format: str) -> str:
    """The id that git gives an object: `blob`, `tree` or `commit`."""
    import hashlib

    total = hashlib.new(
        object_format, b"%b %d\0" % (kind.encode(), len(data)), usedforsecurity=False
    )
    total.update(data)
    return total.hexdigest()
