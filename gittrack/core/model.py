"""The nouns of gittrack as plain values.

Times are integers of milliseconds since the Unix epoch, in UTC. A value here never knows
about a file, a clock or git; `core.codec` turns it into bytes and back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

ParamValue = str | int | float | bool | None | list[Any]

RUNNING = "running"
FINISHED = "finished"
FAILED = "failed"
KILLED = "killed"
LOST = "lost"
#: Statuses that a writer may record; `running` and `lost` are derived when read.
END_STATUSES = (FINISHED, FAILED, KILLED)
STATUSES = (RUNNING, *END_STATUSES, LOST)

DEFAULT_EXPERIMENT = "default"


class Stamp(NamedTuple):
    """One entry of a stamped map: a value, its hybrid logical time and who wrote it."""

    v: Any
    t: int
    by: str


#: Stamps are below it, so that every YAML and JSON reader holds them exactly.
MAX_TIME = 2**53


def next_time(now_ms: int, latest: int) -> int:
    """The time of a new stamp: the wall clock's, but above the latest that was seen.

    A clock of the year 287,000 somewhere must not push everybody's stamps out of the format; at
    the last time of all, the writer and the value decide.
    """
    return min(max(now_ms, latest + 1), MAX_TIME - 1)


class Metric(NamedTuple):
    """One point of a metric, spelled as MLflow spells it; `timestamp` is in ms."""

    key: str
    value: float
    step: int
    timestamp: int


class MetricSummary(NamedTuple):
    """What is known of a metric without reading its points.

    `last` is the value of the greatest (step, time, value) with NaN lowest; `min` and `max`
    leave NaN out and are NaN when there is nothing else.
    """

    last: float
    last_step: int
    last_time_ms: int
    min: float
    max: float
    count: int  # type: ignore[assignment]  # the field's name on the ref; tuple.count is unused


class Artifact(NamedTuple):
    """A file that a run made: a git blob, or (md5) an object in DVC's cache format.

    `files` is the number of files in a folder that is kept as one; `path` is that folder then, ""
    for the folder of all artifacts. A folder may have several such layers.
    """

    path: str
    size_bytes: int
    mode: str = "644"
    blob: str | None = None
    md5: str | None = None
    files: int | None = None


class Dataset(NamedTuple):
    """Data that went into a run.

    `digest` says before its colon what it is of: `md5` is DVC's, of a file, or with `.dir` at its
    end of a folder; `table` and `array` are of values in memory, `uri` of an address alone.
    `context` is what the data was for, such as `training`. `dvc` is the file of DVC's that the
    digest was taken from. With `sampled` the digest covers a sample, and of the columns in `opaque`
    the types of values alone. `schema` has the name and type of each column, of 500 at most.
    """

    name: str
    digest: str
    context: str = ""
    source: str = ""
    kind: str = ""
    size_bytes: int | None = None
    files: int | None = None
    rows: int | None = None
    columns: int | None = None
    shape: tuple[int, ...] | None = None
    sampled: bool = False
    opaque: tuple[str, ...] = ()
    dvc: str = ""
    schema: tuple[tuple[str, str], ...] = ()


class Source(NamedTuple):
    """What ran: `base` commit + overlay + the listed changes = `tree`.

    `overlay` names `source/<2>/<overlay>/` in the store. `withheld` maps the paths of files
    that are not in the store to the reason; then `rebuilds`, not `tree`, is the tree id that
    base + overlay + changes give.
    """

    commit: str | None = None
    base: str | None = None
    tree: str | None = None
    rebuilds: str | None = None
    branch: str | None = None
    remote: str | None = None
    dirty: bool = False
    state: str | None = None
    overlay: str | None = None
    files: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    modes: Mapping[str, str] = {}
    symlinks: Mapping[str, str] = {}
    gitlinks: Mapping[str, str] = {}
    withheld: Mapping[str, str] = {}
    submodules_dirty: tuple[str, ...] = ()


class Experiment(NamedTuple):
    """A group of runs; `id` never changes, `name` may."""

    id: str
    name: str
    tags: Mapping[str, str] = {}
    deleted: bool = False


class RunInfo(NamedTuple):
    """The facts of a run under MLflow's names; times in ms since the epoch."""

    run_id: str
    run_name: str
    experiment_id: str
    experiment_name: str
    user_id: str
    status: str
    start_time: int
    end_time: int | None
    lifecycle_stage: str
    artifact_uri: str

    @property
    def run_uuid(self) -> str:
        """The run id, under the name that old MLflow code uses."""
        return self.run_id


class RunData(NamedTuple):
    """The values of a run; `metrics` holds the last value of each key."""

    params: dict[str, ParamValue]
    metrics: dict[str, float]
    tags: dict[str, str]


class Run(NamedTuple):
    """A run as it was read, from the store, a journal or both.

    `inputs` come without their schemas, which `Repo.get_inputs` has: a hundred thousand runs are
    held in memory, and all may name the columns of one table.
    """

    id: str
    experiment_id: str
    experiment: str
    name: str
    status: str
    start_ms: int
    end_ms: int | None = None
    parent: str | None = None
    author: str = ""
    author_source: str = "git"
    host: str = ""
    argv: tuple[str, ...] = ()
    entry: str = ""
    commit: str | None = None
    branch: str | None = None
    base: str | None = None
    tree: str | None = None
    remote: str | None = None
    dirty: bool = False
    exit_code: int | None = None
    description: str = ""
    deleted: bool = False
    params: Mapping[str, ParamValue] = {}
    metrics: Mapping[str, MetricSummary] = {}
    tags: Mapping[str, str] = {}
    warnings: tuple[str, ...] = ()
    withheld: Mapping[str, str] = {}
    redacted: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    artifacts: Mapping[str, Artifact] = {}
    inputs: tuple[Dataset, ...] = ()
    #: Further commits that the run belongs to, each with the reason; see `repo.linking`.
    links: Mapping[str, str] = {}

    @property
    def commits(self) -> tuple[str, ...]:
        """The commit that the run was recorded at, and those that it is linked to."""
        return tuple(self.links) if self.commit is None else (self.commit, *self.links)

    @property
    def short_id(self) -> str:
        """The hex part of the id for runs of our own, else the whole id."""
        return short_id(self.id)

    @property
    def duration_ms(self) -> int | None:
        """From start to end; None while it is not known."""
        return None if self.end_ms is None else max(0, self.end_ms - self.start_ms)

    @property
    def info(self) -> RunInfo:
        """The facts of the run, spelled as MLflow's `run.info`."""
        return RunInfo(
            run_id=self.id,
            run_name=self.name,
            experiment_id=self.experiment_id,
            experiment_name=self.experiment,
            user_id=self.author,
            status=self.status.upper(),
            start_time=self.start_ms,
            end_time=self.end_ms,
            lifecycle_stage="deleted" if self.deleted else "active",
            artifact_uri=f"gittrack:/runs/{self.id}/artifacts",
        )

    @property
    def data(self) -> RunData:
        """Params, last metric values and tags, spelled as MLflow's `run.data`."""
        return RunData(
            params=dict(self.params),
            metrics={key: summary.last for key, summary in self.metrics.items()},
            tags=dict(self.tags),
        )

    def _repr_html_(self) -> str:
        from gittrack.core.html import render_run

        return render_run(self)


def short_id(run_id: str) -> str:
    """The part of a run id that people type: its 12 hex digits, or all of a foreign id."""
    date, dash, rest = run_id.partition("-")
    clock, dash2, tail = rest.partition("-")
    own = dash and dash2 and len(date) == 8 and len(clock) == 6 and len(tail) == 12
    return tail if own and date.isdigit() and clock.isdigit() else run_id
