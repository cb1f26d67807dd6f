"""Which runs a list shows, and in which order: everything that `gittrack log` can ask for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gittrack.core import query
from gittrack.core.model import STATUSES, Run
from gittrack.core.query import And, Compare, Expr, Field, In, IsNull
from gittrack.errors import RunNotFoundError, SourceError, UsageError
from gittrack.repo.naming import Namer, find_commit, known_keys, no_such_key
from gittrack.repo.sources import Sources
from gittrack.repo.view import View
from gittrack.store.git import Git

_START = Field("attribute", "start_time")
_STATUS = Field("attribute", "status")
#: A range to show with each command that takes one.
_RANGES = {"bisect": "GOOD..BAD --where FILTER", "blame": "METRIC main..HEAD"}
#: What git's own reading of dates takes; without one of these it silently means "now".
_DATE_WORD = re.compile(
    r"\d|now|today|yesterday|noon|midnight|tea|never|ago|last|mon|tue|wed|thu|fri|sat|sun",
    re.IGNORECASE,
)


class Selection(NamedTuple):
    """What is asked for; everything that is given must hold.

    Times are text as `git log --since` takes it. Patterns are regular expressions, found
    anywhere: `author` in the author, `grep` in the name or the description; of several one is
    enough. `revisions` are what `git rev-list` takes: runs that belong to those commits, in git's
    order of them. `limit` holds before `reverse`, as in git.
    """

    where: str = ""
    order_by: Sequence[str] = ()
    limit: int | None = None
    experiments: Sequence[str] | None = None
    since: str = ""
    until: str = ""
    author: Sequence[str] = ()
    grep: Sequence[str] = ()
    ignore_case: bool = False
    statuses: Sequence[str] = ()
    tags: Sequence[str] = ()
    parent: str = ""
    revisions: Sequence[str] = ()
    follow: str = ""
    deleted: bool = False
    reverse: bool = False


def select_runs(
    wanted: Selection,
    git: Git,
    view: View,
    namer: Namer,
    sources: Callable[[], Sources],
    experiment_ids: set[str] | None,
) -> list[Run]:
    """The runs that are asked for, newest first where nothing else is said.

    Raises:
        UsageError: a pattern, a time, a status or a revision cannot be understood.
        RunNotFoundError: the parent does not exist.
    """
    now_ms = time.time_ns() // 1_000_000
    conditions = [query.parse(wanted.where, now_ms=now_ms)] if wanted.where.strip() else []
    conditions += _times(git, wanted)
    conditions += _choices(wanted)
    commits = _commits(git, wanted.revisions, namer) if wanted.revisions else None
    tests = _tests(wanted)
    orders = query.parse_order(list(wanted.order_by))
    late = bool(tests or wanted.parent or wanted.follow)
    found = view.search(
        And(tuple(conditions)) if conditions else None,
        orders,
        None if late else wanted.limit,
        experiments=experiment_ids,
        include_deleted=wanted.deleted,
        commits=commits,
    )
    found = [run for run in found if all(test(run) for test in tests)]
    if wanted.parent:
        found = _family(found, namer.get(wanted.parent))
    if wanted.follow:
        with sources() as trees:
            found = trees.follow(found, _path(git, wanted.follow))
    if wanted.limit is not None:
        found = found[: wanted.limit]
    return found[::-1] if wanted.reverse else found


def _times(git: Git, wanted: Selection) -> Iterable[Expr]:
    for option, text, op in (("since", wanted.since, ">="), ("until", wanted.until, "<=")):
        if not text:
            continue
        if not _DATE_WORD.search(text):
            raise UsageError(
                f"--{option} cannot be '{text}'",
                why="it is a time as git takes it: a date, 'yesterday', '2 weeks ago'",
                next=f"gittrack log --{option} '2 weeks ago'",
            )
        # git's own parser, so that what works in `git log` works here.
        flag = git.run("rev-parse", f"--{option}={text}").decode().strip()
        seconds = int(flag.rpartition("=")[2])
        # git compares whole seconds: a run of the last one is still in.
        yield Compare(_START, op, seconds * 1000 + (999 if option == "until" else 0))


def _choices(wanted: Selection) -> Iterable[Expr]:
    if wanted.statuses:
        for status in wanted.statuses:
            if status not in STATUSES:
                raise UsageError(
                    f"there is no status '{status}'",
                    why=f"there are {', '.join(STATUSES)}",
                    next="gittrack log --status failed",
                )
        yield In(_STATUS, tuple(wanted.statuses))
    for text in wanted.tags:
        key, equals, value = text.partition("=")
        field = Field("tag", key)
        if not key:
            raise UsageError(f"--tag '{text}' names no tag", next="gittrack log --tag team=vision")
        yield Compare(field, "=", value) if equals else IsNull(field, negated=True)


def _tests(wanted: Selection) -> list[Callable[[Run], bool]]:
    tests: list[Callable[[Run], bool]] = []
    if wanted.author:
        authors = _patterns("author", wanted.author, wanted.ignore_case)
        tests.append(lambda run: any(p.search(run.author) for p in authors))
    if wanted.grep:
        words = _patterns("grep", wanted.grep, wanted.ignore_case)
        tests.append(
            lambda run: any(p.search(run.name) or p.search(run.description) for p in words)
        )
    return tests


def _patterns(option: str, texts: Sequence[str], ignore_case: bool) -> list[re.Pattern[str]]:
    try:
        return [re.compile(text, re.IGNORECASE if ignore_case else 0) for text in texts]
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(
            f"--{option} is no regular expression",
            why=str(error),
            next=f"gittrack log --{option} '{re.escape(texts[0])}'",
        ) from None


def _commits(git: Git, revisions: Sequence[str], namer: Namer) -> list[str]:
    """The commits that revisions name, in git's own order."""
    process = git.start("rev-list", "--end-of-options", *revisions, "--")
    out, err = process.communicate()
    if process.returncode == 0:
        return out.decode().split()
    raise unknown_revision(git, revisions, namer, err.decode("utf-8", "replace").strip())


def unknown_revision(
    git: Git, revisions: Sequence[str], namer: Namer, complaint: str, command: str = "log"
) -> UsageError:
    """What to say of revisions that git does not know.

    Args:
        complaint: what git said of them.
        command: the command that takes them.
    """
    for name in revisions:
        if ".." in name or name.startswith("^") or find_commit(git, name) is not None:
            continue
        try:
            run = namer.get_all(name)[0]
        except RunNotFoundError:
            break
        return UsageError(
            f"'{name}' is a run, not a revision",
            why=f"{command} takes commits and ranges of them, and looks at the runs recorded there",
            next=f"gittrack show {run.short_id}",
        )
    return UsageError(
        f"git knows no revision '{' '.join(revisions)}'",
        why=complaint.splitlines()[0].removeprefix("fatal: ") if complaint else "",
        next=f"gittrack {command} {_RANGES.get(command, 'main..HEAD')}",
    )


def _path(git: Git, path: str) -> str:
    """A path as the user types it, relative to the top of the worktree."""
    import os

    if git.worktree is None:
        return path
    full = os.path.realpath(path)
    top = os.path.realpath(git.worktree)
    if not full.startswith(top + os.sep):
        raise SourceError(
            f"{path} lies outside the repository",
            why=f"the repository is {top}",
            next="gittrack log --follow FILE",
        )
    return os.path.relpath(full, top)


def _family(runs: Iterable[Run], parent: Run) -> list[Run]:
    """A run and all that descend from it, each child after its parent, oldest child first."""
    children: dict[str, list[Run]] = {}
    for run in runs:
        if run.parent:
            children.setdefault(run.parent, []).append(run)
    family: list[Run] = []
    waiting = [parent]
    seen: set[str] = set()
    while waiting:
        run = waiting.pop()
        if run.id in seen:
            continue  # a hostile store may hold runs that are each other's parent
        seen.add(run.id)
        family.append(run)
        waiting += sorted(children.get(run.id, []), key=lambda child: -child.start_ms)
    return family


def unknown_keys(wanted: Selection, view: View) -> list[str]:
    """What a filter or an order speaks of that no run has, with what there is instead."""
    fields = list(query.iter_fields(query.parse(wanted.where, now_ms=0))) if wanted.where else []
    fields += [order.field for order in query.parse_order(list(wanted.order_by))]
    said = []
    kinds = {field.kind for field in fields} & {"metric", "param"}
    known = {kind: known_keys(view, kind) for kind in kinds}
    for field in dict.fromkeys(fields):
        if field.kind in known and field.key not in known[field.kind]:
            error = no_such_key(view, field.kind, field.key)
            said.append(f"{error.message}; {error.why}")
    return said
