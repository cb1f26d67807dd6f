"""Several runs side by side, for people and for programs. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gittrack.cli.output import text as t
from gittrack.cli.output.columns import Rows, cell_text, machine_text
from gittrack.core.compare import MISSING, Line
from gittrack.core.model import Run

#: What marks the run that the others are compared with.
BASELINE = "*"
_PREFIX = {"fact": "", "param": "params.", "metric": "metrics.", "tag": "tags."}


def comparison_rows(
    runs: Sequence[Run], lines: Sequence[Line], *, transpose: bool, machine: bool
) -> Rows:
    """Header and rows: a row for each run, or (transposed) for each key.

    Metrics of people's tables have their change from the baseline, the first run, behind them.
    """
    keys = [_PREFIX[line.kind] + line.key for line in lines]
    labels = [run.id if machine else _label(run, at) for at, run in enumerate(runs)]
    cells = [[_cell(line, at, machine) for line in lines] for at in range(len(runs))]
    names = [run.name if machine else t.safe(run.name) for run in runs]
    if not machine:
        keys = [t.safe(key) for key in _shortened(lines)]
    if transpose:
        header = ["key", *labels]
        rows = [["name", *names]]
        rows += [[key, *(row[i] for row in cells)] for i, key in enumerate(keys)]
        return header, rows
    header = ["id" if machine else "run", "name", *keys]
    rows = [[label, name, *row] for label, name, row in zip(labels, names, cells, strict=True)]
    return header, rows


def comparison_records(runs: Sequence[Run], lines: Sequence[Line]) -> list[dict[str, Any]]:
    """What `--format json` says: a record a run, the baseline first."""
    return [
        {
            "id": run.id,
            "name": run.name,
            "experiment": run.experiment,
            "baseline": at == 0,
            **{
                _PREFIX[line.kind] + line.key: line.values[at]
                for line in lines
                if line.values[at] is not MISSING and line.key != "experiment"
            },
        }
        for at, run in enumerate(runs)
    ]


def _label(run: Run, at: int) -> str:
    return f"{t.safe(run.short_id)}{BASELINE if at == 0 else ''}"


def _cell(line: Line, at: int, machine: bool) -> str:
    value = line.values[at]
    if value is MISSING:
        return ""
    if machine:
        return machine_text(value)
    if line.kind == "metric":
        return t.number(value) + _change(line.values[0], value if at else None)
    if line.key in ("commit",) and line.kind == "fact":
        return t.safe(str(value))[:12]
    return cell_text(value)


def _change(base: Any, value: float | None) -> str:
    if value is None or base is MISSING or not base or value == base:
        return ""
    share = (value - base) / abs(base) * 100
    return f" ({share:+.3g}%)" if share == share and abs(share) != float("inf") else ""


def _shortened(lines: Sequence[Line]) -> list[str]:
    """Keys without `metrics.` or `params.` where they are still told apart."""
    short = [line.key for line in lines]
    return [
        line.key if short.count(line.key) == 1 else _PREFIX[line.kind] + line.key for line in lines
    ]
