"""The derived index: a SQLite file that can be deleted at any time.

It knows nothing of the store. Who refreshes it reads `tips`, finds what changed between them
and the tips now, and hands over values with `apply`, which does everything or, when another
process was faster, nothing. Runs and tips change in one transaction, so what the file says of
its tips is what its runs are of.

The file is a cache: when it is corrupt, of another version, locked for long, on a full disk or
in a folder that cannot be written, the index goes on with a new file or in memory, empty. A
read that finds this out raises `IndexLostError`: refresh again and ask again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gittrack.core.model import Experiment, Run
from gittrack.core.query import And, Expr, Order
from gittrack.errors import GittrackError
from gittrack.index import rows
from gittrack.index.rows import clean
from gittrack.index.search import Scope, compile_search

if TYPE_CHECKING:
    import sqlite3

#: Rows are gathered for this many runs before they are written.
_BATCH = 500

#: After this many losses of the file it is left alone.
_MAX_LOSSES = 2

_INSERT_RUN = f"INSERT INTO run VALUES ({', '.join('?' * (len(rows.COLUMNS) + 1))})"

# Connections that came with a fork. Closing one would roll back what the parent is writing.
_inherited: list[Any] = []


class IndexLostError(GittrackError):
    """The index broke while it was read and is empty now: refresh it, then ask again."""


class Index:
    """Runs and experiments, searchable; one process, any number of threads.

    `path` is the file, or None for an index in memory.
    """

    def __init__(self, path: str | None) -> None:
        import threading

        self.path = path
        self._lock = threading.RLock()
        self._losses = 0
        self._pid = os.getpid()
        self._db = self._connect()

    @classmethod
    def open(cls, path: str | None) -> Index:
        """The index in a file; in memory without a path or when the file is out of reach."""
        return cls(path)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._pid == os.getpid():
                self._db.close()

    # What is in it

    def __del__(self) -> None:
        # Python 3.13 warns of a connection that nobody closed; a fork's is its parent's.
        if getattr(self, "_pid", None) == os.getpid() and hasattr(self, "_db"):
            self._db.close()

    def tips(self) -> dict[str, str]:
        """The tips, ref -> object id, whose runs these are."""
        with self._reading() as db:
            return dict(db.execute("SELECT ref, oid FROM tip"))

    def search(
        self,
        expr: Expr | None = None,
        orders: Sequence[Order] = (),
        limit: int | None = None,
        experiments: Collection[str] | None = None,
        include_deleted: bool = False,
        exclude_ids: Collection[str] = (),
        commits: Sequence[str] | None = None,
    ) -> list[Run]:
        """What `sort_runs` makes of the runs that pass `predicate`, cut at `limit`.

        Args:
            experiments: ids; None for all.
            exclude_ids: runs to leave out, as if they were not there.
            commits: only runs recorded there, and without orders in that order of commits.
        """
        with self._reading() as db:
            hidden = () if include_deleted else _hidden_experiments(db)
            scope = Scope(experiments, include_deleted, exclude_ids, hidden, commits)
            number = _key_numbers(db)
            found: list[tuple[int, str]] = []
            for statement in compile_search(expr or And(()), orders, scope, limit, number):
                found = db.execute(statement.sql, statement.values).fetchall()
                if len(found) == limit:
                    break
            return _runs(db, found)

    def latest(self, n: int) -> list[Run]:
        """The `n` newest runs that are not deleted, newest first."""
        return self.search(limit=n)

    def get(self, ids: Iterable[str]) -> list[Run]:
        """The runs of these ids, in their order; unknown ones are left out."""
        with self._reading() as db:
            found = []
            for run_id in ids:
                sql = "SELECT n, experiment FROM run WHERE run_id = ?"
                found += db.execute(sql, (clean(run_id),)).fetchall()
            return _runs(db, found)

    def find_ids(self, prefix: str) -> list[str]:
        """Ids of runs, deleted ones too, whose id or short id starts so; sorted."""
        bounds = (clean(prefix), clean(prefix) + "\U0010ffff")
        with self._reading() as db:
            ids: set[str] = set()
            for column in ("run_id", "short_id"):
                sql = f"SELECT run_id FROM run WHERE {column} >= ? AND {column} < ?"
                ids.update(run_id for (run_id,) in db.execute(sql, bounds))
            return sorted(ids)

    def find_by_name(self, name: str) -> list[Run]:
        """Runs of this name, deleted ones too, newest first."""
        with self._reading() as db:
            sql = (
                "SELECT n, experiment FROM run WHERE run_name = ? ORDER BY start_time DESC, run_id"
            )
            return _runs(db, db.execute(sql, (clean(name),)).fetchall())

    def count(self, include_deleted: bool = False) -> int:
        """How many runs there are."""
        where = "" if include_deleted else " WHERE deleted = 0"
        with self._reading() as db:
            return int(db.execute(f"SELECT count(*) FROM run{where}").fetchone()[0])

    def experiments(self) -> list[tuple[Experiment, int, int | None]]:
        """Each experiment, how many runs it has that are not deleted, and the last one's start.

        By name, then id; one that is known from its runs alone is there too.
        """
        with self._reading() as db:
            known = {e.id: e for e in self._experiments(db)}
            # All from one index, not from the table: 10 ms, not 50, for 100,000 runs.
            sql = (
                "SELECT experiment_id, sum(deleted = 0),"
                " max(CASE WHEN deleted = 0 THEN start_time END) FROM run GROUP BY experiment_id"
            )
            # Without an experiment are only runs that are damaged.
            runs = {id or "": (count, last) for id, count, last in db.execute(sql)}
            for id in runs.keys() - known.keys():
                sql = "SELECT experiment FROM run WHERE experiment_id IS ? LIMIT 1"
                (name,) = db.execute(sql, (id or None,)).fetchone()
                known[id] = Experiment(id, name or id or "(none)")
        result = [(e, *runs.get(clean(e.id), (0, None))) for e in known.values()]
        return sorted(result, key=lambda row: (row[0].name, row[0].id))

    def hidden_experiments(self) -> list[str]:
        """Ids of the experiments that are deleted; their runs are hidden like deleted ones."""
        with self._reading() as db:
            return _hidden_experiments(db)

    def metric_keys(self) -> list[str]:
        """Keys of metrics that runs have, sorted."""
        return self._keys("metric")

    def param_keys(self) -> list[str]:
        """Keys of params that runs have, sorted."""
        return self._keys("param")

    def dataset_uses(self, exclude_ids: Collection[str] = ()) -> list[tuple[str, str, str, int]]:
        """Name and digest of each dataset, with the run that used it and that one's start in ms.

        Of runs that are not deleted, and none of `exclude_ids`.
        """
        with self._reading() as db:
            hidden = set(_hidden_experiments(db))
            sql = (
                "SELECT DISTINCT d.name, d.digest, r.run_id, r.start_time, r.experiment_id"
                " FROM dataset d JOIN run r ON r.n = d.run WHERE r.deleted = 0"
            )
            return [
                (name, digest, run_id, start)
                for name, digest, run_id, start, experiment in db.execute(sql)
                if experiment not in hidden and run_id not in exclude_ids
            ]

    def bases(self) -> list[str]:
        """The commits that the sources of runs build on."""
        with self._reading() as db:
            # From one base to the next in the index of them: DISTINCT would read every run.
            sql = (
                "WITH RECURSIVE t(base) AS (SELECT min(base) FROM run UNION ALL SELECT"
                " (SELECT min(base) FROM run WHERE base > t.base) FROM t WHERE t.base IS NOT NULL)"
                " SELECT base FROM t WHERE base IS NOT NULL"
            )
            return [base for (base,) in db.execute(sql)]

    def commits_with(self, metric: str, experiment_id: str | None = None) -> dict[str, int]:
        """The commits at which runs with a metric were recorded, and how many runs, each."""
        with self._reading() as db:
            number = _key_numbers(db)("metric", metric)
            hidden = _hidden_experiments(db)
            sql = (
                'SELECT r."commit", count(*) FROM metric m JOIN run r ON r.n = m.run'
                " WHERE m.key = ?1 AND r.deleted = 0 AND (?2 IS NULL OR r.experiment_id = ?2)"
                " AND r.experiment_id NOT IN (SELECT value FROM json_each(?3))"
                ' AND r."commit" IS NOT NULL GROUP BY r."commit"'
            )
            values = (number, experiment_id, json.dumps(hidden))
            return dict(db.execute(sql, values).fetchall())

    def _keys(self, kind: str) -> list[str]:
        sql = (
            f"SELECT text FROM key WHERE kind = ?"
            f" AND EXISTS (SELECT 1 FROM {kind} WHERE {kind}.key = key.n) ORDER BY text"
        )
        with self._reading() as db:
            return [text for (text,) in db.execute(sql, (kind,))]

    @staticmethod
    def _experiments(db: sqlite3.Connection) -> list[Experiment]:
        return [
            rows.decode_experiment(body) for (body,) in db.execute("SELECT body FROM experiment")
        ]

    # Changing it

    def apply(
        self,
        expected_tips: Mapping[str, str],
        new_tips: Mapping[str, str],
        upserts: Iterable[Run] = (),
        removed: Iterable[str] = (),
        experiments: Iterable[Experiment] = (),
    ) -> bool:
        """Move from some tips to others: all of it, or nothing and False.

        False: the index is no longer at `expected_tips` (another process refreshed it, or its
        file was lost): read `tips` and work out the difference again. Otherwise `removed` runs
        go, `experiments` and `upserts` come or replace what has their id. An experiment's name
        there overrides the name in its runs, those already indexed too.
        """
        try:
            with self._transaction() as db:
                if dict(db.execute("SELECT ref, oid FROM tip")) != dict(expected_tips):
                    raise _TipsMovedError
                writer = _Writer(db)
                writer.rename(experiments)
                for run_id in removed:
                    writer.remove(run_id)
                for run in upserts:
                    writer.put(run)
                writer.flush()
                db.execute("DELETE FROM tip")
                db.executemany("INSERT INTO tip VALUES (?, ?)", list(new_tips.items()))
        except (_TipsMovedError, IndexLostError):
            return False
        return True

    def reset(self) -> None:
        """Empty it: no runs, no experiments, no tips."""
        from gittrack.index.schema import create

        with contextlib.suppress(IndexLostError), self._transaction() as db:
            create(db)

    # The file

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """One snapshot for all statements inside."""
        with self._transaction("DEFERRED") as db:
            yield db

    @contextlib.contextmanager
    def _transaction(self, how: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        import sqlite3

        if self._pid != os.getpid():
            self._leave_parent()
        with self._lock:
            db = self._db
            if db.in_transaction:  # asked by what `apply` reads from, of its own snapshot
                yield db
                return
            try:
                db.execute(f"BEGIN {how}")
                try:
                    yield db
                except BaseException:
                    with contextlib.suppress(sqlite3.Error):  # SQLite may have done so itself
                        db.execute("ROLLBACK")
                    raise
                db.execute("COMMIT")
            except sqlite3.DatabaseError as error:
                if self.path is None or not _is_the_files(error, db):
                    raise
                self._lose(error)
                raise IndexLostError("the index had to be rebuilt", why=str(error)) from error

    def _leave_parent(self) -> None:
        """After a fork: a connection and a lock of our own."""
        import threading

        self._pid = os.getpid()
        self._lock = threading.RLock()
        if self.path is not None:
            _inherited.append(self._db)
            self._db = self._connect()

    def _connect(self) -> sqlite3.Connection:
        import sqlite3

        from gittrack.index import schema

        while self.path is not None:
            try:
                return schema.connect(self.path)
            except sqlite3.DatabaseError as error:
                self._forget(error)
        return schema.connect(None)

    def _lose(self, error: sqlite3.DatabaseError) -> None:
        import sqlite3

        with contextlib.suppress(sqlite3.Error):
            self._db.close()
        self._forget(error)
        self._db = self._connect()

    def _forget(self, error: sqlite3.DatabaseError) -> None:
        """Make ready for the next try: without the file, or without a path."""
        import sqlite3

        from gittrack.index import schema

        assert self.path is not None
        self._losses += 1
        code = (getattr(error, "sqlite_errorcode", None) or sqlite3.SQLITE_CORRUPT) & 0xFF
        if self._losses <= _MAX_LOSSES:
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT):
                schema.remove(self.path)
                return
            if code == sqlite3.SQLITE_ERROR:  # another version changed the tables under us
                return
            folder = os.path.dirname(self.path)
            if code == sqlite3.SQLITE_CANTOPEN and folder and not os.path.isdir(folder):
                with contextlib.suppress(OSError):
                    os.makedirs(folder)
                    return
        self.path = None


def _hidden_experiments(db: sqlite3.Connection) -> list[str]:
    return [id for (id,) in db.execute("SELECT id FROM experiment WHERE deleted ORDER BY id")]


class _TipsMovedError(Exception):
    """Leaves the transaction of `apply`, which then has changed nothing."""


class _Keys(dict[str, int]):
    """Numbers of keys of one kind; a key that is asked for gets one."""

    def __init__(self, db: sqlite3.Connection, kind: str) -> None:
        super().__init__(db.execute("SELECT text, n FROM key WHERE kind = ?", (kind,)))
        self.db = db
        self.kind = kind

    def __missing__(self, text: str) -> int:
        sql = "INSERT INTO key (kind, text) VALUES (?, ?)"
        number = self[text] = int(self.db.execute(sql, (self.kind, text)).lastrowid or 0)
        return number


class _Writer:
    """Puts runs into the tables, many at a time, within a transaction of the caller."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        self.keys = {kind: _Keys(db, kind) for kind in rows.KEYED}
        self.names = dict(db.execute("SELECT id, name FROM experiment"))
        self.next = int(db.execute("SELECT coalesce(max(n), 0) FROM run").fetchone()[0]) + 1
        #: Runs with smaller numbers were there before and may be replaced.
        self.first = self.next
        self.put_ids: set[str] = set()
        self.runs: list[tuple[Any, ...]] = []
        self.bodies: list[tuple[int, str]] = []
        self.keyed: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in rows.KEYED}
        self.datasets: list[tuple[Any, ...]] = []

    def rename(self, experiments: Iterable[Experiment]) -> None:
        for experiment in experiments:
            id, name = clean(experiment.id), clean(experiment.name)
            row = (id, name, int(experiment.deleted), rows.encode_body(experiment))
            self.db.execute("INSERT OR REPLACE INTO experiment VALUES (?, ?, ?, ?)", row)
            if self.names.get(id) != name:
                self.names[id] = name
                sql = "UPDATE run SET experiment = ? WHERE experiment_id = ?"
                self.db.execute(sql, (name, id))

    def put(self, run: Run) -> None:
        run = run._replace(experiment=self.names.get(run.experiment_id, run.experiment))
        n = None
        if self.first > 1 or run.id in self.put_ids:
            n = self.remove(run.id)
        if n is None:
            n = self.next
            self.next += 1
        self.put_ids.add(run.id)
        body = rows.encode_body(run)
        run = rows.cleaned(run, body)
        self.runs.append(rows.run_row(run, n))
        self.bodies.append((n, body))
        for kind, encode in rows.KEYED.items():
            self.keyed[kind] += encode(run, n, self.keys[kind])
        self.datasets += rows.dataset_rows(run, n)
        if len(self.runs) >= _BATCH:
            self.flush()

    def remove(self, run_id: str) -> int | None:
        """Take a run out; gives the number it had."""
        if run_id in self.put_ids:
            self.flush()
        sql = "SELECT n, experiment, json FROM run JOIN body USING (n) WHERE run_id = ?"
        found = self.db.execute(sql, (clean(run_id),)).fetchone()
        if found is None:
            return None
        n, experiment, body = found
        run = rows.cleaned(_decoded(body, experiment), body)
        for kind, encode in rows.KEYED.items():
            pairs = [row[:2] for row in encode(run, n, self.keys[kind])]
            self.db.executemany(f"DELETE FROM {kind} WHERE key = ? AND run = ?", pairs)
        self.db.execute("DELETE FROM dataset WHERE run = ?", (n,))
        self.db.execute("DELETE FROM body WHERE n = ?", (n,))
        self.db.execute("DELETE FROM run WHERE n = ?", (n,))
        return int(n)

    def flush(self) -> None:
        many = self.db.executemany
        many(_INSERT_RUN, self.runs)
        many("INSERT INTO body VALUES (?, ?)", self.bodies)
        many("INSERT INTO dataset VALUES (?, ?, ?, ?, ?)", self.datasets)
        self.runs, self.bodies, self.datasets = [], [], []
        for kind, keyed in self.keyed.items():
            if keyed:
                keyed.sort()  # by key and run, as the table is: neighbours are written together
                many(f"INSERT INTO {kind} VALUES ({', '.join('?' * len(keyed[0]))})", keyed)
                self.keyed[kind] = []


def _key_numbers(db: sqlite3.Connection) -> Callable[[str, str], int | None]:
    def number(kind: str, text: str) -> int | None:
        sql = "SELECT n FROM key WHERE kind = ? AND text = ?"
        row = db.execute(sql, (kind, clean(text))).fetchone()
        return None if row is None else int(row[0])

    return number


def _runs(db: sqlite3.Connection, found: Iterable[tuple[int, str]]) -> list[Run]:
    result = []
    for n, experiment in found:
        row = db.execute("SELECT json FROM body WHERE n = ?", (n,)).fetchone()
        result.append(_decoded(None if row is None else row[0], experiment))
    return result


def _decoded(body: str | None, experiment: str | None) -> Run:
    import sqlite3

    try:
        return rows.decode_run(body or "", experiment or "")
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # Whole pages, wrong contents: what a crash of the machine leaves of unsynced writes.
        raise sqlite3.DatabaseError("a run in the index cannot be read") from error


def _is_the_files(error: sqlite3.DatabaseError, db: sqlite3.Connection) -> bool:
    """Whether an error tells of the file, not of a mistake of ours."""
    import sqlite3

    from gittrack.index import schema

    if isinstance(error, (sqlite3.ProgrammingError, sqlite3.DataError)):
        return False
    if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_ERROR:
        return True
    try:
        return schema.version(db) != schema.VERSION
    except sqlite3.DatabaseError:
        return True
