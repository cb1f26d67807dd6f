"""The methods of `Repo` that follow the history of the code: record commits, keep links right."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gittrack.core.model import short_id
from gittrack.core.record import LINK_PREFIX
from gittrack.errors import CommitError, GittrackError
from gittrack.repo.opened import warn
from gittrack.repo.reading import Reading

if TYPE_CHECKING:
    from gittrack.core.commits import Commit
    from gittrack.repo.catchup import CatchUp
    from gittrack.repo.committing import Found
    from gittrack.repo.edit import Editor
    from gittrack.repo.linking import Link


class RecordedCommit(NamedTuple):
    """A run that a commit made; `values` are the last values of its headline metrics."""

    run_id: str
    name: str
    commit: str
    values: Mapping[str, float]


class CommitsReport(NamedTuple):
    """What became of some commits.

    `links` are further runs that belong to them now, as (run, commit, why); `known` are runs that
    hold what some of them hold already; `empty` counts commits without params or metrics.
    """

    recorded: tuple[RecordedCommit, ...]
    links: tuple[tuple[str, str, str], ...]
    known: tuple[str, ...]
    empty: int


class CodeHistory(Reading):
    """Every method may be repeated: a commit is recorded once, and linked once."""

    @abstractmethod
    def _editor(self) -> Editor:
        """What writes notes."""

    def record_commits(
        self,
        revisions: Sequence[str] = ("HEAD",),
        *,
        all_branches: bool = False,
        unchanged: bool = False,
        dry_run: bool = False,
    ) -> CommitsReport:
        """Record what commits hold as runs, and link the runs that belong to them.

        Of a range, those that change a file with params, metrics, artifacts or plots are recorded;
        a commit that is named alone is recorded in any case.

        Args:
            revisions: as `git rev-list` takes them.
            all_branches: the whole history of every branch, in place of revisions.
            unchanged: also commits that hold such files as their parents do.
            dry_run: only tell what would be done.
        Raises:
            UsageError: git knows no such revision.
            CommitError: a commit that is named alone holds nothing to record.
        """
        from gittrack.store.commits import list_revisions, read_commits

        oids, is_range = list_revisions(self._git, revisions, all_branches=all_branches)
        commits = read_commits(self._git, oids)
        if not commits:
            return CommitsReport((), (), (), 0)
        catch_up = self._catching_up()
        taken = catch_up.take(
            commits, catch_up.rewrites(), (), {commit.oid for commit in commits},
            asked=True, always=unchanged or not is_range,
        )  # fmt: skip
        if not is_range and taken.empty:
            raise self._nothing_in(catch_up, taken.empty[0])
        catch_up.tell_of(taken.empty)
        new = {item.run_id for item in taken.found} if dry_run else catch_up.write(taken)
        return CommitsReport(
            tuple(_recorded(item) for item in taken.found if item.run_id in new),
            tuple((link.run_id, link.commit, link.how) for link in taken.links),
            taken.known,
            len(taken.empty),
        )

    def _nothing_in(self, catch_up: CatchUp, commit: Commit) -> CommitError:
        message = f"commit {commit.oid[:12]} holds nothing to record"
        if trouble := catch_up.trouble(commit):
            return CommitError(message, why=trouble, next=f"git show --stat {commit.oid[:12]}")
        patterns = ", ".join(catch_up.patterns(commit)) or "no file at all"
        return CommitError(
            message,
            why=f"its params and metrics are looked for in {patterns}",
            next="gittrack config, and set commits.params and commits.metrics in .gittrack.yaml",
        )

    def _catch_up_quietly(self, *, begins: bool = False) -> None:
        """Take in the commits that are new; trouble with that must not stop a command."""
        from gittrack.repo import hints, seen

        look = seen.look_at(self._git)
        state = seen.State.read(self._git.common_dir)
        if (state is not None and state.is_as(look)) or not self._can_write():
            return
        try:
            if begins or self._tips.all() or hints.is_enabled(self._git.common_dir):
                self._catching_up().catch_up(state, look)
        except (GittrackError, OSError) as error:
            what = error.message if isinstance(error, GittrackError) else str(error)
            warn(f"new commits were not recorded: {what}; next: gittrack record HEAD")

    def _catching_up(self) -> CatchUp:
        from gittrack.config import load_committed
        from gittrack.repo.catchup import CatchUp
        from gittrack.repo.committing import Reader, Recorder

        reader = Reader(
            self._git,
            self.config,
            lambda data: load_committed(data, self.git_config, self._environ),
        )
        recorder = Recorder(
            self._git,
            self._person(),
            self.experiment_for,
            lambda: self.objects,
            fsync=self.config.seal_fsync,
        )
        return CatchUp(
            self._git, self.view, self.config, reader, recorder, self._write_links, self.sources,
            warn,
        )  # fmt: skip

    def _write_links(self, links: Mapping[str, Sequence[Link]]) -> None:
        notes = {
            run_id: {f"{LINK_PREFIX}{link.commit}": link.how for link in found}
            for run_id, found in links.items()
        }
        count = len({link.commit for found in links.values() for link in found})
        runs = f"run {short_id(next(iter(links)))}" if len(links) == 1 else f"{len(links)} runs"
        to = f"{count} commits" if count > 1 else _first(links).commit[:12]
        self._editor().edit_each(notes, f"link {runs} to {to}", dry_run=False)


def _first(links: Mapping[str, Iterable[Link]]) -> Link:
    return next(link for found in links.values() for link in found)


def _recorded(item: Found) -> RecordedCommit:
    from gittrack.core.codec import summarise_points
    from gittrack.core.headline import headline

    summary = summarise_points(dict(item.held.points))
    values = {key: summary[key].last for key in headline(summary)}
    return RecordedCommit(item.run_id, item.name, item.commit.oid, values)
