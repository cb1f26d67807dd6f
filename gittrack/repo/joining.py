"""What a process must know of a running run to write to it too; read from its journals alone."""

from __future__ import annotations

from gittrack import journal
from gittrack.core import codec, names
from gittrack.core.model import DEFAULT_EXPERIMENT, MetricSummary, short_id
from gittrack.repo.values import Older


def read_older(journal_dir: str, name: str) -> Older | None:
    """A run that goes on here; None if there is none.

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
    metrics: dict[str, MetricSummary] = {}
    for state in states:
        metrics = codec.merge_summaries(metrics, codec.summarise_points(state.by_key()))
    experiment = first.header.get("experiment") or [names.DEFAULT_EXPERIMENT_ID, DEFAULT_EXPERIMENT]
    # Named by another writer, such as a rank that joined earlier.
    named = "name" in notes and notes["name"].by != first.writer
    return Older(
        run_id,
        str(notes["name"].v) if "name" in notes else "",
        (str(experiment[0]), str(experiment[1])),
        codec.parse_time(str(first.facts["start"])),
        str(first.facts.get("author", "")),
        params,
        {key: item.last_step + 1 for key, item in metrics.items()},
        {key: item.last for key, item in metrics.items()},
        max((stamp.t for stamp in notes.values()), default=0),
        is_unnamed=bool(first.header.get("unnamed")) and not named,
    )
