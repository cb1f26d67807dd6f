"""What a search gives: a list of runs that can become a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gittrack.core.model import Run
from gittrack.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd


class Runs(list[Run]):
    """Runs in the order of the search."""

    def _repr_html_(self) -> str:
        from gittrack.core.html import render_runs

        return render_runs(self)

    def to_pandas(self) -> pd.DataFrame:
        """One row a run, columns named as MLflow names them.

        `run_id`, `experiment_id`, `status`, `artifact_uri`, `start_time`, `end_time` (UTC), then
        `metrics.*`, `params.*` and `tags.*`; missing values are NaN or None.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtraError(
                "runs cannot become a table",
                why="pandas is not installed",
                next="pip install 'gittrack[pandas]'",
            ) from None
        infos = [run.info for run in self]
        columns: dict[str, list[object]] = {
            "run_id": [info.run_id for info in infos],
            "run_name": [info.run_name for info in infos],
            "experiment_id": [info.experiment_id for info in infos],
            "experiment_name": [info.experiment_name for info in infos],
            "status": [info.status for info in infos],
            "artifact_uri": [info.artifact_uri for info in infos],
        }
        frame = pd.DataFrame(columns)
        for name in ("start_time", "end_time"):
            times = [getattr(info, name) for info in infos]
            frame[name] = pd.to_datetime(pd.Series(times, dtype="Int64"), unit="ms", utc=True)
        datas = [run.data for run in self]
        values = {}
        for kind in ("metrics", "params", "tags"):
            for key in sorted({key for data in datas for key in getattr(data, kind)}):
                values[f"{kind}.{key}"] = [getattr(data, kind).get(key) for data in datas]
        return pd.concat([frame, pd.DataFrame(values, index=frame.index)], axis=1)
