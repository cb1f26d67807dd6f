"""The reading side of a repository: the index over the store, and the live journals on top."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gittrack import journal
from gittrack.config import Config
from gittrack.core import codec, names
from gittrack.core.committed import is_of_commit
from gittrack.core.model import (
    DEFAULT_EXPERIMENT,
    KILLED,
    LOST,
    RUNNING,
    Experiment,
    MetricSummary,
    Run,
)
from gittrack.core.record import UNREADABLE, Record, join_records, to_run
from gittrack.errors import CorruptStoreError
from gittrack.repo import stored
from gittrack.repo.alive import is_held, judge
from gittrack.repo.seal import check_readable, to_artifact
from gittrack.repo.ties import untie
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.objects import FSCK, CatFileReader, Reader, bulk_reader, tree_of

if TYPE_CHECKING:
    from gittrack.core.query import Expr, Order
    from gittrack.index import Index
    from gittrack.repo.tips import Tips


_T = TypeVar("_T")


class _Scope(NamedTuple):
    """Among which runs a search looks."""

    experiments: set[str] | None
    include_deleted: bool
    commits: Sequence[str] | None


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Values without cycles are made by the million here; looking for cycles costs a tenth."""
    import gc

    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Live:
    """One run that has journals here: what they say, and whether it still goes."""

    def __init__(self, run_id: str, states: Sequence[journal.State], status: str | None) -> None:
        self.run_id = run_id
        self.states = states
        self.status = status

    @property
    def is_in_store(self) -> bool:
        """Whether the store may hold something of the run, perhaps what journals do not."""
        is_partly = any(journal.is_partly_sealed(state.folder) for state in self.states)
        return is_partly or all(state.resumes for state in self.states)

    @property
    def writers(self) -> set[str]:
        """Those whose points are all in the journals."""
        return {state.writer for state in self.states}

    def record(self) -> Record:
        """What the journals say."""
        record = Record()
        for state in self.states:
            record = join_records(record, _record_of(state))
        return record


class View:
    """Reads the runs of one repository.

    Journals are listed before refs are read, and taken away only after the ref has moved, so
    a run that is sealed meanwhile is seen in one of the two.

    Args:
        moved: told when the store's tip is another one than when the index was last refreshed.
    """

    def __init__(
        self,
        git: Git,
        journal_dirs: Sequence[str],
        config: Config,
        boot: str,
        tips: Tips,
        moved: Callable[[str, str | None], None],
        warn: Callable[[str], None],
    ) -> None:
        self._git = git
        self._warn = warn
        self._dirs = journal_dirs
        self._config = config
        self._boot = boot
        self._index: Index | None = None
        self.tips = tips.all
        self._moved = moved

    # -- index ---------------------------------------------------------------------------

    def index(self) -> Index:
        """The index, brought up to the tips as they are now."""
        from gittrack.index import Index

        if self._index is None:
            self._index = Index.open(self._index_path())
        for _ in range(10):
            tips = self.tips()
            known = self._index.tips()
            if known == tips or self._refresh(self._index, known, tips):
                return self._index
        self._index.reset()
        self._refresh(self._index, {}, self.tips())
        return self._index

    def ask(self, question: Callable[[Index], _T]) -> _T:
        """What the index answers, once it is up to date."""
        from gittrack.index import IndexLostError

        for _ in range(2):
            try:
                return question(self.index())
            except IndexLostError:
                # Its file broke while it was read; it is empty now, so build it again.
                continue
        return question(self.index())

    @no_garbage_collection()
    def _refresh(self, index: Index, known: Mapping[str, str], tips: Mapping[str, str]) -> bool:
        before, now = known.get(layout.STORE_REF), tips.get(layout.STORE_REF)
        if before is not None and before != now:
            self._moved(before, now)
        for tip in tips.values():
            check_readable(self._git, tip)
        # A commit that git has dropped cannot be compared with: build anew.
        cat_file = CatFileReader(self._git)
        if any(tree_of(cat_file, tip) is None for tip in known.values()):
            index.reset()
            known = {}
        reader: Reader = cat_file if known else bulk_reader(self._git)
        try:
            changes = stored.find_changes(reader, known, tips)
        except CorruptStoreError:
            if not known:
                raise
            index.reset()
            known, reader = {}, bulk_reader(self._git)
            changes = stored.find_changes(reader, known, tips)
        if changes.lost and index.path is not None:
            self._forget(changes.lost)
            return False
        experiments = list(stored.read_experiments(reader, changes.experiments))
        named = {item.id: item.name for item, _, _ in index.experiments()}
        named.update((item.id, item.name) for item in experiments)
        runs = stored.read_runs(reader, changes.runs, lambda id: named.get(id, id))
        return index.apply(known, tips, runs, changes.gone, experiments)

    def _forget(self, lost: Sequence[str]) -> None:
        """Go on with an index in memory: what is lost now must be found when it is back."""
        from gittrack.index import Index

        for folder in lost:
            self._warn(f"{folder} of the store cannot be read and is not shown; next: {FSCK}")
        self.close()
        self._index = Index.open(None)

    def _index_path(self) -> str:
        if self._config.index_dir:
            from hashlib import sha256

            digest = sha256(os.fsencode(self._git.common_dir)).hexdigest()[:16]
            return os.path.join(self._config.index_dir, f"{digest}.sqlite")
        return os.path.join(self._git.common_dir, "gittrack", "index.sqlite")

    def close(self) -> None:
        """Let go of the index file."""
        if self._index is not None:
            self._index.close()
            self._index = None

    # -- live runs -----------------------------------------------------------------------

    def live(self) -> dict[str, Live]:
        """The runs that have journals here and are not in the store, or not all of it."""
        found: dict[str, Live] = {}
        judged: dict[tuple[str, str], str] = {}
        for folder in self._dirs:
            for run_id in journal.list_runs(folder):
                if not names.is_run_id(run_id):
                    continue
                states = journal.read_run(folder, run_id)
                if not states:
                    continue
                old = found.get(run_id)
                if old is not None:
                    states = [*old.states, *states]
                found[run_id] = Live(run_id, states, self._status(folder, states, judged))
        return found

    def is_running(self, run_id: str) -> bool:
        """Whether the journals of one run say that it goes on."""
        found = ((folder, journal.read_run(folder, run_id)) for folder in self._dirs)
        return any(
            self._status(folder, states, {}) == RUNNING for folder, states in found if states
        )

    def _status(
        self,
        folder: str,
        states: Sequence[journal.State],
        judged: dict[tuple[str, str], str],
    ) -> str | None:
        status: str | None = None
        if any(state.is_open for state in states):
            if any(state.end and not state.joins for state in states):
                return None
            return RUNNING if is_held(states, self._config.journal_keep_days, time()) else LOST
        for state in states:
            if state.end or state.joins:
                continue
            key = (folder, state.owner)
            if key not in judged:
                judgement = judge(folder, state.owner, self._config, self._boot)
                judgement.release()
                judged[key] = judgement.state
            if judged[key] == journal.ALIVE:
                return RUNNING
            status = LOST if judged[key] == journal.QUIET else (status or KILLED)
        return status

    def live_run(self, live: Live, tips: Mapping[str, str] | None = None) -> Run:
        """The run that journals, and for a resumed one the store, describe."""
        known = {
            str(state.header["experiment"][0]): str(state.header["experiment"][1])
            for state in live.states
            if isinstance(state.header.get("experiment"), list)
        }

        def run_of(record: Record) -> Run:
            return to_run(
                live.run_id,
                record,
                lambda id: known.get(id) or self.experiment_name(id),
                live_status=live.status,
            )

        record = live.record()
        if not live.is_in_store:
            return run_of(record)
        tips = self.tips() if tips is None else tips
        reader = CatFileReader(self._git)
        try:
            before = stored.read_record(reader, tips, live.run_id, without=live.writers)
            return run_of(record if before is None else join_records(before, record))
        except UNREADABLE as error:
            return stored.with_damage(run_of(record), error)

    def experiment_name(self, experiment_id: str) -> str:
        """The name that an experiment has now."""
        if experiment_id == names.DEFAULT_EXPERIMENT_ID:
            return DEFAULT_EXPERIMENT
        for item, _, _ in self.ask(lambda index: index.experiments()):
            if item.id == experiment_id:
                return item.name
        return experiment_id

    # -- runs ----------------------------------------------------------------------------

    def search(
        self,
        expr: Expr | None,
        orders: Sequence[Order],
        limit: int | None,
        *,
        experiments: set[str] | None = None,
        include_deleted: bool = False,
        commits: Sequence[str] | None = None,
    ) -> list[Run]:
        """The runs that satisfy an expression, in order, newest first by default.

        Args:
            commits: only runs that belong there, by default in that order of commits.
        """
        scope = _Scope(experiments, include_deleted, commits)
        found = self._search(expr, orders, limit, scope)
        if orders or commits is not None:
            return found
        if limit is not None and len(found) == limit and found and is_of_commit(found[-1]):
            # Which of those of the last second belong among them, git will say.
            from gittrack.core.query import And, Compare, Field

            moment = Compare(Field("attribute", "start_time"), "=", found[-1].start_ms)
            both = And((moment,) if expr is None else (moment, expr))
            tied = self._search(both, (), None, scope)
            found = [run for run in found if run.start_ms != found[-1].start_ms] + tied
        return untie(self._git, found)[:limit]

    def _search(
        self, expr: Expr | None, orders: Sequence[Order], limit: int | None, scope: _Scope
    ) -> list[Run]:
        """The same, with runs of the same moment in the order of their ids."""
        experiments, include_deleted, commits = scope
        live = self.live()
        runs = self.ask(
            lambda index: index.search(
                expr,
                orders,
                limit,
                experiments=experiments,
                include_deleted=include_deleted,
                exclude_ids=live.keys(),
                commits=commits,
            )
        )
        if not live:
            return runs
        from gittrack.core import query

        ranks = None if commits is None else {commit: at for at, commit in enumerate(commits)}
        hidden = () if include_deleted else self.ask(lambda index: index.hidden_experiments())
        for item in live.values():
            run = self.live_run(item)
            if (
                (include_deleted or not (run.deleted or run.experiment_id in hidden))
                and (experiments is None or run.experiment_id in experiments)
                and (ranks is None or any(commit in ranks for commit in run.commits))
                and (expr is None or query.predicate(expr, run))
            ):
                runs.append(run)
        runs = query.sort_runs(runs, orders)
        if ranks is not None and not orders:
            last = len(ranks)
            runs.sort(key=lambda run: min(ranks.get(commit, last) for commit in run.commits))
        return runs if limit is None else runs[:limit]

    def find_by_id(self, run_id: str) -> Run | None:
        """The run of exactly that id."""
        live = self.live().get(run_id)
        if live is not None:
            return self.live_run(live)
        found = self.ask(lambda index: index.get([run_id]))
        return found[0] if found else None

    def experiments(self) -> list[tuple[Experiment, int, int | None]]:
        """All experiments with the number of their runs and the start of the last, in ms."""
        live = self.live()
        stored_rows = self.ask(lambda index: index.experiments())
        rows = {item.id: (item, count, last) for item, count, last in stored_rows}
        default = Experiment(names.DEFAULT_EXPERIMENT_ID, DEFAULT_EXPERIMENT)
        rows.setdefault(default.id, (default, 0, None))
        known_runs = self.ask(lambda index: index.get(list(live))) if live else []
        stored_ids = {run.id for run in known_runs}
        for item in live.values():
            if item.run_id in stored_ids:
                continue
            run = self.live_run(item)
            fresh = (Experiment(run.experiment_id, run.experiment), 0, None)
            known, count, last = rows.get(run.experiment_id, fresh)
            rows[known.id] = (known, count + 1, max(last or 0, run.start_ms))
        return sorted(rows.values(), key=lambda row: (-(row[2] or 0), row[0].name))

    def find_experiment(self, name: str) -> Experiment | None:
        """The experiment that has this name now."""
        for item, _, _ in self.experiments():
            if item.name == name:
                return item
        return None

    def record(self, run_id: str) -> Record | None:
        """Everything that is written about a run."""
        live = self.live().get(run_id)
        record = None if live is None else live.record()
        if live is None or live.is_in_store:
            reader = CatFileReader(self._git)
            without = live.writers if live is not None else ()
            before = stored.read_record(reader, self.tips(), run_id, without=without)
            if before is not None:
                record = before if record is None else join_records(before, record)
        return record


def _record_of(state: journal.State) -> Record:
    summary: dict[str, MetricSummary] = codec.summarise_points(state.by_key())
    source: dict[str, Any] = state.source.get("lines", {}) if state.source else {}
    return Record(
        facts=state.facts,
        params=state.params,
        notes=state.notes,
        metrics=summary,
        artifacts={key: to_artifact(item) for key, item in state.artifacts.items()},
        source=source,
        inputs=state.inputs,
    )
