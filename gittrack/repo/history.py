"""Who changed what of a run, and when: from the commits of the store's refs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from gittrack.core import codec, kept
from gittrack.core.dataset import by_label, decode_datasets, facts_of
from gittrack.core.diff import Change, changes_between
from gittrack.core.model import Run
from gittrack.core.record import WARNING_PREFIX
from gittrack.errors import GittrackError
from gittrack.repo.known import read_run_files
from gittrack.store import layout
from gittrack.store.git import Git

RECORDED = "recorded"
CHANGED = "changed"
REMOVED = "removed"

#: Fields of `git log`, parted by NUL; none of them can hold one.
_FORMAT = "%H%x00%P%x00%an <%ae>%x00%ct"


class HistoryEntry(NamedTuple):
    """One commit that changed a run, and what it changed.

    Keys of `changes` are `name`, `status`, `tags.KEY`, `params.KEY`, `artifacts.PATH`,
    `metrics.KEY` (its last value), `warnings` and so on; of the commit that recorded the run
    they are all it held.
    """

    commit: str
    author: str
    time_ms: int
    kind: str  # recorded | changed | removed
    changes: tuple[Change, ...]


def read_history(git: Git, tips: Iterable[str], run: Run) -> list[HistoryEntry]:
    """What happened to a run in the store, newest first; empty while it is only a journal.

    Joins of two clones change nothing of their own, so they are left out: what they brought
    together stands there as the commits that made it.
    """
    tips = list(tips)
    folder = layout.run_dir(run.id)
    if not tips:
        return []
    out = git.run(
        *("log", "-z", "--full-history", "--no-merges", f"--format={_FORMAT}", *tips),
        *("--", f":(top,literal){folder}"),
    )
    fields = out.decode("utf-8", "replace").split("\0")
    entries = []
    for commit, parents, author, when in zip(
        fields[0::4], fields[1::4], fields[2::4], fields[3::4], strict=False
    ):
        parent = parents.split(" ")[0]
        old = _values(git, f"{parent}:{folder}") if parent else {}
        new = _values(git, f"{commit}:{folder}")
        kind = RECORDED if not old else CHANGED if new else REMOVED
        changes = changes_between(old, new)[0]
        entries.append(HistoryEntry(commit, author, int(when) * 1000, kind, changes))
    return entries


def _values(git: Git, spec: str) -> dict[str, Any]:
    """Everything that a commit says of a run, flat; empty if it does not hold it."""
    files, segments = read_run_files(git, spec)
    values: dict[str, Any] = {}
    try:
        for key, stamp in codec.decode_stamps(files.get(layout.NOTES_FILE, b"")).items():
            if stamp.v is not None and not key.startswith(WARNING_PREFIX):
                values[key] = stamp.v
        params = codec.decode_mapping(files.get(layout.PARAMS_FILE, b""), where=layout.PARAMS_FILE)
        values.update((f"params.{key}", value) for key, value in params.items())
        for name, prefix in ((layout.INPUTS_FILE, "inputs."), (layout.OUTPUTS_FILE, "outputs.")):
            found = decode_datasets(codec.decode_mapping(files.get(name, b""), where=name))
            (labelled,) = by_label(found)
            values.update((prefix + label, facts_of(item)) for label, item in labelled.items())
        if layout.METRICS_FILE in files:
            _, summaries = codec.decode_summaries(files[layout.METRICS_FILE])
            values.update((f"metrics.{key}", item.last) for key, item in summaries.items())
        for path, stamp in codec.decode_stamps(files.get(layout.ARTIFACTS_FILE, b"")).items():
            if isinstance(stamp.v, Mapping):
                values[f"artifacts.{kept.shown(path)}"] = stamp.v.get("blob") or stamp.v.get("md5")
    except GittrackError as error:
        values["damaged"] = error.message
    values.update(dict(_others(files, segments)))
    return values


def _others(files: Mapping[str, bytes], segments: Iterable[str]) -> Iterator[tuple[str, Any]]:
    segments = sorted(segments)
    if segments:
        yield "segments", len(segments)
    if layout.SOURCE_FILE in files:
        yield "source", "files that differ from the base"
