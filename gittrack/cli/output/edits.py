"""What was changed of runs and experiments, a line each. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from gittrack.cli.output import Style
from gittrack.cli.output import text as t

if TYPE_CHECKING:
    from gittrack.repo.edit import Edit


def render_edits(
    edits: Sequence[Edit], names: Mapping[str, str], style: Style, width: int, *, dry_run: bool
) -> Iterator[str]:
    """What changed, or (`dry_run`) would change.

    Args:
        names: what to call each entity.
    """
    if not edits:
        yield "nothing to change: it is so already"
        return
    for edit in edits:
        would = "would " if dry_run else ""
        name = names.get(edit.entity, edit.entity)
        if edit.key == "deleted":
            verb = "delete" if edit.new else "restore"
            line = f"{would}{verb if dry_run else verb + 'd'} {name}"
        elif edit.key == "description":
            verb = "describe" if edit.new else "remove the description of"
            past = "described" if edit.new else "removed the description of"
            line = f"{would}{verb if dry_run else past} {name}"
        elif edit.key == "name" and edit.old is None:
            line = f"{would}{'create' if dry_run else 'created'} {name}"
        elif edit.key == "name":
            line = f"{would}{'rename' if dry_run else 'renamed'} {name} to {edit.new}"
        else:
            key = edit.key.partition(".")[2]
            what = f"remove tag {key} of" if edit.new is None else f"tag {name} {key}={edit.new}"
            past = (
                f"removed tag {key} of {name}"
                if edit.new is None
                else f"tagged {name} {key}={edit.new}"
            )
            was = f" (was {edit.old})" if edit.old is not None and edit.new is not None else ""
            plan = f"{what} {name}" if edit.new is None else what
            line = f"{would}{plan if dry_run else past}{was}"
        yield t.cut(t.safe(line), width)
