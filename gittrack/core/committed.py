"""What a commit holds of an experiment -> the files of its run. Pure.

Two clones that record a commit make the same run, byte for byte: nothing here knows who records,
where or when.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import gmtime, strftime
from typing import NamedTuple

from gittrack.core import codec, kept, names
from gittrack.core.commits import Commit
from gittrack.core.model import FINISHED, Artifact, MetricSummary, ParamValue, Run, Stamp, short_id
from gittrack.core.record import warning_key

#: The `entry` of such a run. It has no host, which every other run has.
ENTRY = "git commit"
_NAME_CHARS = 72


class Held(NamedTuple):
    """What is recorded of a commit.

    `points` are (step, ms since the epoch, value) by key, in the order of steps; `artifacts` are
    by path, as blobs or objects; `warnings` say what could not be read.
    """

    params: Mapping[str, ParamValue] = {}
    points: Mapping[str, list[codec.Point]] = {}
    artifacts: Mapping[str, Artifact] = {}
    warnings: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        return not (self.params or self.points or self.artifacts)


def is_of_commit(run: Run) -> bool:
    """Whether a run was recorded from a commit, not by a program that ran."""
    return run.entry == ENTRY and not run.host


def run_id_of(commit: str, time_s: int, held: Held) -> str:
    """The id of the run: the commit's time, and what was recorded of which commit.

    Points without a time of their own have the commit's, so that is left out: what a rewritten
    commit holds unchanged must be told from its id.
    """
    from hashlib import sha256

    points = {
        key: [(step, t if t != time_s * 1000 else 0, value) for step, t, value in rows]
        for key, rows in held.points.items()
    }
    parts = (
        codec.encode_mapping(held.params),
        codec.encode_gathered(points),
        codec.encode_mapping({key: kept.entry_of(a) for key, a in held.artifacts.items()}),
    )
    digest = sha256(commit.encode())
    for part in parts:
        digest.update(b"\n%d\n" % len(part) + part)
    return f"{strftime('%Y%m%d-%H%M%S', gmtime(time_s))}-{digest.hexdigest()[:12]}"


def name_of(commit: Commit, subject: str) -> str:
    """What the run is called: the commit's subject, from which secrets have been taken."""
    return names.one_line(subject, _NAME_CHARS).strip() or f"commit {commit.oid[:12]}"


def encode_run(
    run_id: str, commit: Commit, held: Held, experiment_id: str, name: str
) -> tuple[dict[str, bytes], dict[str, MetricSummary]]:
    """The files of the run but those of its artifacts, by name in its folder, and its metrics."""
    time_ms = commit.time_s * 1000
    time = codec.format_time(time_ms)
    writer = short_id(run_id)[:8]

    def stamped(value: object) -> Stamp:
        return Stamp(value, time_ms, writer)

    notes: dict[str, object] = {"name": name, "status": FINISHED, "end": time}
    notes |= {warning_key(text): text for text in held.warnings}
    facts = {
        "author": commit.author,
        "author_source": "git",
        "base": commit.oid,
        "commit": commit.oid,
        "dirty": False,
        "entry": ENTRY,
        "experiment": experiment_id,
        "id": run_id,
        "start": time,
        "tree": commit.tree,
    }
    files = {
        "run.yaml": codec.encode_mapping(facts),
        "notes.yaml": codec.encode_stamps({key: stamped(value) for key, value in notes.items()}),
    }
    if held.params:
        files["params.yaml"] = codec.encode_mapping(held.params)
    if held.artifacts:
        entries = {
            key: stamped(kept.entry_of(artifact)) for key, artifact in held.artifacts.items()
        }
        files["artifacts.yaml"] = codec.encode_stamps(entries)
    summary: dict[str, MetricSummary] = {}
    if held.points:
        data = codec.encode_gathered(dict(held.points))
        segment = codec.segment_name(writer, data)
        summary = codec.summarise_points(dict(held.points))
        files[f"metrics/{segment}"] = data
        files["metrics.yaml"] = codec.encode_summaries([segment], summary)
    return files, summary
