"""How things stand in a repository. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.core.model import Run
from gittrack.repo.status import Status

_MOST = 5


def render_status(status: Status, style: Style, width: int) -> Iterator[str]:
    """What runs and what needs a look, with the command to type."""
    runs = t.plural(status.runs, "run")
    yield f"{runs} in {t.plural(status.experiments, 'experiment')}"
    if status.tip:
        yield f"gittrack/store/main at {status.tip[:12]}"
    sections = (
        ("Running", status.running, "green"),
        ("Lost", status.lost, "red"),
        ("With warnings", status.with_warnings, "yellow"),
        ("With files withheld", status.with_withheld, "yellow"),
        ("With secrets redacted", status.with_redactions, "yellow"),
    )
    for title, found, color in sections:
        yield from _section(title, found, style, width, color)
    if status.unsealed:
        yield ""
        yield f"{t.plural(status.unsealed, 'run')} not yet committed"
    if status.lost:
        yield t.cut("  (use gittrack recover to take over lost runs)", width)
    if status.with_warnings or status.with_withheld:
        yield t.cut("  (use gittrack show RUN for what was warned of)", width)


def _section(
    title: str, runs: Sequence[Run], style: Style, width: int, color: str
) -> Iterator[str]:
    if not runs:
        return
    yield ""
    yield f"{title}:"
    for run in runs[:_MOST]:
        line = f"    {t.safe(run.short_id)} {t.safe(run.name)} ({t.safe(run.experiment)})"
        yield style(t.cut(line, width), color)
    if len(runs) > _MOST:
        yield f"    and {len(runs) - _MOST} more"


def status_record(status: Status) -> dict[str, Any]:
    """What `--format json` says; runs as their ids."""
    return {
        "runs": status.runs,
        "experiments": status.experiments,
        "running": _ids(status.running),
        "lost": _ids(status.lost),
        "unsealed": status.unsealed,
        "with_warnings": _ids(status.with_warnings),
        "with_withheld": _ids(status.with_withheld),
        "with_redactions": _ids(status.with_redactions),
        "tip": status.tip,
    }


def _ids(runs: Sequence[Run]) -> list[str]:
    return [run.id for run in runs]
