"""Which run a person means: id, short prefix, name, `@`, EXPERIMENT/NAME, a commit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gittrack.config import Config
from gittrack.core.direction import MAX, MIN, direction
from gittrack.core.model import Run
from gittrack.core.names import is_run_id
from gittrack.core.query import And, Compare, Field, Order
from gittrack.errors import ExperimentNotFoundError, RunNotFoundError
from gittrack.repo.experiments import get_experiment
from gittrack.repo.view import View
from gittrack.store.git import Git

_AT = re.compile(
    r"(?:(?P<experiment>.+)/)?@(?:\{(?:-(?P<back>\d{1,9})|(?P<how>\w+):(?P<key>.+))\})?"
)
_STAT = re.compile(r"(last|min|max)\((?:metrics\.)?(.+)\)")
_MIN_PREFIX = 4
_MOST_CANDIDATES = 8
#: How many of the latest runs a name with a typo is compared with.
_RECENT = 500


class Namer:
    """Finds runs by what people type.

    In this order: the id, `@` (the latest), `@{-n}` (n before it), `@{best:KEY}`, `@{min:KEY}`
    and `@{max:KEY}` (each also as EXPERIMENT/@...), a prefix of at least 4 digits of the id's
    hex part, the name if only one run has it, EXPERIMENT/NAME, and whatever git takes for a
    commit if only one run was recorded there. A deleted run gives way to one that is not.
    """

    def __init__(self, git: Git, view: View, config: Config) -> None:
        self._git = git
        self._view = view
        self._config = config

    def get(self, name: str) -> Run:
        """The one run that a name stands for.

        Raises:
            RunNotFoundError: none, or several; the message lists what there is.
        """
        found = self.get_all(name)
        if len(found) == 1:
            return found[0]
        raise _ambiguous(name, found)

    def get_all(self, name: str) -> list[Run]:
        """Every run that a name stands for, newest first: several of a commit, or of one name.

        Raises:
            RunNotFoundError: none, or a hex prefix that several begin with.
        """
        if is_run_id(name):
            exact = self._view.find_by_id(name)
            if exact is not None:
                return [exact]
        at = _AT.fullmatch(name)
        if at is not None:
            return [self._at(name, at)]
        begun = _kept(self._by_prefix(name))
        if len(begun) > 1:
            # Runs of one name or one commit belong together; those of one prefix are chance.
            raise _ambiguous(name, begun)
        found = begun or _kept(self._by_name(name) or self._by_commit(name))
        if not found:
            raise self._unknown(name)
        return found

    # -- @ -------------------------------------------------------------------------------

    def _at(self, name: str, at: re.Match[str]) -> Run:
        wanted = None
        if at["experiment"] is not None:
            try:
                wanted = {get_experiment(self._view, at["experiment"]).id}
            except ExperimentNotFoundError as error:
                raise RunNotFoundError(error.message, why=error.why, next=error.next) from None
        if at["how"] is not None:
            return self._best(at["how"], at["key"], wanted)
        back = int(at["back"] or 0)
        runs = self._view.search(None, (), back + 1, experiments=wanted)
        if len(runs) > back:
            return runs[back]
        if not runs:
            raise RunNotFoundError(
                "there is no run yet",
                why=f"no run is in experiment '{at['experiment']}'"
                if wanted
                else "nothing has been recorded in this repository",
                next="gittrack log" if wanted else "gittrack demo",
            )
        raise RunNotFoundError(
            f"there is no run {back} before the latest",
            why=f"there {'is' if len(runs) == 1 else 'are'} only {len(runs)}",
            next="gittrack log",
        )

    def _best(self, how: str, key: str, wanted: set[str] | None) -> Run:
        key, stat = metric_of(key)
        if how not in ("best", MIN, MAX):
            raise RunNotFoundError(
                f"'{how}' is no way to choose a run",
                why="there are best, min and max",
                next=f"gittrack show '@{{best:metrics.{key}}}'",
            )
        way = how
        if how == "best":
            known = direction(key, self._config.metrics_maximize, self._config.metrics_minimize)
            if known is None:
                if not has_key(self._view, "metric", key):
                    raise no_such_key(self._view, "metric", key)
                raise RunNotFoundError(
                    f"it is not known whether a greater {key} is better",
                    why="neither its name nor metrics.maximize and metrics.minimize tell",
                    next=f"gittrack show '@{{max:metrics.{key}}}', or @{{min:...}}",
                )
            way = known
        field = Field("metric", key, stat or "last")
        # Only runs that have a number there: a comparison with one is false for NaN.
        numbers = And((Compare(field, ">=", float("-inf")),))
        found = self._view.search(
            numbers, [Order(field, descending=way == MAX)], 1, experiments=wanted
        )
        if found:
            return found[0]
        raise no_such_key(self._view, "metric", key)

    # -- prefixes, names, commits --------------------------------------------------------

    def _by_prefix(self, name: str) -> list[Run]:
        if len(name) < _MIN_PREFIX:
            return []
        ids = {run_id for run_id in self._view.live() if _has_prefix(run_id, name)}
        ids.update(self._view.ask(lambda index: index.find_ids(name)))
        found = [run for run_id in ids if (run := self._view.find_by_id(run_id)) is not None]
        return sorted(found, key=lambda run: (-run.start_ms, run.id))

    def _by_name(self, name: str) -> list[Run]:
        runs = self._named(name)
        experiment, slash, rest = name.partition("/")
        while not runs and slash:
            runs = [run for run in self._named(rest) if run.experiment == experiment]
            more, slash, rest = rest.partition("/")
            experiment = f"{experiment}/{more}"
        return runs

    def _named(self, name: str) -> list[Run]:
        live = self._view.live()
        runs = [run for item in live.values() if (run := self._view.live_run(item)).name == name]
        stored = self._view.ask(lambda index: index.find_by_name(name))
        runs += [run for run in stored if run.id not in live]
        return sorted(runs, key=lambda run: -run.start_ms)

    def _by_commit(self, name: str) -> list[Run]:
        commit = find_commit(self._git, name)
        if commit is None:
            return []
        found = self._view.search(None, (), None, commits=[commit], include_deleted=True)
        # Those that ran there come before those that only belong there now.
        return sorted(found, key=lambda run: (run.commit != commit, -run.start_ms))

    def _unknown(self, name: str) -> RunNotFoundError:
        from difflib import get_close_matches

        commit = find_commit(self._git, name)
        if commit is not None:
            return RunNotFoundError(
                f"no run was recorded at '{name}'",
                why=f"commit {commit[:12]} has none",
                next=f"gittrack log {name}",
            )
        recent = self._view.search(None, (), _RECENT)
        known = {run.name: run for run in reversed(recent)}
        known |= {f"{run.experiment}/{run.name}": run for run in reversed(recent)}
        near = get_close_matches(name[:200], list(known), n=1, cutoff=0.7)
        if near:
            return RunNotFoundError(
                f"no run is called '{name}'",
                why=f"did you mean '{near[0]}'?",
                next=f"gittrack show {_quoted(near[0])}",
            )
        if not recent:
            return RunNotFoundError(
                f"no run is called '{name}'",
                why="nothing has been recorded in this repository",
                next="gittrack demo",
            )
        shown = ", ".join(f"{run.short_id} {run.name}" for run in recent[:3])
        return RunNotFoundError(
            f"no run is called '{name}'",
            why=f"the latest are {shown}",
            next="gittrack log --oneline",
        )


def find_commit(git: Git, name: str) -> str | None:
    """The commit that git takes a name for, or None."""
    # `cat-file --batch` reads a request a line; a name that begins with `:` or `-` is no commit's.
    if not name or "\n" in name or name[0] in ":-^":
        return None
    found = git.cat_file().read(f"{name}^{{commit}}")
    return found.oid if found is not None and found.type == "commit" else None


def known_keys(view: View, kind: str) -> set[str]:
    """The keys of all params or metrics, of running runs too."""
    keys = set(view.ask(lambda i: i.metric_keys() if kind == "metric" else i.param_keys()))
    for item in view.live().values():
        record = item.record()
        keys.update(record.metrics if kind == "metric" else record.params)
    return keys


def has_key(view: View, kind: str, key: str) -> bool:
    """Whether any run has a param or a metric of that key."""
    return key in known_keys(view, kind)


def no_such_key(view: View, kind: str, key: str) -> RunNotFoundError:
    """What to say of a key of a param or a metric that no run has a value of."""
    from difflib import get_close_matches

    keys = known_keys(view, kind) - {key}
    near = get_close_matches(key[:200], sorted(keys), n=1)
    shown = ", ".join(sorted(keys)[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
    return RunNotFoundError(
        f"no run has a {kind} '{key}'",
        why=f"did you mean '{near[0]}'?"
        if near
        else f"there are {shown}"
        if keys
        else f"no {kind} has been recorded here",
        next="gittrack show @" if keys else "gittrack log",
    )


def metric_of(text: str) -> tuple[str, str | None]:
    """Key and statistic of `metrics.acc`, `acc` or `max(metrics.acc)`."""
    match = _STAT.fullmatch(text)
    if match:
        return match[2], match[1]
    return text.removeprefix("metrics."), None


def _has_prefix(run_id: str, prefix: str) -> bool:
    return run_id.startswith(prefix) or run_id.rpartition("-")[2].startswith(prefix)


def _quoted(name: str) -> str:
    from shlex import quote

    return quote(name)


def _kept(runs: list[Run]) -> list[Run]:
    return [run for run in runs if not run.deleted] or runs


def _ambiguous(name: str, runs: Sequence[Run]) -> RunNotFoundError:
    return RunNotFoundError(
        f"'{name}' stands for {len(runs)} runs",
        why="\n       ".join(_describe(runs)),
        next=f"gittrack show {runs[0].short_id}",
    )


def _describe(runs: Sequence[Run]) -> Iterable[str]:
    for run in runs[:_MOST_CANDIDATES]:
        yield f"{run.short_id} {run.experiment}/{run.name}"
    if len(runs) > _MOST_CANDIDATES:
        yield f"and {len(runs) - _MOST_CANDIDATES} more"
