"""Take over the journals of processes that died: their runs become killed ones, or what they
had already said of themselves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from gittrack import journal
from gittrack.config import Config
from gittrack.core import names
from gittrack.core.model import KILLED
from gittrack.repo.alive import is_held, judge
from gittrack.repo.seal import Sealing, seal
from gittrack.store.git import Git
from gittrack.store.packs import join_small_packs
from gittrack.store.write import Person


class Recovered(NamedTuple):
    """A run that was taken from a dead process's journal into the store."""

    run_id: str
    status: str
    points: int


class Waiting(NamedTuple):
    """A journal that was left alone, and why."""

    run_id: str
    writer: str
    why: str


def recover(
    git: Git,
    journal_dir: str,
    config: Config,
    boot: str,
    who: Person,
    *,
    force: bool = False,
    dry_run: bool = False,
    now: Callable[[], float] = time.time,
) -> tuple[list[Recovered], list[Waiting]]:
    """Seal what dead processes left in a journal folder.

    A dead writer's `.alive` file stays locked by us until its journals are gone, so two
    processes never recover the same ones.

    Args:
        force: also take journals of other machines that have been quiet for a while.
        dry_run: only tell what would be taken.
    Raises:
        GittrackError: the store cannot be written, or what it has of a run is damaged; those
            journals stay.
    """
    dead: dict[str, journal.Judgement] = {}
    alive: dict[str, str] = {}
    try:
        taken: list[journal.State] = []
        waiting: list[Waiting] = []
        #: Runs whose first writer still lives: run.yaml is its to write.
        alive_facts: set[str] = set()
        for run_id in journal.list_runs(journal_dir):
            if not names.is_run_id(run_id):
                continue
            states = journal.read_run(journal_dir, run_id)
            if is_held(states, config.journal_keep_days, now()) and not force:
                continue
            for state in states:
                writer = state.owner
                if writer not in dead and writer not in alive:
                    judgement = judge(journal_dir, writer, config, boot, force=force)
                    if judgement.state == journal.DEAD:
                        dead[writer] = judgement
                    else:
                        alive[writer] = judgement.state
                if writer in dead:
                    # Read again: it may have grown before its writer died.
                    again = journal.read_journal(state.folder, run_id, state.writer)
                    if again is not None:
                        taken.append(again)
                    continue
                if state.facts:
                    alive_facts.add(run_id)
                if not state.end:
                    waiting.append(Waiting(run_id, writer, alive[writer]))
        taken = _without_orphans(taken, alive_facts)
        by_run = _by_run(taken)
        recovered = [_recovered(run_id, states) for run_id, states in by_run.items()]
        if dry_run:
            return recovered, waiting
        if by_run:
            _seal(git, by_run, config, who, now)
        _remove_empty(journal_dir, config, boot, dead)
        _tidy(journal_dir, config, boot, dead)
        return recovered, waiting
    finally:
        for judgement in dead.values():
            judgement.release()


def _without_orphans(taken: list[journal.State], unsealed: set[str]) -> list[journal.State]:
    """Leave what dead processes added to a run that is not in the store yet.

    Without its run.yaml the store would hold a damaged run until the first writer ends.
    """
    first = {state.run_id for state in taken if state.facts}
    return [s for s in taken if s.run_id in first or s.run_id not in unsealed]


def _by_run(taken: list[journal.State]) -> dict[str, list[journal.State]]:
    """The journals of each run, with an end where their writer wrote none."""
    by_run: dict[str, list[journal.State]] = {}
    for state in taken:
        if not state.end:
            journal.mark_killed(state)
        by_run.setdefault(state.run_id, []).append(state)
    return by_run


def _recovered(run_id: str, states: list[journal.State]) -> Recovered:
    notes = states[-1].notes
    points = sum(len(points) for state in states for points in state.points.values())
    return Recovered(run_id, str(notes["status"].v) if "status" in notes else KILLED, points)


def _seal(
    git: Git,
    by_run: dict[str, list[journal.State]],
    config: Config,
    who: Person,
    now: Callable[[], float],
) -> None:
    runs = [Sealing(run_id, states) for run_id, states in by_run.items()]
    aside = seal(git, runs, who, fsync=config.seal_fsync, now=now)
    for run_id, states in by_run.items():
        for state in states if run_id not in aside else ():
            journal.remove(state)
    join_small_packs(git, config.store_max_packs)
    for error in aside.values():
        raise error


def _remove_empty(
    journal_dir: str, config: Config, boot: str, dead: dict[str, journal.Judgement]
) -> None:
    """Take away the journals of processes that died before they wrote the first record."""
    for run_id in filter(names.is_run_id, journal.list_runs(journal_dir)):
        for state in journal.list_empty(journal_dir, run_id):
            if state.owner not in dead:
                judgement = judge(journal_dir, state.owner, config, boot)
                if judgement.state != journal.DEAD:
                    continue
                dead[state.owner] = judgement
            # Its writer may have written to it, and died, since we looked.
            if journal.read_journal(state.folder, run_id, state.writer) is None:
                journal.remove(state)


def _tidy(journal_dir: str, config: Config, boot: str, dead: dict[str, journal.Judgement]) -> None:
    """Take away the `.alive` files of dead processes that have no journal left."""
    in_use = {
        state.owner
        for run_id in journal.list_runs(journal_dir)
        for state in journal.read_run(journal_dir, run_id)
    }
    for writer in journal.list_owners(journal_dir):
        if writer in in_use:
            continue
        if writer in dead:
            journal.remove_owner(journal_dir, writer)
            continue
        judgement = judge(journal_dir, writer, config, boot)
        if judgement.state == journal.DEAD:
            journal.remove_owner(journal_dir, writer)
            judgement.release()
