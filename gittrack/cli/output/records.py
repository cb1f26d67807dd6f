"""A run as plain data for programs: the keys here are a promise. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gittrack.cli.output.text import UNSAFE_IN_LAYOUT
from gittrack.core.codec import format_time
from gittrack.core.dataset import facts_of
from gittrack.core.model import Artifact, Dataset, MetricSummary, Run, Source


def to_record(run: Run) -> dict[str, Any]:
    """What `--format json` says of a run; metrics map to their last value."""
    return {
        "id": run.id,
        "short_id": run.short_id,
        "name": run.name,
        "experiment": run.experiment,
        "experiment_id": run.experiment_id,
        "status": run.status,
        "start": time_or_none(run.start_ms),
        "end": time_or_none(run.end_ms),
        "duration_s": None if run.duration_ms is None else run.duration_ms / 1000,
        "commit": run.commit,
        "links": dict(run.links),
        "branch": run.branch,
        "dirty": run.dirty,
        "author": run.author,
        "params": dict(run.params),
        "metrics": {key: summary.last for key, summary in run.metrics.items()},
        "tags": dict(run.tags),
        "parent": run.parent,
        "description": run.description,
        "deleted": run.deleted,
        "host": run.host,
        "entry": run.entry,
        "argv": list(run.argv),
        "exit_code": run.exit_code,
        "base": run.base,
        "tree": run.tree,
        "remote": run.remote,
        "artifacts": {path: artifact_record(item) for path, item in run.artifacts.items()},
        "inputs": [dataset_record(item) for item in run.inputs],
        "warnings": list(run.warnings),
        "withheld": dict(run.withheld),
        "redacted": list(run.redacted),
        "conflicts": list(run.conflicts),
    }


def to_full_record(
    run: Run, source: Source, inputs: Sequence[Dataset] | None = None
) -> dict[str, Any]:
    """What `show --format json` says of a run: `to_record` and more.

    Args:
        inputs: its datasets with their schemas.
    """
    inputs = run.inputs if inputs is None else inputs
    return to_record(run) | {
        "inputs": [dataset_record(item) for item in inputs],
        "metric_summaries": {key: summary_record(item) for key, item in run.metrics.items()},
        "source": source._asdict(),
    }


def artifact_record(item: Artifact) -> dict[str, Any]:
    """Size, mode and where the bytes are."""
    record: dict[str, Any] = {"size_bytes": item.size_bytes, "mode": item.mode}
    if item.blob is not None:
        record["blob"] = item.blob
    if item.md5 is not None:
        record["md5"] = item.md5
    if item.files is not None:
        record["files"] = item.files
    return record


def dataset_record(item: Dataset) -> dict[str, Any]:
    """Name, digest and what else is known; the keys are those of `inputs.set.yaml`."""
    return {"name": item.name, **facts_of(item)}


def summary_record(summary: MetricSummary) -> dict[str, Any]:
    """What is known of a metric without its points."""
    return {
        "last": summary.last,
        "last_step": summary.last_step,
        "last_time": format_time(summary.last_time_ms),
        "min": summary.min,
        "max": summary.max,
        "count": summary.count,
    }


def time_or_none(time_ms: int | None) -> str | None:
    """The time as ISO 8601 in UTC, or None."""
    return None if time_ms is None else format_time(time_ms)


def strict(value: Any) -> Any:
    """The value with NaN and infinities as text, at any depth: what JSON can say."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    return value


def render_json(value: Any, indent: int | None = 2) -> str:
    """Strict JSON; readable beyond ASCII, yet harmless on a terminal."""
    text = json.dumps(strict(value), ensure_ascii=False, indent=indent, allow_nan=False)
    return UNSAFE_IN_LAYOUT.sub(lambda match: json.dumps(match[0])[1:-1], text) + "\n"


def render_jsonl(records: Sequence[Any]) -> str:
    """One strict JSON value a line."""
    return "".join(render_json(record, None) for record in records)
