"""A running run on local disk: append-only files, one per writing process.

    <journal>/.alive/<writer>             who writes; locked as long as that process lives
    <journal>/<run id>/<writer>.log       what was logged, one line a record
    <journal>/<run id>/<writer>.files/    copies of artifacts and of changed source files
    <journal>/<run id>/<writer>.out, .tail    what was printed: the beginning and the end of it
    <journal>/.environments/              environments that were seen here, by digest
    <journal>/.objects/                   large artifacts, if the journal is not the repository's

A record is one line and one `write`, so what a call returned from survives `kill -9`; a line
without its newline was never acknowledged. Records, by their first letter:

    J {..}   header: format, run id, writer; `resumes` if the run is older than this file,
             `joins` if another writer ends the run, `open` if the run goes on without a
             process until somebody ends it, `step` if this is one step of such a run
    R {..}   the facts of run.yaml, from the first writer only
    W {..}   the facts of a further writer
    S {..}   the source that ran;  D {..} the source on disk when it no longer was the same
    P {..}   params
    K n "k"  from here on, n stands for the metric key k
    M n step time_ms value    a point
    N {..}   stamped notes (name, tags, status, ...): key -> [value, time, writer]
    A {..}   an artifact: a copy in <writer>.files/, or an object of the object store
    E {..}   the end: status, end, exit

A process is known to be alive by a POSIX lock on its `.alive` file. `lockf`, not `flock`: a
forked child inherits the latter. Across machines no lock, pid or host name is believed, only
the file's age.
"""

from __future__ import annotations

from gittrack.journal.alive import (
    ALIVE,
    DEAD,
    QUIET,
    Judgement,
    Owner,
    disown,
    judge,
    list_owners,
    own,
    remove_owner,
)
from gittrack.journal.files import ENVIRONMENTS, OBJECTS
from gittrack.journal.log import RunJournal
from gittrack.journal.state import (
    FORMAT,
    Staged,
    State,
    is_partly_sealed,
    list_empty,
    list_outputs,
    list_runs,
    mark_killed,
    mark_partly_sealed,
    parse,
    read_journal,
    read_output,
    read_run,
    remove,
    split_output,
)

__all__ = [
    "ALIVE",
    "DEAD",
    "ENVIRONMENTS",
    "FORMAT",
    "OBJECTS",
    "QUIET",
    "Judgement",
    "Owner",
    "RunJournal",
    "Staged",
    "State",
    "disown",
    "is_partly_sealed",
    "judge",
    "list_empty",
    "list_outputs",
    "list_owners",
    "list_runs",
    "mark_killed",
    "mark_partly_sealed",
    "own",
    "parse",
    "read_journal",
    "read_output",
    "read_run",
    "remove",
    "remove_owner",
    "split_output",
]
