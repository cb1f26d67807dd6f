"""Experiments: which one a name means, and what may be changed of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from gittrack.core import names
from gittrack.core.model import DEFAULT_EXPERIMENT, Experiment
from gittrack.errors import ExperimentNotFoundError, InvalidNameError
from gittrack.repo.edit import Edit, Editor
from gittrack.repo.view import View
from gittrack.store import layout
from gittrack.store.git import Git
from gittrack.store.write import read_ref


class ExperimentSummary(NamedTuple):
    """An experiment, the number of its runs and the start of the last one in ms."""

    experiment: Experiment
    runs: int
    last_ms: int | None


def experiment_of_now(git: Git, view: Callable[[], View], name: str) -> Experiment:
    """The experiment that is called so now, or the one that would be."""
    experiment_id = names.experiment_id(name)
    tip = read_ref(git, layout.STORE_REF)
    folder = f"{tip}:{layout.experiment_dir(experiment_id)}"
    read = git.cat_file().read
    if (
        tip is not None
        and read(f"{folder}/{layout.EXPERIMENT_FILE}") is not None
        # Without notes it has never been renamed.
        and read(f"{folder}/{layout.NOTES_FILE}") is None
    ):
        return Experiment(experiment_id, name)
    known = view().find_experiment(name)
    if known is not None:
        return known
    if any(row[0].id == experiment_id for row in view().experiments()):
        # The id of this name belongs to an experiment that is called otherwise now.
        slug = experiment_id.rpartition("-")[0]
        return Experiment(f"{slug}-{os.urandom(4).hex()}", name)
    return Experiment(experiment_id, name)


def get_experiment(view: View, name: str) -> Experiment:
    """The experiment of that name or id.

    Raises:
        ExperimentNotFoundError: there is none; the message lists what there is.
    """
    known = [row[0] for row in view.experiments()]
    for item in known:
        if name == item.name:
            return item
    for item in known:
        if name == item.id:
            return item
    from difflib import get_close_matches

    near = get_close_matches(name, [item.name for item in known], n=1)
    shown = ", ".join(item.name for item in known[:8])
    more = f" and {len(known) - 8} more" if len(known) > 8 else ""
    raise ExperimentNotFoundError(
        f"there is no experiment '{name}'",
        why=f"did you mean '{near[0]}'?" if near else f"there are {shown}{more}",
        next="gittrack experiments",
    )


def create(
    editor: Editor, name: str, tags: Mapping[str, Any], *, dry_run: bool
) -> tuple[Experiment, tuple[Edit, ...]]:
    """Make an experiment before it has runs.

    Raises:
        InvalidNameError: it is not legal, or taken.
    """
    name = names.check_experiment_name(name)
    _check_free(editor.view, name)
    experiment_id = experiment_of_now(editor.git, lambda: editor.view, name).id
    notes = {f"tags.{names.check_key('tag', key)}": str(value) for key, value in tags.items()}
    edits = editor.create_experiment(experiment_id, name, notes, dry_run=dry_run)
    return Experiment(experiment_id, name, {k: str(v) for k, v in tags.items()}), edits


def rename(editor: Editor, experiment: Experiment, name: str, *, dry_run: bool) -> tuple[Edit, ...]:
    """Call an experiment otherwise; its id, and the runs in it, stay.

    Raises:
        InvalidNameError: the name is not legal, or taken, or the experiment is `default`.
    """
    name = names.check_experiment_name(name)
    _refuse_default(experiment, "renamed")
    if name == experiment.name:
        return ()
    _check_free(editor.view, name)
    title = f"rename experiment {experiment.name} to {name}"
    return editor.edit_experiment(experiment, {"name": name}, title, dry_run=dry_run)


def set_deleted(
    editor: Editor, experiment: Experiment, deleted: bool, *, dry_run: bool
) -> tuple[Edit, ...]:
    """Hide an experiment and its runs, or bring them back; nothing is lost by it."""
    _refuse_default(experiment, "deleted")
    title = f"{'delete' if deleted else 'restore'} experiment {experiment.name}"
    return editor.edit_experiment(
        experiment, {"deleted": True if deleted else None}, title, dry_run=dry_run
    )


def set_tags(
    editor: Editor,
    experiment: Experiment,
    tags: Mapping[str, Any],
    delete: Sequence[str],
    *,
    dry_run: bool,
) -> tuple[Edit, ...]:
    """Set and remove tags of an experiment."""
    notes: dict[str, Any] = {f"tags.{names.check_key('tag', key)}": None for key in delete}
    notes.update((f"tags.{names.check_key('tag', k)}", str(v)) for k, v in tags.items())
    title = f"tag experiment {experiment.name}"
    return editor.edit_experiment(experiment, notes, title, dry_run=dry_run)


def _check_free(view: View, name: str) -> None:
    for row in view.experiments():
        if row[0].name == name:
            deleted = row[0].deleted
            raise InvalidNameError(
                f"there is an experiment '{name}' already",
                why="it is deleted, and keeps its name" if deleted else "names are unique",
                next=f"gittrack experiments restore '{name}'" if deleted else "choose another name",
            )


def _refuse_default(experiment: Experiment, what: str) -> None:
    if experiment.id == names.DEFAULT_EXPERIMENT_ID:
        raise InvalidNameError(
            f"the experiment '{DEFAULT_EXPERIMENT}' cannot be {what}",
            why="it takes the runs that name no experiment, in every clone",
            next="gittrack experiments create NAME",
        )
