"""What a person may change of runs and experiments after the fact; the methods of `Repo` for it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gittrack.core import names
from gittrack.core.model import Experiment, Run
from gittrack.core.record import TAG_PREFIX
from gittrack.errors import InvalidNameError

if TYPE_CHECKING:
    from gittrack.repo.edit import Edit, Editor


class Changing(ABC):
    """Every method is one commit, gives what changed, and with `dry_run` only that."""

    @abstractmethod
    def _editor(self) -> Editor:
        """What writes notes."""

    # -- runs ----------------------------------------------------------------------------

    def set_tags(
        self,
        runs: Iterable[Run],
        tags: Mapping[str, Any],
        delete: Sequence[str] = (),
        *,
        dry_run: bool = False,
    ) -> tuple[Edit, ...]:
        """Set tags of runs and remove those in `delete`; what changed.

        Raises:
            InvalidNameError: a key is not legal.
            GittrackError: the store cannot be written.
        """
        runs = list(runs)
        notes: dict[str, Any] = {TAG_PREFIX + names.check_key("tag", key): None for key in delete}
        notes.update((TAG_PREFIX + names.check_key("tag", k), str(v)) for k, v in tags.items())
        said = [f"{key}={value}" for key, value in tags.items()] + [f"-{key}" for key in delete]
        title = f"tag {_who(runs)}: {names.one_line(' '.join(said))}"
        return self._editor().edit_runs(runs, notes, title, dry_run=dry_run)

    def set_description(self, run: Run, text: str, *, dry_run: bool = False) -> tuple[Edit, ...]:
        """Set the text that describes a run; blank text takes it away."""
        notes = {"description": text if text.strip() else None}
        return self._editor().edit_runs([run], notes, f"note {_who([run])}", dry_run=dry_run)

    def rename_run(self, run: Run, name: str, *, dry_run: bool = False) -> tuple[Edit, ...]:
        """Call a run otherwise; its id stays.

        Raises:
            InvalidNameError: the name is blank or not legal.
        """
        if not names.check_run_name(name).strip():
            raise InvalidNameError("a run's name cannot be blank", next="choose another name")
        title = f"rename {_who([run])} to {names.one_line(name)}"
        return self._editor().edit_runs([run], {"name": name}, title, dry_run=dry_run)

    def delete_runs(self, runs: Iterable[Run], *, dry_run: bool = False) -> tuple[Edit, ...]:
        """Hide runs from every list; `restore_runs` brings them back, nothing is lost."""
        runs = list(runs)
        title = f"delete {_who(runs)}"
        return self._editor().edit_runs(runs, {"deleted": True}, title, dry_run=dry_run)

    def restore_runs(self, runs: Iterable[Run], *, dry_run: bool = False) -> tuple[Edit, ...]:
        """Bring deleted runs back."""
        runs = list(runs)
        title = f"restore {_who(runs)}"
        return self._editor().edit_runs(runs, {"deleted": None}, title, dry_run=dry_run)

    # -- experiments ---------------------------------------------------------------------

    def create_experiment(
        self, name: str, tags: Mapping[str, Any] | None = None, *, dry_run: bool = False
    ) -> Experiment:
        """Make an experiment before it has runs.

        Raises:
            InvalidNameError: the name is not legal, or taken.
        """
        from gittrack.repo import experiments

        return experiments.create(self._editor(), name, tags or {}, dry_run=dry_run)[0]

    def rename_experiment(
        self, experiment: Experiment, name: str, *, dry_run: bool = False
    ) -> tuple[Edit, ...]:
        """Call an experiment otherwise; its id and its runs stay.

        Raises:
            InvalidNameError: the name is not legal, or taken, or the experiment is `default`.
        """
        from gittrack.repo import experiments

        return experiments.rename(self._editor(), experiment, name, dry_run=dry_run)

    def delete_experiment(
        self, experiment: Experiment, *, dry_run: bool = False
    ) -> tuple[Edit, ...]:
        """Hide an experiment and its runs from every list; nothing is lost."""
        from gittrack.repo import experiments

        return experiments.set_deleted(self._editor(), experiment, True, dry_run=dry_run)

    def restore_experiment(
        self, experiment: Experiment, *, dry_run: bool = False
    ) -> tuple[Edit, ...]:
        """Bring a deleted experiment back, with its runs."""
        from gittrack.repo import experiments

        return experiments.set_deleted(self._editor(), experiment, False, dry_run=dry_run)

    def set_experiment_tags(
        self,
        experiment: Experiment,
        tags: Mapping[str, Any],
        delete: Sequence[str] = (),
        *,
        dry_run: bool = False,
    ) -> tuple[Edit, ...]:
        """Set tags of an experiment and remove those in `delete`."""
        from gittrack.repo import experiments

        return experiments.set_tags(self._editor(), experiment, tags, delete, dry_run=dry_run)


def _who(runs: Sequence[Run]) -> str:
    """What edits, as a commit's subject names it."""
    return f"run {runs[0].short_id}" if len(runs) == 1 else f"{len(runs)} runs"
