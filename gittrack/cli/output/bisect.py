"""The first commit at which a condition holds, or what is known of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.commits import (
    commit_record,
    file_records,
    next_lines,
    oneline,
    render_commit,
    render_files,
    render_sides,
    run_record,
)
from gittrack.cli.output.diff import change_records, render_changes, render_values
from gittrack.core.model import Run
from gittrack.core.query import Field
from gittrack.repo.bisect import Bisection

_INDENT = "    "
_MOST_NOTES = 3


def render_bisection(
    found: Bisection, ways: Mapping[str, str], style: Style, width: int
) -> Iterator[str]:
    """The answer, or the commits among which it is; then what contradicts it."""
    if found.first_bad is not None:
        yield from _answer(found, ways, style, width)
    else:
        yield from _suspects(found, style, width)
    lines = list(_contradictions(found))
    if lines:
        yield ""
        yield from (t.cut(line, width) for line in lines)


def bisection_record(found: Bisection) -> dict[str, Any]:
    """What `--format json` says."""
    return {
        "first_bad": None if found.first_bad is None else commit_record(found.first_bad),
        "suspects": [commit_record(commit) for commit in found.suspects],
        "suspect_count": found.count,
        "before": None if found.before is None else run_record(found.before),
        "after": None if found.after is None else run_record(found.after),
        "values": {
            _label(item.field): {"before": item.before, "after": item.after}
            for item in found.values
        },
        "params": change_records(found.params),
        "files": file_records(found.files),
        "next": None if found.next is None else commit_record(found.next),
        "steps": found.steps,
        "skipped": dict(found.skipped),
        "changed": list(found.changed),
        "history": found.history,
        "known": found.known,
        "tried": found.tried,
        "gone_again": [
            {"bad": commit_record(bad), "good": commit_record(good)} for bad, good in found.back
        ],
        "unexplained": [commit_record(commit) for commit in found.apart],
        "shallow": found.is_shallow,
    }


def _answer(found: Bisection, ways: Mapping[str, str], style: Style, width: int) -> Iterator[str]:
    commit = found.first_bad
    assert commit is not None
    yield style(t.cut(f"{commit.short} is the first bad commit", width), "bold")
    yield ""
    yield from render_commit(commit, style, width)
    shown = [
        (_label(item.field), item.field.key, item.before, item.after)
        for item in found.values
        if item.before is not None or item.after is not None
    ]
    if shown:
        yield ""
        yield style("Values", "yellow")
        yield from render_values(shown, ways, style, width)
    before, after = ([(run, _at(run))] if run else [] for run in (found.before, found.after))
    yield from render_sides(before, after, style, width)
    if found.params:
        yield ""
        yield style("Params", "yellow")
        yield from render_changes(found.params, style, width)
    yield from render_files(found.files, style, width)
    yield ""
    commands = [f"git show {commit.short}"]
    if found.before is not None and found.after is not None:
        ids = f"{t.safe(found.before.short_id)} {t.safe(found.after.short_id)}"
        commands.insert(0, f"gittrack diff {ids}")
    yield from next_lines(*commands)


def _at(run: Run) -> str:
    return f"at {t.safe(run.commit or '')[:12]}"


def _suspects(found: Bisection, style: Style, width: int) -> Iterator[str]:
    runs = f"{found.known} of {t.plural(found.history, 'commit')} judged by runs"
    if found.next is None:
        head = f"any of {found.count} may be the first bad commit: the rest cannot be judged"
    else:
        head = f"the first bad commit is one of {found.count}"
    yield style(t.cut(f"{head}; {runs}", width), "bold")
    for commit in found.suspects:
        why = found.skipped.get(commit.id)
        said = "bad" if commit.id == found.bad.id else "not known"
        if why:
            said = f"skipped: {why}"
        elif commit.id in found.changed:
            said = "only runs of code that was not committed"
        room = width - len(_INDENT) - t.width_of(said) - 3
        yield f"{_INDENT}{t.cut(oneline(commit), room)}  ({t.safe(said)})"
    if found.count > len(found.suspects):
        yield f"{_INDENT}and {found.count - len(found.suspects)} more"


def _contradictions(found: Bisection) -> Iterator[str]:
    for bad, good in found.back[-_MOST_NOTES:]:
        yield f"note: it held at {oneline(bad)}"
        yield f"      too, and no longer at {oneline(good)}"
    if len(found.back) > _MOST_NOTES:
        yield f"      and {t.plural(len(found.back) - _MOST_NOTES, 'more time')} before that"
    for commit in found.apart[:_MOST_NOTES]:
        yield f"note: it holds at {oneline(commit)}"
        yield "      too, which no commit that is left can have caused"
    if len(found.apart) > _MOST_NOTES:
        yield f"      and at {len(found.apart) - _MOST_NOTES} more"
    if found.is_shallow:
        yield "note: the history is cut off here; git fetch --unshallow brings the rest"


def _label(field: Field) -> str:
    if field.kind == "attribute":
        return field.key
    name = f"{field.kind}s.{field.key}"
    return name if field.kind != "metric" or field.stat == "last" else f"{field.stat}({name})"
