"""The tables of the index, and how its file is opened, emptied and thrown away."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from gittrack.core.query import DATASET_FIELDS, like
from gittrack.index.rows import COLUMNS

if TYPE_CHECKING:
    import sqlite3

# History: 1 is the first; 2 knows which experiments are deleted, 3 bases and trees, 7 datasets,
# links to further commits, and where runs were recorded. A file of any other version, or of another
# program, is emptied: the index is derived. The upper half of the number says that the file is
# ours.
VERSION = 0x67740000 + 7

#: How long another process may keep us waiting before we go on without the file.
BUSY_S = 10.0

_BY_KEY = "PRIMARY KEY (key, run)) WITHOUT ROWID"
_TEXTS = ", ".join(DATASET_FIELDS)
_RUN_COLUMNS = ", ".join(f'"{name}"' for name in COLUMNS)

# Columns of values have no type, so SQLite converts nothing: 1, 1.0 and '1' stay what they are.
# Keys and runs have small numbers, and the rows of a key lie together, so a search for one key
# reads neighbours. (These numbers need their type: without it a join does not use the index,
# 87 ms where 1 ms will do.) In `metric` and `param` a number that is NULL is NaN.
SCHEMA = (
    "CREATE TABLE tip (ref PRIMARY KEY, oid) WITHOUT ROWID",
    "CREATE TABLE experiment (id PRIMARY KEY, name, deleted, body) WITHOUT ROWID",
    "CREATE TABLE key (n INTEGER PRIMARY KEY, kind, text, UNIQUE (kind, text))",
    f"CREATE TABLE run (n INTEGER PRIMARY KEY, {_RUN_COLUMNS})",
    "CREATE TABLE body (n INTEGER PRIMARY KEY, json)",
    f"CREATE TABLE metric (key INT, run INT, last, min, max, count, {_BY_KEY}",
    f"CREATE TABLE param (key INT, run INT, kind, number, text, {_BY_KEY}",
    f"CREATE TABLE tag (key INT, run INT, text, {_BY_KEY}",
    f"CREATE TABLE link (key INT, run INT, {_BY_KEY}",
    f"CREATE TABLE dataset (run INT, at INT, {_TEXTS}, PRIMARY KEY (run, at)) WITHOUT ROWID",
    "CREATE INDEX dataset_by_name ON dataset (name, digest)",
    "CREATE INDEX dataset_by_digest ON dataset (digest)",
    "CREATE UNIQUE INDEX run_by_id ON run (run_id)",
    "CREATE INDEX run_by_short_id ON run (short_id)",
    "CREATE INDEX run_by_name ON run (run_name)",
    "CREATE INDEX run_by_base ON run (base)",
    # A range of 1,000 commits over 1,000 runs takes 1,400 ms without it, and 15 with it.
    'CREATE INDEX run_by_commit ON run ("commit")',
    "CREATE INDEX run_by_start ON run (start_time DESC, run_id, deleted)",
    "CREATE INDEX run_by_experiment ON run (experiment_id, start_time DESC, run_id, deleted)",
    "CREATE INDEX metric_by_last ON metric (key, last)",
)


def connect(path: str | None) -> sqlite3.Connection:
    """An index that is ready for use: the file's, or an empty one in memory.

    Raises:
        sqlite3.Error: the file is corrupt, locked, or in a folder that cannot be written.
    """
    import sqlite3

    db = sqlite3.connect(
        ":memory:" if path is None else path,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # A crash of the machine may tear the file; then it is rebuilt. Syncing would cost every
        # refresh some milliseconds for something derived.
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA temp_store=MEMORY")
        # A first fill must not spill pages: that takes the exclusive lock from the readers.
        db.execute("PRAGMA cache_size=-131072")
        db.create_function("gt_like", 3, _like, deterministic=True)
        if version(db) != VERSION:
            db.execute("BEGIN EXCLUSIVE")
            if version(db) != VERSION:
                create(db)
            db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def create(db: sqlite3.Connection) -> None:
    """Drop what there is and make the empty tables; within a transaction of the caller."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB 'sqlite_*'"
    for (name,) in db.execute(tables).fetchall():
        quoted = name.replace('"', '""')
        db.execute(f'DROP TABLE "{quoted}"')
    for statement in SCHEMA:
        db.execute(statement)
    db.execute(f"PRAGMA user_version={VERSION}")


def remove(path: str) -> None:
    """Throw the file away, as far as that is possible."""
    # The journal goes first: a new file beside an old journal would be rolled back into nonsense.
    for name in (path + "-journal", path + "-wal", path + "-shm", path):
        with contextlib.suppress(OSError):
            os.unlink(name)


def version(db: sqlite3.Connection) -> int:
    """What the file says its version is."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _like(pattern: str, text: str, ignore_case: int) -> bool:
    return like(pattern, text, bool(ignore_case))
