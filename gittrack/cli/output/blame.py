"""The shifts of a metric along the commits. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.commits import (
    commit_record,
    file_records,
    next_lines,
    render_commit,
    render_files,
    render_sides,
    run_record,
)
from gittrack.cli.output.diff import change_records, delta_text, render_changes
from gittrack.core.query import Field, field_value
from gittrack.repo.blame import Blame, Shift, Side

_INDENT = "    "
_MOST_EXPERIMENTS = 4


def render_blame(found: Blame, style: Style, width: int) -> Iterator[str]:
    """Each shift with its commit; or why there is none."""
    name = t.safe(_name(found))
    if not found.shifts:
        yield from _nothing(found, name, width)
        return
    for number, shift in enumerate(found.shifts):
        if number:
            yield ""
        yield from _shift(found, shift, name, style, width)
    if found.count > len(found.shifts):
        more = t.plural(found.count - len(found.shifts), "more shift")
        yield ""
        yield f"and {more}: --all shows every one"


def notes(found: Blame, *, asked: bool) -> Iterator[str]:
    """What else there is to know before the answer is believed.

    Args:
        asked: whether runs of one experiment were asked for.
    """
    name = t.safe(_name(found))
    if found.left_out:
        runs = t.plural(found.left_out, "run")
        yield f"note: {runs} whose {name} is NaN or infinite {_were(found.left_out)} left out"
    if found.changed:
        runs = t.plural(found.changed, "run")
        yield f"note: {runs} of code that was not committed {_were(found.changed)} left out"
    if len(found.experiments) > 1 and not asked:
        shown = ", ".join(map(t.safe, found.experiments[:_MOST_EXPERIMENTS]))
        more = ", ..." if len(found.experiments) > _MOST_EXPERIMENTS else ""
        yield f"note: experiments are taken together: {shown}{more}; --experiment keeps to one"
    outside = found.elsewhere - found.absent
    if outside and found.is_short:
        yield f"note: {t.plural(outside, 'run')} of other commits did not count"
    if found.absent:
        runs = t.plural(found.absent, "run")
        yield (
            f"note: {runs} {_were(found.absent)} recorded at commits that are not in this "
            "repository; git fetch may bring them"
        )
    if found.is_shallow:
        yield "note: the history is cut off here; git fetch --unshallow brings the rest"


def blame_record(found: Blame) -> dict[str, Any]:
    """What `--format json` says."""
    return {
        "metric": found.key,
        "stat": found.stat,
        "direction": found.way,
        "level": found.level,
        "shifts": [_shift_record(shift) for shift in found.shifts],
        "shift_count": found.count,
        "commits": found.commits,
        "runs": found.runs,
        "history": found.history,
        "enough": not found.is_short,
        "left_out": found.left_out,
        "changed": found.changed,
        "elsewhere": found.elsewhere,
        "absent": found.absent,
        "experiments": list(found.experiments),
        "shallow": found.is_shallow,
    }


def _name(found: Blame) -> str:
    return found.key if found.stat == "last" else f"{found.stat}({found.key})"


def _column(found: Blame) -> str:
    key = f"metrics.{t.safe(found.key)}"
    return key if found.stat == "last" else f"{found.stat}({key})"


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _nothing(found: Blame, name: str, width: int) -> Iterator[str]:
    if not found.commits:
        commits = t.plural(found.history, "commit")
        yield t.cut(f"no finished run at {commits} has a value of {name}", width)
        yield from next_lines("gittrack log --columns name,status,commit")
    elif found.is_short:
        where = t.plural(found.commits, "commit")
        line = f"{name} has values at {where} only: too few to tell a shift from noise"
        yield t.cut(line, width)
        yield from next_lines(f"gittrack log --columns name,commit,{_column(found)}")
    else:
        assert found.level is not None
        runs, commits = t.plural(found.runs, "run"), t.plural(found.commits, "commit")
        line = f"{name} shows no shift: it is {t.number(found.level)} over {runs} at {commits}"
        yield t.cut(line, width)


def _shift(found: Blame, shift: Shift, name: str, style: Style, width: int) -> Iterator[str]:
    before, after = shift.before, shift.after
    change = delta_text(before.level, after.level, found.way)
    head = f"{name} shifts from {t.number(before.level)} to {t.number(after.level)}"
    yield style(t.cut(f"{head}: {change}" if change else head, width), "bold")
    yield ""
    yield from render_commit(after.commit, style, width)
    yield ""
    yield style("Levels", "yellow")
    for mark, color, side in (("-", "red", before), ("+", "green", after)):
        line = f"{t.number(side.level)}  {t.plural(side.runs, 'run')}"
        line += f" at {t.plural(side.commits, 'commit')}"
        if side.runs == 1:
            line = f"{t.number(side.level)}  one run only: more runs there would make sure"
        yield f"{_INDENT}{style(mark, color)} {t.cut(line, width - len(_INDENT) - 2)}"
    if shift.between:
        count = t.plural(shift.between, "commit")
        yield t.cut(
            f"{_INDENT}? {count} between {before.commit.short} and {after.commit.short} without a "
            "value",
            width,
        )
    field = Field("metric", found.key, found.stat)
    yield from render_sides(_said(before, field), _said(after, field), style, width)
    if shift.params:
        yield ""
        yield style("Params", "yellow")
        yield from render_changes(shift.params, style, width)
    yield from render_files(shift.files, style, width)
    yield ""
    commands = [f"gittrack diff {t.safe(before.run.short_id)} {t.safe(after.run.short_id)}"]
    if shift.between:
        sign = "<" if after.level < before.level else ">"
        middle = t.number((before.level + after.level) / 2)
        where = f"{_column(found)} {sign} {middle}"
        commands.append(
            f"gittrack bisect {before.commit.short}..{after.commit.short}"
            f" --where {_quoted(where)} --run CMD"
        )
    else:
        commands.append(f"git show {after.commit.short}")
    yield from next_lines(*commands)


def _quoted(text: str) -> str:
    from shlex import quote

    return t.safe(quote(text))


def _said(side: Side, field: Field) -> list[tuple[Any, str]]:
    at = f"at {side.commit.short}"
    return [(run, f"{_value(run, field)} {at}") for run in side.here]


def _value(run: Any, field: Field) -> str:
    value = field_value(field, run)
    return t.number(value) if isinstance(value, (int, float)) else ""


def _shift_record(shift: Shift) -> dict[str, Any]:
    return {
        "before": _side_record(shift.before),
        "after": _side_record(shift.after),
        "change": shift.after.level - shift.before.level,
        "better": shift.better,
        "one_run_only": shift.is_weak,
        "between": shift.between,
        "params": change_records(shift.params),
        "files": file_records(shift.files),
    }


def _side_record(side: Side) -> dict[str, Any]:
    return {
        "level": side.level,
        "commits": side.commits,
        "runs": side.runs,
        "commit": commit_record(side.commit),
        "run": run_record(side.run),
        "runs_there": [run_record(run) for run in side.here],
    }
