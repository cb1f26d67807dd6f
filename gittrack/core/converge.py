"""When two store commits meet: which of them stands, or that their join is committed.

With U and V the commits, joins not counted, that only ours and only theirs have:

    V empty                            ours stays
    U empty, and the join is theirs    theirs is taken, descendant or not
    both empty                         theirs is taken; between peers the greater id
    else                               one join commit, the same whoever makes it

Stores of different epochs share no history that counts: the older one is joined by its content
and never becomes a parent, or what was rewritten away would come back with it.

Without the first three lines three clones in a ring hand joins on to each other for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple


class Meeting(NamedTuple):
    """Two store commits, and what has to be known of them.

    `only_ours` and `only_theirs` count the commits, joins left out, that the other side lacks.
    `ours_adds` and `theirs_adds` tell whether that side's tree holds anything that the other
    side's does not; they are asked only where it matters. `is_peer` says that theirs is another
    clone's, not that of a remote at which all meet.
    """

    ours: str
    theirs: str
    epoch_ours: int
    epoch_theirs: int
    only_ours: int
    only_theirs: int
    ours_adds: Callable[[], bool]
    theirs_adds: Callable[[], bool]
    is_peer: bool = False


class Outcome(Enum):
    """What becomes of our ref."""

    OURS = "ours stays"
    THEIRS = "theirs is taken"
    JOIN = "the join is committed"


class Decision(NamedTuple):
    """The outcome, and of a join the parents in their order."""

    outcome: Outcome
    parents: tuple[str, ...] = ()


_OURS = Decision(Outcome.OURS)
_THEIRS = Decision(Outcome.THEIRS)


def decide(meeting: Meeting) -> Decision:
    """What becomes of our ref when theirs is met; see the table above."""
    ours, theirs = meeting.ours, meeting.theirs
    if ours == theirs:
        return _OURS
    if meeting.epoch_ours > meeting.epoch_theirs:
        return Decision(Outcome.JOIN, (ours,)) if meeting.theirs_adds() else _OURS
    if meeting.epoch_ours < meeting.epoch_theirs:
        return Decision(Outcome.JOIN, (theirs,)) if meeting.ours_adds() else _THEIRS
    if not meeting.only_theirs and (meeting.only_ours or (meeting.is_peer and ours > theirs)):
        return _OURS
    if not meeting.only_ours and not meeting.ours_adds():
        return _THEIRS
    return Decision(Outcome.JOIN, (min(ours, theirs), max(ours, theirs)))
