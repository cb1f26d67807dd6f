"""Who still writes: the settings, applied to what the journals tell."""

from __future__ import annotations

from collections.abc import Sequence

from gittrack import journal
from gittrack.config import Config


def judge(
    folder: str, writer: str, config: Config, boot: str, *, force: bool = False
) -> journal.Judgement:
    """Whether a writer of a journal folder lives; release what it gives.

    Args:
        boot: this start of the machine, see `capture.process.boot_id`.
        force: also take writers of other machines for dead that have been quiet for a while.
    """
    return journal.judge(
        folder,
        writer,
        boot=boot,
        lost_after_s=config.journal_lost_after_s,
        keep_s=config.journal_keep_days * 86400,
        force=force,
    )


def is_held(states: Sequence[journal.State], keep_days: int, now_s: float) -> bool:
    """Whether a run goes on that belongs to no process, until somebody ends it."""
    if not any(state.is_open for state in states):
        return False
    if any(state.end and not state.joins for state in states):
        return False
    latest_ms = max(state.last_written_ms() for state in states)
    return now_s * 1000 - latest_ms < keep_days * 86_400_000
