"""A run <-> the rows that stand for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gittrack.core.model import Artifact, Dataset, Experiment, MetricSummary, Run
from gittrack.core.query import attributes, fit, text_of

#: Columns of the table `run` after `n`; `duration` follows from two of them.
COLUMNS = (
    "run_id",
    "short_id",
    "run_name",
    "status",
    "user",
    "host",
    "entry",
    "description",
    "experiment",
    "experiment_id",
    "branch",
    "commit",
    "base",
    "tree",
    "parent",
    "start_time",
    "end_time",
    "exit_code",
    "dirty",
    "deleted",
)
_NUMBERS = ("start_time", "end_time", "exit_code")
_to_json = json.JSONEncoder(default=dict, separators=(",", ":"), check_circular=False).encode
_AT = {name: at for at, name in enumerate(Run._fields)}


def run_row(run: Run, n: int) -> tuple[Any, ...]:
    """The row of `run`: its number, then `COLUMNS`; unknown is NULL."""
    known: dict[str, Any] = attributes(run)
    for name in _NUMBERS:
        if known[name] is not None:
            known[name] = fit(known[name])
    return (n, *[known[name] if known[name] != "" else None for name in COLUMNS])


def metric_rows(run: Run, n: int, keys: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Rows of `metric`; SQLite makes NULL of NaN."""
    return [
        (keys[key], n, last, low, high, fit(count))
        for key, (last, _, _, low, high, count) in run.metrics.items()
    ]


def param_rows(run: Run, n: int, keys: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Rows of `param`; a null param has none."""
    rows: list[tuple[Any, ...]] = []
    for key, value in run.params.items():
        if isinstance(value, str):
            rows.append((keys[key], n, "text", None, value))
        elif isinstance(value, bool):
            rows.append((keys[key], n, "bool", None, str(value)))
        elif isinstance(value, (int, float)):
            rows.append((keys[key], n, "number", fit(value), str(value)))
        elif value is not None:
            rows.append((keys[key], n, "list", None, text_of(value)))
    return rows


def tag_rows(run: Run, n: int, keys: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Rows of `tag`."""
    return [(keys[key], n, text) for key, text in run.tags.items()]


def link_rows(run: Run, n: int, keys: Mapping[str, int]) -> list[tuple[Any, ...]]:
    """Rows of `link`: its keys are commits."""
    return [(keys[commit], n) for commit in run.links]


def encode_body(value: Run | Experiment) -> str:
    """A value as JSON, its fields in their order; floats and integers survive exactly."""
    return _to_json(value)


def decode_run(body: str, experiment: str) -> Run:
    """The run of a body; the experiment's name may be newer than the body."""
    fields = json.loads(body)
    fields[_AT["experiment"]] = experiment
    for name in ("argv", "warnings", "redacted", "conflicts"):
        fields[_AT[name]] = tuple(fields[_AT[name]])
    metrics = fields[_AT["metrics"]]
    for key, summary in metrics.items():
        metrics[key] = MetricSummary._make(summary)
    artifacts = fields[_AT["artifacts"]]
    for key, artifact in artifacts.items():
        artifacts[key] = Artifact._make(artifact)
    inputs = fields[_AT["inputs"]]
    fields[_AT["inputs"]] = tuple([_decode_dataset(item) for item in inputs]) if inputs else ()
    return Run._make(fields)


def _decode_dataset(fields: list[Any]) -> Dataset:
    item = Dataset._make(fields)
    shape = None if item.shape is None else tuple(item.shape)
    schema = tuple([(name, kind) for name, kind in item.schema])
    return item._replace(shape=shape, opaque=tuple(item.opaque), schema=schema)


def dataset_rows(run: Run, n: int) -> list[tuple[Any, ...]]:
    """Rows of `dataset`; an empty context is NULL."""
    return [
        (n, at, item.name, item.digest, item.context or None) for at, item in enumerate(run.inputs)
    ]


def decode_experiment(body: str) -> Experiment:
    return Experiment._make(json.loads(body))


def clean(text: str) -> str:
    """The text as SQLite can hold it: with question marks for lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def cleaned(run: Run, body: str) -> Run:
    """The run with texts that SQLite can hold; `body` is its JSON.

    Keys that differ in lone surrogates alone become one; the last of them is searched.
    """
    if "\\ud" not in body:  # how JSON spells a surrogate
        return run
    fields = {
        name: clean(value) if isinstance(value, str) else value
        for name, value in zip(run._fields, run, strict=True)
    }
    params = {
        clean(key): clean(value) if isinstance(value, str) else value
        for key, value in run.params.items()
    }
    return Run._make(fields.values())._replace(
        params=params,
        metrics={clean(key): summary for key, summary in run.metrics.items()},
        tags={clean(key): clean(text) for key, text in run.tags.items()},
        inputs=tuple(
            item._replace(
                name=clean(item.name), digest=clean(item.digest), context=clean(item.context)
            )
            for item in run.inputs
        ),
    )


#: Tables that are keyed by key and run, with what makes their rows.
KEYED = {"metric": metric_rows, "param": param_rows, "tag": tag_rows, "link": link_rows}
