"""What programs ask of the runs there are, in the repository that this process records into."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gittrack.core.model import Metric
from gittrack.tracking import fluent

if TYPE_CHECKING:
    from gittrack.core.model import Run
    from gittrack.repo.artifacts import ArtifactFile
    from gittrack.tracking.results import Runs


def get_run(run_id: str) -> Run:
    """The run of that id, hex prefix or unique name, as it is now.

    Raises:
        RunNotFoundError: none, or several.
    """
    return fluent._repo().get_run(run_id)


def search_runs(
    filter_string: str = "",
    order_by: Sequence[str] | None = None,
    max_results: int | None = None,
    experiment_names: Sequence[str] | None = None,
) -> Runs:
    """The runs that satisfy a filter, newest first; of all experiments if none is named.

    Raises:
        QueryError: the filter or the order cannot be understood.
        ExperimentNotFoundError: there is no experiment of that name.
    """
    from gittrack.tracking.results import Runs

    if isinstance(order_by, str):
        order_by = [order_by]
    if isinstance(experiment_names, str):
        experiment_names = [experiment_names]
    return Runs(
        fluent._repo().search_runs(filter_string, order_by or (), max_results, experiment_names)
    )


def get_metric_history(run_id: str, key: str) -> list[Metric]:
    """All points of a metric, ordered by step, then time."""
    return fluent._repo().get_metric_history(run_id, key)


def list_artifacts(run_id: str, path: str = "") -> list[ArtifactFile]:
    """The files among a run's artifacts, at or below a path."""
    return fluent._repo().list_artifacts(run_id, path)


def get_artifact(run_id: str, path: str = "") -> str:
    """A readable local copy of an artifact, or of a folder of them; do not write to it."""
    return fluent._repo().get_artifact(run_id, path)
