"""What the commands that change runs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gittrack.cli.output import Output
from gittrack.cli.output.edits import render_edits
from gittrack.core.model import Run
from gittrack.errors import EXIT_OK

if TYPE_CHECKING:
    from gittrack.repo.edit import Edit


def report(edits: Sequence[Edit], runs: Sequence[Run], out: Output, *, dry_run: bool) -> int:
    """Say what was changed; done."""
    names = {run.id: f"{run.short_id} {run.name}" for run in runs}
    out.lines(render_edits(edits, names, out.style, out.width, dry_run=dry_run))
    return EXIT_OK
