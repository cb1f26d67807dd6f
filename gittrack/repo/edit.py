"""Change what may change of runs and experiments: stamped notes, in one commit.

A run that still goes has its notes in a journal, so an edit of it is one more journal file: it
is seen at once and sealed with the run. Everything else is committed to the store.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from gittrack import journal
from gittrack.core import codec, names
from gittrack.core.diff import same_value
from gittrack.core.model import Experiment, Run, Stamp, next_time
from gittrack.errors import JournalError, RunNotFoundError
from gittrack.repo.seal import check_writable, experiment_files, first_files
from gittrack.repo.view import Live, View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.write import Person, Tree, existing_paths, update


class Edit(NamedTuple):
    """A note of a run or an experiment that changes; None where there is none."""

    entity: str
    key: str  # name | description | deleted | tags.<key>
    old: Any
    new: Any


class Editor:
    """Writes notes; what is the same already is not written again.

    Args:
        machine: host name and boot id, for the journal of a run that still goes.
    """

    def __init__(
        self,
        git: Git,
        view: View,
        who: Person,
        machine: tuple[str, str],
        *,
        fsync: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.git = git
        self.view = view
        self._who = who
        self._machine = machine
        self._fsync = fsync
        self._now = now
        self._writer = os.urandom(4).hex()

    def edit_runs(
        self, runs: Iterable[Run], notes: Mapping[str, Any], title: str, *, dry_run: bool
    ) -> tuple[Edit, ...]:
        """Set notes of runs, all in one commit; a value of None takes a note away.

        Args:
            title: the commit's subject.
            dry_run: only tell what would change.
        Raises:
            GittrackError: the store, or the journal of a running run, cannot be written.
        """
        return self.edit_each({run.id: notes for run in runs}, title, dry_run=dry_run)

    def edit_each(
        self, notes: Mapping[str, Mapping[str, Any]], title: str, *, dry_run: bool
    ) -> tuple[Edit, ...]:
        """Set notes of runs, to each its own, by their ids; see `edit_runs`."""
        live = self.view.live()
        edits: list[Edit] = []
        stored: dict[str, tuple[dict[str, Any], int]] = {}
        for run_id, wanted in notes.items():
            record = self.view.record(run_id)
            known = dict(record.notes) if record is not None else {}
            changed = _changed(known, wanted)
            edits += [Edit(run_id, key, _value(known, key), changed[key]) for key in changed]
            if not changed or dry_run:
                continue
            clock = max((stamp.t for stamp in known.values()), default=0)
            if run_id in live:
                self._append(live[run_id], changed, clock)
            else:
                stored[layout.run_dir(run_id)] = (changed, clock)
        if stored:
            self._commit(stored, layout.RUN_FILE, title)
        return tuple(edits)

    def edit_experiment(
        self, experiment: Experiment, notes: Mapping[str, Any], title: str, *, dry_run: bool
    ) -> tuple[Edit, ...]:
        """Set notes of an experiment; see `edit_runs`."""
        known: dict[str, Any] = {f"tags.{key}": text for key, text in experiment.tags.items()}
        known |= {"name": experiment.name, "deleted": experiment.deleted or None}
        changed = {k: v for k, v in notes.items() if not same_value(known.get(k), v)}
        edits = tuple(Edit(experiment.id, k, known.get(k), v) for k, v in changed.items())
        if changed and not dry_run:
            first = experiment_files(experiment.id, experiment.name)
            folder = layout.experiment_dir(experiment.id)
            self._commit({folder: (changed, 0)}, layout.EXPERIMENT_FILE, title, first)
        return edits

    def create_experiment(
        self, experiment_id: str, name: str, notes: Mapping[str, Any], *, dry_run: bool
    ) -> tuple[Edit, ...]:
        """Write a new experiment, with its first notes."""
        edits = [Edit(experiment_id, key, None, value) for key, value in notes.items()]
        if not dry_run:
            first = experiment_files(experiment_id, name)
            folder = layout.experiment_dir(experiment_id)
            title = f"create experiment {names.one_line(name)}"
            self._commit({folder: (dict(notes), 0)}, layout.EXPERIMENT_FILE, title, first)
        return (Edit(experiment_id, "name", None, name), *edits)

    # -- write ---------------------------------------------------------------------------

    def _commit(
        self,
        changes: Mapping[str, tuple[Mapping[str, Any], int]],
        identity: str,
        title: str,
        first: Mapping[str, bytes] = {},
    ) -> None:
        """Commit notes, by the folder of what they belong to, over the clock they must pass.

        Args:
            identity: the file without which such a folder means nothing.
            first: files to write where they are missing.
        """

        def plan(tip: str | None) -> Tree | None:
            check_writable(self.git, tip)
            files: dict[str, bytes | None] = {}
            if tip is None:
                files.update(first_files())
            paths = [f"{folder}/{name}" for folder in changes for name in (_NOTES, identity)]
            there = existing_paths(self.git, tip, paths) if tip is not None else {}
            now_ms = int(self._now() * 1000)
            for folder, (notes, clock) in changes.items():
                stamps = codec.decode_stamps(there.get(f"{folder}/{_NOTES}", b""))
                t = next_time(now_ms, max([clock, *(stamp.t for stamp in stamps.values())]))
                stamps.update((key, Stamp(v, t, self._writer)) for key, v in notes.items())
                if stamps:
                    files[f"{folder}/{_NOTES}"] = codec.encode_stamps(stamps)
                if f"{folder}/{identity}" not in there:
                    files.update(first or self._from_elsewhere(folder, identity))
            return Tree(files, f"{title} [skip ci]\n")

        update(self.git, layout.STORE_REF, plan, self._who, fsync=self._fsync, now=self._now)

    def _from_elsewhere(self, folder: str, identity: str) -> dict[str, bytes]:
        """The write-once file of a folder that another ref of the store holds."""
        path = f"{folder}/{identity}"
        for tip in self.view.tips().values():
            found = existing_paths(self.git, tip, [path])
            if found:
                return found
        raise RunNotFoundError(
            f"{folder.rpartition('/')[2]} is no longer in the store",
            why="it was purged while it was edited",
            next="gittrack log",
        )

    def _append(self, live: Live, notes: Mapping[str, Any], clock: int) -> None:
        """A journal file of our own beside those of the run's writers."""
        folder = os.path.dirname(live.states[0].folder)
        owner = journal.own(folder, *self._machine)
        log = journal.RunJournal(folder, live.run_id, owner, resumes=True)
        header = {
            "format": journal.FORMAT,
            "run": live.run_id,
            "writer": owner.writer,
            "resumes": True,
            "joins": True,
        }
        log.begin([("J", header)])
        log.resume({}, clock)
        log.stamp(notes)
        if log.close():
            raise JournalError(
                f"run {live.run_id} was not changed",
                why=f"the disk of {folder} took no more",
                next="free some space, then try again",
            )


_NOTES = layout.NOTES_FILE


def _changed(known: Mapping[str, Stamp], notes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in notes.items() if not same_value(_value(known, key), value)}


def _value(known: Mapping[str, Stamp], key: str) -> Any:
    stamp = known.get(key)
    return None if stamp is None else stamp.v
