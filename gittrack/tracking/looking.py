"""`gittrack.log_figure(...)` and others over the run that is active now, and their counterparts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gittrack.errors import MissingExtraError
from gittrack.tracking import fluent

if TYPE_CHECKING:
    import pandas as pd


def log_figure(
    figure: Any, artifact_file: str, *, save_kwargs: Mapping[str, Any] | None = None
) -> None:
    """Keep a figure with the active run; see `ActiveRun.log_figure`."""
    fluent.current().log_figure(figure, artifact_file, save_kwargs=save_kwargs)


def log_image(
    image: Any,
    artifact_file: str | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
) -> None:
    """Keep an image with the active run; see `ActiveRun.log_image`."""
    fluent.current().log_image(image, artifact_file, key, step, timestamp)


def log_audio(
    audio: Any,
    artifact_file: str | None = None,
    sample_rate: int | None = None,
    key: str | None = None,
    step: int | None = None,
    timestamp: int | None = None,
) -> None:
    """Keep sound with the active run; see `ActiveRun.log_audio`."""
    fluent.current().log_audio(audio, artifact_file, sample_rate, key, step, timestamp)


def log_html(html: Any, artifact_file: str) -> None:
    """Keep a page with the active run; see `ActiveRun.log_html`."""
    fluent.current().log_html(html, artifact_file)


def log_table(data: Any, artifact_file: str) -> None:
    """Keep a table with the active run, or add rows to it; see `ActiveRun.log_table`."""
    fluent.current().log_table(data, artifact_file)


def load_table(
    artifact_file: str,
    run_ids: Sequence[str] | None = None,
    extra_columns: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The rows of a table of several runs; see `Repo.load_table`.

    Args:
        run_ids: without them the runs of the experiment of `set_experiment` that have the table.
        extra_columns: what each row also says about its run, such as `run_id` or `params.lr`.
    Raises:
        FileNotInRunError: a run has no such table.
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise MissingExtraError(
            "a table cannot be loaded as a data frame",
            why="pandas is not installed",
            next="pip install 'gittrack[pandas]', or Repo.load_table",
        ) from None
    repo = fluent._repo()
    experiment = fluent._session.experiment or repo.config.experiment
    table = repo.load_table(artifact_file, run_ids, extra_columns, experiment=experiment)
    # By number first: two columns may have one name.
    frame = pd.DataFrame(dict(enumerate(table.values)))
    frame.columns = pd.Index(table.columns, dtype=None if table.columns else object)
    return frame


def load_text(run_id: str, artifact_file: str) -> str:
    """The text of an artifact; see `Repo.load_text`."""
    return fluent._repo().load_text(run_id, artifact_file)


def load_dict(run_id: str, artifact_file: str) -> Any:
    """The mapping or list of an artifact; see `Repo.load_dict`."""
    return fluent._repo().load_dict(run_id, artifact_file)
