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
        ("With conflicts", status.with_conflicts, "red"),
    )
    for title, found, color in sections:
        yield from _section(title, found, style, width, color)
    if status.runs and not status.unpushed:
        yield ""
        yield t.cut("not shared: no remote has runs of this repository", width)
    elif status.unpushed:
        yield ""
        for remote, count in status.unpushed.items():
            said = "has all runs" if not count else f"lacks {t.plural(count, 'run')}"
            yield t.cut(f"{t.safe(remote)} {said}", width)
    for remote in status.unjoined:
        yield t.cut(f"{t.safe(remote)} has runs not joined with yours yet (gittrack sync)", width)
    if status.deleted:
        yield ""
        yield t.cut(f"{t.plural(status.deleted, 'deleted run')} (gittrack log --all)", width)
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


def status_rows(status: Status) -> list[list[str]]:
    """What `--porcelain` says: a word and a value a line, each run with its id and name."""
    rows = [["runs", str(status.runs)], ["experiments", str(status.experiments)]]
    rows += [["tip", status.tip or ""], ["unsealed", str(status.unsealed)]]
    rows += [["deleted", str(status.deleted)]]
    rows += [["unpushed", remote, str(count)] for remote, count in status.unpushed.items()]
    rows += [["unjoined", remote] for remote in status.unjoined]
    for word, found in (
        ("running", status.running),
        ("lost", status.lost),
        ("warnings", status.with_warnings),
        ("withheld", status.with_withheld),
        ("redacted", status.with_redactions),
        ("conflicts", status.with_conflicts),
    ):
        rows += [[word, run.id, run.name] for run in found]
    return rows


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
        "with_conflicts": _ids(status.with_conflicts),
        "deleted": status.deleted,
        "unpushed": dict(status.unpushed),
        "unjoined": list(status.unjoined),
        "tip": status.tip,
    }


def _ids(runs: Sequence[Run]) -> list[str]:
    return [run.id for run in runs]
