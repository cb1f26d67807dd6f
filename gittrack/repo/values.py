"""What recording hands around: a run that is asked for, one that has begun, one that goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from gittrack.journal import RunJournal


class NewRun(NamedTuple):
    """A run that is asked for.

    `argv` is its command line, if that is not this process's own; `is_open` says that it goes on
    without a process until somebody ends it, `captures` that what this process prints is its.
    """

    name: str
    experiment: str
    parent: str | None = None
    notes: Mapping[str, Any] = {}
    argv: list[str] | None = None
    is_open: bool = False
    captures: bool = True


class Began(NamedTuple):
    """A run that has just been begun, resumed or joined, and where to write it.

    `resumed` says that the run is older than this journal, `joined` that somebody else ends it.
    """

    run_id: str
    name: str
    experiment_id: str
    experiment: str
    start_ms: int
    journal: RunJournal
    author: str
    resumed: bool = False
    joined: bool = False
    params: Mapping[str, Any] = {}


class Older(NamedTuple):
    """A run that a process goes on with: who it is, and what its writers have said so far.

    `is_unnamed` says that nobody has named it yet, so that the next one may; `last` holds the last
    value of each metric.
    """

    run_id: str
    name: str
    experiment: tuple[str, str]
    start_ms: int
    author: str
    params: Mapping[str, Any]
    next_steps: Mapping[str, int]
    last: Mapping[str, float]
    clock: int
    is_unnamed: bool = False
