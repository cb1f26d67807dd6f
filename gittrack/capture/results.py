"""What a program leaves in files of its own: `params.yaml`, `metrics.json`, tables of a history."""

from __future__ import annotations

import csv
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from glob import glob
from typing import Any, NamedTuple

_MOST_BYTES = 64_000_000
#: YAML is read by slow, plain Python: 6 MB of it took 36 s.
_MOST_YAML_BYTES = 1_000_000
_MOST_VALUES = 20_000
#: Where DVCLive keeps its curves, each in a file of its own.
_DVCLIVE = "plots/metrics/"
#: Columns that number the rows of a history, in the order of preference.
_STEPS = ("step", "global_step", "iteration", "iter", "epoch", "round")
_TIMES = ("time_ms", "timestamp")
#: Before this, a number of ms is no time of a run: seconds, or a count.
_FIRST_TIME_MS = 946_684_800_000
#: Steps and times are int64.
_END = 2**63

Look = dict[str, tuple[int, int, int]]


class Point(NamedTuple):
    """One cell of a history; the step is its row if the table numbers none."""

    key: str
    value: float
    step: int
    time_ms: int | None


def look(folder: str, patterns: Iterable[str]) -> Look:
    """The files that match now, relative to `folder`, and how to tell when they change."""
    found: Look = {}
    for pattern in patterns:
        if pattern.startswith("/") or ".." in pattern.split("/"):
            continue
        for name in glob(pattern, root_dir=folder, recursive=True):
            try:
                stat = os.stat(os.path.join(folder, name))
            except OSError:
                continue
            if os.path.isfile(os.path.join(folder, name)):
                found[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


def changed(before: Mapping[str, tuple[int, int, int]], now: Look) -> list[str]:
    """The files that are new or were written again."""
    return sorted(name for name, stat in now.items() if before.get(name) != stat)


def choose(
    before: Mapping[str, tuple[int, int, int]], folder: str, patterns: Iterable[str]
) -> list[tuple[str, str]]:
    """The files that selectors name and that changed, in that order, with the key to take of each.

    The key is empty for all of a file; then no part of it is named again.
    """
    found: dict[tuple[str, str], None] = {}
    for pattern in patterns:
        path, key = split_selector(pattern)
        found.update(dict.fromkeys((name, key) for name in changed(before, look(folder, [path]))))
    return [(name, key) for name, key in found if not key or (name, "") not in found]


def split_selector(pattern: str) -> tuple[str, str]:
    """The file pattern and the dotted key of `train.yaml:model`; the key may be empty."""
    path, colon, key = pattern.rpartition(":")
    return (path, key) if colon and path and "/" not in key else (pattern, "")


def read_mapping(path: str, key: str = "") -> dict[str, Any]:
    """The mapping in a YAML, JSON, TOML or INI file; see `parse_mapping`.

    Raises:
        ValueError: it holds no mapping, or not that key, or is too large.
        OSError: it cannot be read.
    """
    return parse_mapping(path, _read(path), key)


def parse_mapping(path: str, data: bytes, key: str = "") -> dict[str, Any]:
    """The mapping in the bytes of a file; the end of its name says of which format it is.

    Args:
        key: keep only what is under that dotted key.
    Raises:
        ValueError: it holds no mapping, or not that key.
    """
    lower = path.lower()
    _check_size(len(data))
    try:
        if lower.endswith(".json"):
            found = json.loads(data)
        elif lower.endswith(".toml"):
            import tomllib

            found = tomllib.loads(data.decode("utf-8-sig"))
        elif lower.endswith((".ini", ".cfg")):
            found = _parse_ini(data.decode("utf-8-sig"))
        else:
            found = _parse_yaml(data)
        if found is None:
            found = {}
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
        # Aliases of YAML can make of a kilobyte more than any memory holds, and a loop.
        count = sum(1 for _ in itertools.islice(_leaves(found), _MOST_VALUES + 1))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if count > _MOST_VALUES:
        raise ValueError(f"it holds more than {_MOST_VALUES:,} values")
    return _select(found, key) if key else found


def _parse_yaml(data: bytes) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    if len(data) > _MOST_YAML_BYTES:
        raise ValueError(f"it is larger than {_MOST_YAML_BYTES:,} bytes")
    yaml = YAML(typ="safe", pure=True)
    # An anchor may be set anew; ruamel.yaml would print the lines of the file about it.
    yaml.composer.warn_double_anchors = False
    try:
        return yaml.load(data)
    except MarkedYAMLError as error:
        is_twice = isinstance(error, DuplicateKeyError)
        said = "a key stands there twice" if is_twice else _without_values(str(error.problem))
        mark = error.problem_mark
        raise ValueError(said if mark is None else f"{said} (line {mark.line + 1})") from None
    except YAMLError as error:  # it is no text
        raise ValueError(" ".join(str(error).partition(" in ")[0].split())) from None
    except (LookupError, ValueError):  # Python's own, of `!!bool x`, of `!!int x`, of 2024-13-01
        raise ValueError("a value is not of the type that it says or looks like") from None


def _without_values(problem: str) -> str:
    """What a parser says, without what it quotes: that may be a secret, and others will read it."""
    return re.sub(r"""(['"]).*\1""", "...", " ".join(problem.split()))


def _parse_ini(text: str) -> dict[str, Any]:
    import configparser

    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    try:
        parser.read_string(text)
    except configparser.MissingSectionHeaderError as error:
        raise ValueError(f"it begins with no [section] (line {error.lineno})") from None
    except configparser.ParsingError as error:
        line = error.errors[0][0]
        raise ValueError(f"there is neither a [section] nor a key = value (line {line})") from None
    sections = {name: dict(parser.items(name)) for name in parser.sections()}
    found: dict[str, Any] = sections or dict(parser.defaults())
    return {
        name: {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else _plain(value)
        for name, value in found.items()
    }


def _plain(text: str) -> Any:
    """A value of an INI file, whose types are for the reader to see."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        yield None
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _select(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    """What is under a dotted key, still under it; a key may have dots of its own."""
    if key in mapping:
        return {key: mapping[key]}
    head, dot, rest = key.partition(".")
    while dot:
        inner = mapping.get(head)
        if isinstance(inner, Mapping):
            return {head: _select(inner, rest)}
        more, dot, rest = rest.partition(".")
        head = f"{head}.{more}"
    raise ValueError(f"it has no key {key}")


def numbers(mapping: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of a mapping, inner ones under dotted keys; text and lists are passed over."""
    for key, value in mapping.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from numbers(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            number = _number(value)
            if number is not None:
                yield name, number


def read_history(path: str, key: str = "") -> list[Point]:
    """The points of a table in a file; see `parse_history`.

    Raises:
        ValueError: it has no header, or no series of that key, or is too large.
        OSError: it cannot be read.
    """
    return parse_history(path, _read(path), key)


def parse_history(path: str, data: bytes, key: str = "") -> list[Point]:
    """The points of a table with a header: comma- or tab-separated, or JSON lines.

    A column of steps numbers the rows, else they number themselves. Empty cells and text are
    passed over. A table with the columns `key` and `value` holds a point a row. A column called
    `value` takes the name of the file; one that has the file's name takes the folders as well, if
    DVCLive wrote it: `dvclive/plots/metrics/train/loss.tsv` holds `train/loss`.

    Args:
        key: keep only this series.
    Raises:
        ValueError: it has no header, or no series of that key, or is too large.
    """
    _check_size(len(data))
    try:
        points = _points(path, data)
    except (csv.Error, RecursionError) as error:
        raise ValueError(str(error)) from None
    if key:
        points = [point for point in points if point.key == key]
        if not points:
            raise ValueError(f"it has no numbers for {key}")
    return points


def _points(path: str, data: bytes) -> list[Point]:
    text = data.decode("utf-8-sig", "replace")
    rows: Iterable[Mapping[str, Any]]
    if path.lower().endswith((".jsonl", ".ndjson")):
        # Not splitlines: JSON may hold U+2028 as it is, and that ends no line.
        lines = (line for line in text.split("\n") if line.strip())
        rows = [row for row in map(json.loads, lines) if isinstance(row, dict)]
        names: Sequence[str] = list(dict.fromkeys(name for row in rows for name in row))
    else:
        first = text.partition("\n")[0]
        table = csv.DictReader(
            text.splitlines(), delimiter="\t" if "\t" in first and "," not in first else ","
        )
        rows, names = table, [name for name in table.fieldnames or () if name]
    if not names:
        raise ValueError("it has no header")
    lower = {name.lower(): name for name in names}
    step_column = next((lower[name] for name in _STEPS if name in lower), None)
    time_column = next((lower[name] for name in _TIMES if name in lower), None)
    is_long = "key" in lower and "value" in lower
    stem = os.path.basename(path).partition(".")[0]
    _, live, below = path.rpartition(_DVCLIVE)
    called = {"value": stem, stem: os.path.splitext(below)[0] if live else stem}
    points = []
    for number, row in enumerate(rows):
        step = number if step_column is None else _number(row.get(step_column))
        if step is None or not -_END <= step < _END:
            continue
        time = _number(row.get(time_column)) if time_column else None
        time_ms = int(time) if time is not None and _FIRST_TIME_MS <= time < _END else None
        for name in names:
            if name in (step_column, time_column):
                continue
            value = _number(row.get(name))
            if value is None:
                continue
            if is_long:
                if name == lower["value"]:
                    points.append(Point(str(row[lower["key"]]), value, int(step), time_ms))
                continue
            points.append(Point(called.get(name, name), value, int(step), time_ms))
    return points


def _number(cell: Any) -> float | None:
    if cell is None or isinstance(cell, bool):
        return None
    try:
        return float(cell)
    except (TypeError, ValueError, OverflowError):
        return None


def _check_size(size_bytes: int) -> None:
    if size_bytes > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES:,} bytes")


def _read(path: str) -> bytes:
    _check_size(os.path.getsize(path))
    with open(path, "rb") as file:
        return file.read()
