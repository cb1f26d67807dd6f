"""What differs between two runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.core.dataset import by_label, is_same_data
from gittrack.core.headline import is_system
from gittrack.core.model import Dataset, MetricSummary, Run, Source

ADDED = "added"
REMOVED = "removed"
CHANGED = "changed"
#: Only where equal values were asked for.
EQUAL = "equal"
#: Something differs here or nothing does: the values at hand cannot tell.
MAYBE = "maybe"


class Change(NamedTuple):
    """One key whose values differ, or were asked for; None on the side that lacks it.

    `kind` tells a key that is missing from one whose value is null.
    """

    key: str
    kind: str  # added | removed | changed | equal
    a: Any
    b: Any


class MetricChange(NamedTuple):
    """A metric whose last value differs.

    `absolute` is b - a, and `relative` is that over |a| (0.5 is half more). They are None
    where they say nothing: one side lacks the metric, is NaN or infinite, or `a` is 0.
    """

    key: str
    kind: str  # added | removed | changed | equal
    a: MetricSummary | None
    b: MetricSummary | None
    absolute: float | None
    relative: float | None


class FileChange(NamedTuple):
    """A path of the source; `maybe` when only the files themselves could tell.

    A path that one side changed is `changed` even if its base lacks it: a record lists what
    differs from the base, not what the base holds.
    """

    path: str
    kind: str  # added | removed | changed | maybe


class SourceDiff(NamedTuple):
    """How the code of two runs differs.

    `same` is None when it is not known. `files` are paths whose state differs, or may: with the
    same base they are all there are (`complete`); with two bases they are the paths that either
    run had changed since its own base, and the bases may differ in others.
    """

    same: bool | None
    commits: tuple[str | None, str | None]
    files: tuple[FileChange, ...] = ()
    complete: bool = True


class RunDiff(NamedTuple):
    """The differences of run `b` from run `a`, each part sorted by key.

    The `_equal` numbers count the keys that both have with the same value.
    """

    a: str
    b: str
    params: tuple[Change, ...]
    metrics: tuple[MetricChange, ...]
    tags: tuple[Change, ...]
    attributes: tuple[Change, ...]
    artifacts: tuple[Change, ...]
    params_equal: int = 0
    metrics_equal: int = 0
    source: SourceDiff | None = None
    environment: tuple[Change, ...] = ()
    data: tuple[Change, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether nothing that is compared differs."""
        plain = (self.params, self.tags, self.attributes, self.artifacts, self.environment)
        if any(change.kind != EQUAL for part in (*plain, self.data) for change in part):
            return False
        if any(change.kind != EQUAL for change in self.metrics):
            return False
        return self.source is None or self.source.same is True

    def _repr_html_(self) -> str:
        from gittrack.core.html import render_diff

        return render_diff(self)

    def without_system(self) -> RunDiff:
        """The same without what was sampled of the machine, which differs between any two runs."""
        return self._replace(metrics=tuple(c for c in self.metrics if not is_system(c.key)))


#: Facts of a run that two runs of one experiment have in common when nothing was changed.
#: Its id, name and times always differ.
_ATTRIBUTES = (
    "experiment",
    "status",
    "exit_code",
    "commit",
    "branch",
    "dirty",
    "base",
    "tree",
    "remote",
    "entry",
    "argv",
    "author",
    "host",
    "parent",
    "description",
    "deleted",
)


class Surroundings(NamedTuple):
    """What a Run does not hold itself: its environment, flat, and its data with the schemas."""

    environment: Mapping[str, Any] = {}
    inputs: tuple[Dataset, ...] = ()
    outputs: tuple[Dataset, ...] = ()


def diff_runs(
    a: Run,
    b: Run,
    source: SourceDiff | None = None,
    surroundings: tuple[Surroundings, Surroundings] = (Surroundings(), Surroundings()),
    *,
    equal: bool = False,
) -> RunDiff:
    """What differs in `b`; `source` is passed through for who has both sources at hand.

    Values are the same when type and value are: 1 is not 1.0, and NaN is NaN.

    Args:
        equal: also what does not differ.
    """
    params, params_equal = changes_between(a.params, b.params, equal=equal)
    facts_a = {name: getattr(a, name) for name in _ATTRIBUTES}
    facts_b = {name: getattr(b, name) for name in _ATTRIBUTES}
    attributes = changes_between(
        {name: value for name, value in facts_a.items() if not _unknown(value)},
        {name: value for name, value in facts_b.items() if not _unknown(value)},
        equal=equal,
    )[0]
    metrics, metrics_equal = _metric_changes(a.metrics, b.metrics, equal)
    before, after = surroundings
    return RunDiff(
        a=a.id,
        b=b.id,
        params=params,
        metrics=metrics,
        tags=changes_between(a.tags, b.tags, equal=equal)[0],
        attributes=attributes,
        artifacts=changes_between(a.artifacts, b.artifacts, equal=equal)[0],
        params_equal=params_equal,
        metrics_equal=metrics_equal,
        source=source,
        environment=changes_between(before.environment, after.environment, equal=equal)[0],
        data=(
            *data_changes(before.inputs, after.inputs, equal=equal),
            *data_changes(before.outputs, after.outputs, equal=equal),
        ),
    )


def data_changes(
    a: Sequence[Dataset], b: Sequence[Dataset], *, equal: bool = False
) -> tuple[Change, ...]:
    """The datasets that differ, and after one whose columns differ these, as `NAME: COLUMN`.

    Data is the same when digest and size are, wherever it lay.
    """
    old, new = by_label(a, b)
    changes: list[Change] = []
    for key in sorted(old.keys() | new.keys()):
        x, y = old.get(key), new.get(key)
        if x is None or y is None:
            changes.append(Change(key, ADDED if x is None else REMOVED, x, y))
            continue
        if not is_same_data(x, y):
            changes.append(Change(key, CHANGED, x, y))
        elif equal:
            changes.append(Change(key, EQUAL, x, y))
        if x.schema and y.schema:
            columns = changes_between(dict(x.schema), dict(y.schema))[0]
            changes += [item._replace(key=f"{key}: {item.key}") for item in columns]
    return tuple(changes)


def flatten(mapping: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, keys joined with dots."""
    flat: dict[str, Any] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def diff_sources(a: Source, b: Source) -> SourceDiff:
    """What differs in the source `b`, as far as two records tell without any file.

    Equal trees are the same source and unequal ones are not. Two clean runs of one commit are
    the same, too. A path that both overlays hold may or may not differ, and so may a submodule
    that had changes of its own: no tree tells of them.
    """
    commits = (a.commit, b.commit)
    if a.tree is not None and b.tree is not None:
        same = a.tree == b.tree
    elif a.commit is not None and a.commit == b.commit and not a.dirty and not b.dirty:
        same = True
    else:
        return SourceDiff(None, commits, *_file_changes(a, b))
    if not same:
        return SourceDiff(False, commits, *_file_changes(a, b))
    submodules = sorted({*a.submodules_dirty, *b.submodules_dirty})
    if submodules:
        return SourceDiff(None, commits, tuple(FileChange(path, MAYBE) for path in submodules))
    return SourceDiff(True, commits)


def same_value(a: object, b: object) -> bool:
    """Whether two values have the same type and value; NaN equals NaN, also inside lists."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float):
        return a == b or (a != a and b != b)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same_value, a, b))
    return a == b


def _unknown(value: object) -> bool:
    return value is None or value == "" or value == ()


def changes_between(
    a: Mapping[str, Any], b: Mapping[str, Any], *, equal: bool = False
) -> tuple[tuple[Change, ...], int]:
    """The keys that differ, sorted, and how many do not; with `equal` these come too."""
    changes = []
    for key in sorted(a.keys() | b.keys()):
        if key not in a:
            changes.append(Change(key, ADDED, None, b[key]))
        elif key not in b:
            changes.append(Change(key, REMOVED, a[key], None))
        elif not same_value(a[key], b[key]):
            changes.append(Change(key, CHANGED, a[key], b[key]))
        elif equal:
            changes.append(Change(key, EQUAL, a[key], b[key]))
    return tuple(changes), _equal_count(a, b, changes)


def _metric_changes(
    a: Mapping[str, MetricSummary], b: Mapping[str, MetricSummary], equal: bool
) -> tuple[tuple[MetricChange, ...], int]:
    last_a = {key: summary.last for key, summary in a.items()}
    last_b = {key: summary.last for key, summary in b.items()}
    changes, same = changes_between(last_a, last_b, equal=equal)
    return tuple(
        MetricChange(key, kind, a.get(key), b.get(key), *difference(x, y))
        for key, kind, x, y in changes
    ), same


def _equal_count(a: Mapping[str, Any], b: Mapping[str, Any], changes: list[Change]) -> int:
    return len(a.keys() & b.keys()) - sum(change.kind == CHANGED for change in changes)


def difference(a: float | None, b: float | None) -> tuple[float | None, float | None]:
    """b - a, and that over |a|; None where they say nothing, as in `MetricChange`."""
    if a is None or b is None or not math.isfinite(b - a):
        return None, None
    relative = (b - a) / abs(a) if a else None
    return b - a, relative if relative is not None and math.isfinite(relative) else None


def _file_changes(a: Source, b: Source) -> tuple[tuple[FileChange, ...], bool]:
    """Paths that differ or may, and whether there can be no others."""
    states_a, states_b = _states(a), _states(b)
    same_base = a.base is not None and a.base == b.base
    changes = []
    for path in sorted(states_a.keys() | states_b.keys()):
        kind = _file_change(states_a.get(path), states_b.get(path)) if same_base else MAYBE
        if kind is not None:
            changes.append(FileChange(path, kind))
    return tuple(changes), same_base


#: What a path may be when it is an ordinary file.
_FILES = ("base", "file", "withheld")


class _State(NamedTuple):
    """How a source changes one path of its base; `content` is None when it is not known here."""

    what: str  # base | file | withheld | symlink | gitlink | submodule | deleted
    content: str | None
    mode: str | None = None


def _states(source: Source) -> dict[str, _State]:
    # The overlay's id names all its contents: under the same id the same path is the same file.
    overlay = source.overlay
    states = {path: _State("base", "") for path in source.modes}
    states.update((path, _State("file", overlay)) for path in source.files)
    states.update((path, _State("withheld", None)) for path in source.withheld)
    for path, mode in source.modes.items():
        states[path] = states[path]._replace(mode=mode)
    states.update((path, _State("symlink", target)) for path, target in source.symlinks.items())
    states.update((path, _State("gitlink", oid)) for path, oid in source.gitlinks.items())
    states.update((path, _State("submodule", None)) for path in source.submodules_dirty)
    states.update((path, _State("deleted", "")) for path in source.deleted)
    return states


def _file_change(a: _State | None, b: _State | None) -> str | None:
    """From one state to another, both over the same base; None: as in the base."""
    gone_a, gone_b = a is not None and a.what == "deleted", b is not None and b.what == "deleted"
    if gone_a != gone_b:
        return ADDED if gone_a else REMOVED
    if a is None or b is None or a.what != b.what or a.mode != b.mode:
        return MAYBE if _withheld(a, b) or _withheld(b, a) else CHANGED
    if a.content is not None and a.content == b.content:
        return None
    return MAYBE if a.what in ("file", "withheld", "submodule") else CHANGED


def _withheld(a: _State | None, b: _State | None) -> bool:
    """Whether `a` may be any file, and so the one that `b` is, the base's too."""
    return a is not None and a.what == "withheld" and (b is None or b.what in _FILES)
