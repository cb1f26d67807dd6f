"""gittrack: experiment tracking that lives in git.

Every run is plain YAML and CSV on one ref of the repository the code lives in.

    import gittrack

    with gittrack.start_run():
        gittrack.log_params({"lr": 0.1})
        gittrack.log_metric("loss", 0.3)
"""

from __future__ import annotations

from typing import Any

from gittrack.core.model import Dataset, Experiment, Metric, Run, RunData, RunInfo
from gittrack.errors import GittrackError
from gittrack.repo import Repo
from gittrack.tracking.active import ActiveRun
from gittrack.tracking.arguments import capture_args, log_args
from gittrack.tracking.fluent import (
    active_run,
    delete_tag,
    end_run,
    init,
    log_artifact,
    log_artifacts,
    log_dict,
    log_metric,
    log_metrics,
    log_param,
    log_params,
    log_text,
    set_experiment,
    set_tag,
    set_tags,
    start_run,
)
from gittrack.tracking.inputs import log_input
from gittrack.tracking.looking import (
    load_dict,
    load_table,
    load_text,
    log_audio,
    log_figure,
    log_html,
    log_image,
    log_table,
)
from gittrack.tracking.reading import (
    get_artifact,
    get_metric_history,
    get_run,
    list_artifacts,
    search_runs,
)

__version__ = "0.1.0"

__all__ = [
    "ActiveRun",
    "Dataset",
    "Experiment",
    "GittrackError",
    "Metric",
    "Repo",
    "Run",
    "RunData",
    "RunInfo",
    "active_run",
    "capture_args",
    "delete_tag",
    "end_run",
    "get_artifact",
    "get_metric_history",
    "get_run",
    "init",
    "list_artifacts",
    "load_dict",
    "load_table",
    "load_text",
    "log_args",
    "log_artifact",
    "log_artifacts",
    "log_audio",
    "log_dict",
    "log_figure",
    "log_html",
    "log_image",
    "log_input",
    "log_metric",
    "log_metrics",
    "log_param",
    "log_params",
    "log_table",
    "log_text",
    "search_runs",
    "set_experiment",
    "set_tag",
    "set_tags",
    "start_run",
]


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext gittrack`: the magics `%%run` and `%gittrack`."""
    from gittrack.tracking.magics import load

    load(shell)
