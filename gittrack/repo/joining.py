"""What a process must know of a running run to write to it too; read from its journals alone."""

from __future__ import annotations

from gittrack import journal
from gittrack.core import codec, names
from gittrack.core.model import DEFAULT_EXPERIMENT, short_id
from gittrack.errors import UsageError
from gittrack.repo.recorder import Older


def read_older(journal_dir: str, name: str) -> tuple[Older, bool] | None:
    """A run that goes on here, and whether nobody has named it yet; None if there is none.

    Reading the journals of one run takes a millisecond, asking the store for it fifty: and
    every process of a job and every command of a script asks.

    Args:
        name: the run's id, or its hex part.
    """
    if names.is_run_id(name) and name in (runs := journal.list_runs(journal_dir)):
        run_id = name
    else:
        runs = journal.list_runs(journal_dir)
        found = [run for run in runs if names.is_run_id(run) and short_id(run) == name]
        if len(found) != 1:
            return None
        run_id = found[0]
    states = journal.read_run(journal_dir, run_id)
    first = next((state for state in states if state.facts), None)
    if first is None:
        return None
    notes = {key: stamp for state in states for key, stamp in sorted(state.notes.items())}
    for state in states:
        for key, stamp in state.notes.items():
            if codec.stamp_order(stamp) > codec.stamp_order(notes[key]):
                notes[key] = stamp
    params = {key: value for state in states for key, value in state.params.items()}
    next_steps: dict[str, int] = {}
    for state in states:
        for key, points in state.by_key().items():
            highest = max(step for step, _, _ in points) + 1
            next_steps[key] = max(highest, next_steps.get(key, 0))
    experiment = first.header.get("experiment") or [names.DEFAULT_EXPERIMENT_ID, DEFAULT_EXPERIMENT]
    older = Older(
        run_id,
        str(notes["name"].v) if "name" in notes else "",
        (str(experiment[0]), str(experiment[1])),
        codec.parse_time(str(first.facts["start"])),
        str(first.facts.get("author", "")),
        params,
        next_steps,
        max((stamp.t for stamp in notes.values()), default=0),
    )
    # Named by another writer, such as a rank that joined earlier.
    named = "name" in notes and notes["name"].by != first.writer
    return older, bool(first.header.get("unnamed")) and not named


def check_open(journal_dir: str, older: Older) -> None:
    """See that a run goes on without a process, so that anybody may end it.

    Raises:
        UsageError: a process ends it, or it has ended.
    """
    if any(state.is_open for state in journal.read_run(journal_dir, older.run_id)):
        return
    raise UsageError(
        f"run '{older.name}' is not one that `gittrack start` began",
        why="the program that records it ends it, or has ended it already",
        next="gittrack status",
    )
