"""Commit runs that go on, as far as they are: when somebody syncs, or by a timer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from gittrack import journal
from gittrack.repo.seal import Sealing, seal
from gittrack.store.git import Git
from gittrack.store.write import Person


def is_ready(states: Sequence[journal.State]) -> bool:
    """Whether what is written once of a run is all there, so that it may be committed now."""
    has_facts = any(state.facts for state in states)
    # One that was resumed has them in the store; who joins must not be there before the first.
    is_older = all(state.resumes and not state.joins for state in states)
    return (has_facts or is_older) and all(state.is_settled for state in states)


def seal_going(
    git: Git, runs: Iterable[tuple[str, Sequence[journal.State]]], who: Person, *, fsync: bool
) -> int:
    """Commit what the journals of running runs say; they stay. How many runs there were.

    The points that are committed now are not committed again in the end: a segment is never
    rewritten. What was printed goes with the end.
    """
    ready = [(run_id, states) for run_id, states in runs if states and is_ready(states)]
    if not ready:
        return 0
    for _, states in ready:
        for folder in {state.folder for state in states}:
            # First: whoever seals the end must not take the run for one that the store lacks.
            journal.mark_partly_sealed(folder)
    sealings = [Sealing(run_id, states, goes_on=True) for run_id, states in ready]
    seal(git, sealings, who, fsync=fsync, now=time.time)
    return len(ready)
