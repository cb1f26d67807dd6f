"""`gittrack.log_metric(...)` over the run that is active now.

Each thread has a stack of runs, as in MLflow; a thread that has started none of its own logs to
the run that was started last in the process. The process's end, or its death by exception or
signal, ends every run that is still active.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from gittrack.core.model import FINISHED, KILLED
from gittrack.errors import GittrackError, UsageError
from gittrack.tracking.active import ActiveRun, check_status, outcome, tag_notes

if TYPE_CHECKING:
    from gittrack.config import Config
    from gittrack.repo import Repo
    from gittrack.tracking.notebook import Watch


class _Stacks(threading.local):
    """The active runs of one thread, the innermost last."""

    def __init__(self) -> None:
        self.runs: list[ActiveRun] = []


class _Session:
    """What this process has open: one per process, a forked child gets a fresh one."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.repo: Repo | None = None
        self.where: tuple[Any, ...] = ()
        self.experiment: str | None = None
        #: All active runs of all threads, oldest first.
        self.active: list[ActiveRun] = []
        self.outcome: tuple[str, int | None] = (FINISHED, None)
        self.hooked = False
        self.interrupted = False
        #: The run that the first start of this process joins, and whether that has happened.
        self.joins: str | None = None
        self.joined = False
        #: In a forked child: the run of the parent that it goes on logging to.
        self.inherited: ActiveRun | None = None


#: The innermost run of a process, and that process: what workers that it spawns join.
_SPAWNED = "_GITTRACK_SPAWNED"

_stacks = _Stacks()
_session = _Session()


# -- setting up --------------------------------------------------------------------------


def init(path: str | os.PathLike[str] | None = None) -> None:
    """Record into the repository that holds `path` (default: the current folder).

    Makes the store if there is none, and installs no git hooks, as `gittrack init` does. Not
    required: the first run does what is needed.

    Raises:
        NotARepositoryError: there is no git repository there.
    """
    from gittrack.repo import Repo

    with _session.lock:
        repo = Repo.find(None if path is None else os.fspath(path))
        repo.init(hooks=False)
        if _session.repo is not None:
            _session.repo.close()
        _session.repo = repo
        _session.where = (*_place(), "init")


def set_experiment(experiment_name: str) -> Any:
    """Make this the experiment of the runs that follow; it is made by its first run."""
    from gittrack.core import names
    from gittrack.core.model import Experiment

    name = names.check_experiment_name(experiment_name)
    experiment_id, _ = _repo().experiment_for(name)
    _session.experiment = name
    return Experiment(experiment_id, name)


def _place() -> tuple[Any, ...]:
    env = os.environ
    return (
        env.get("GITTRACK_REPO"),
        env.get("GITTRACK_JOURNAL"),
        env.get("GIT_DIR"),
    )


def _find() -> Repo:
    from gittrack.repo.detached import find_recording

    return find_recording()


def _repo() -> Repo:
    """The repository of this process; found anew when the folder or the variables change."""
    with _session.lock:
        by_init = _session.where[-1:] == ("init",)
        where = _session.where if by_init else (*_place(), os.getcwd())
        if _session.repo is None or where != _session.where:
            repo = _find()
            old = _session.repo
            if old is not None and old.root == repo.root and _session.where[:-1] == where[:-1]:
                repo = old
            elif old is not None and not _session.active:
                old.close()
            _session.repo, _session.where = repo, where
        return _session.repo


# -- runs --------------------------------------------------------------------------------


def start_run(
    run_name: str | None = None,
    run_id: str | None = None,
    experiment: str | None = None,
    nested: bool = False,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    log_system_metrics: bool | None = None,
) -> ActiveRun:
    """Start a run, or with `run_id` go on with an old one.

    Args:
        run_name: without it the run gets a readable one.
        run_id: id, or its hex part, of a run to go on with. Where GITTRACK_RUN_ID is set, the
            first start of a process joins that run and never ends it; runs that it starts
            later are that run's children.
        experiment: without it the one of `set_experiment`, GITTRACK_EXPERIMENT or `default`.
        nested: allow it inside an active run, which becomes its parent.
        tags: set at once.
        description: free text.
        log_system_metrics: sample the machine; without it as `system.metrics` says.
    Returns:
        The run; use it in `with`, or end it with `end_run`.
    Raises:
        UsageError: a run is active already and `nested` is not set; in a notebook a run that an
            earlier cell has left active is ended instead, with a warning.
        NotARepositoryError: there is no git repository here.
        JournalError: the disk cannot be written.
    """
    stack = _stacks.runs
    inherited = _session.inherited
    watch = _watch()
    goes_on = bool(stack) and not (len(stack) == 1 and stack[0] is inherited)
    if goes_on and not nested and not (watch is not None and watch.end_forgotten(list(stack))):
        raise UsageError(
            f"run '{stack[-1].name}' is still active",
            why="a run is started inside another one only on purpose",
            next="gittrack.end_run() first, or start_run(nested=True)",
        )
    if inherited is not None and run_id is None and not _session.joined:
        # A forked worker's first start is its parent's run, as with GITTRACK_RUN_ID.
        _session.joined = True
        return inherited
    from gittrack.repo.values import NewRun

    repo = _repo()
    notes: dict[str, Any] = {}
    if description is not None:
        notes["description"] = str(description)
    if tags:
        notes.update(tag_notes(tags, repo.config))
    _hook_exit()
    shared = _shared_run()
    name = experiment or _session.experiment
    if shared is not None and (run_id == shared or (run_id is None and not _session.joined)):
        began = repo.join_run(shared, name=run_name, experiment=name, notes=notes)
        _session.joined, _session.joins = True, began.run_id
    elif run_id is not None:
        began = repo.resume_run(run_id, name=run_name, notes=notes)
    else:
        parent = stack[-1].id if stack else _session.joins
        new = NewRun(run_name or "", name or repo.config.experiment, parent, notes)
        began = repo.begin_run(new)
    run = ActiveRun(began, repo.recorder(), repo.config)
    stack.append(run)
    with _session.lock:
        _session.active.append(run)
    if watch is not None:
        watch.follow(run)
    _tell_workers()
    _go_along(run, log_system_metrics, repo.config)
    return run


def _watch() -> Watch | None:
    """What knows the cells, if this is a notebook or a prompt of IPython."""
    if "IPython" not in sys.modules:
        return None
    from gittrack.tracking import notebook

    return notebook.find_watch()


def _go_along(run: ActiveRun, log_system_metrics: bool | None, config: Config) -> None:
    """Begin what accompanies a run that has begun, if it is wanted."""
    from gittrack.tracking import arguments

    arguments.begin(run, config, is_nested=len(_stacks.runs) > 1)
    if config.system_metrics if log_system_metrics is None else log_system_metrics:
        from gittrack.tracking import sampling

        sampling.watch(run, config.system_interval_s)


def _shared_run() -> str | None:
    """The run that this process was told to join: by its environment, or by who spawned it."""
    named = os.environ.get("GITTRACK_RUN_ID")
    if named:
        return named
    # A worker that multiprocessing has spawned knows nothing but its environment.
    run_id, _, pid = os.environ.get(_SPAWNED, "").partition(" ")
    multiprocessing = sys.modules.get("multiprocessing.process")
    parent = multiprocessing.parent_process() if multiprocessing is not None else None
    return run_id if parent is not None and str(parent.pid) == pid else None


def _tell_workers() -> None:
    """Leave the innermost run where spawned workers of this process find it."""
    active = _session.active
    if active:
        os.environ[_SPAWNED] = f"{active[-1].id} {os.getpid()}"
    else:
        os.environ.pop(_SPAWNED, None)


def end_run(status: str = "FINISHED") -> None:
    """End the active run of this thread; without one nothing happens."""
    status = check_status(status)
    stack = _stacks.runs
    run = stack[-1] if stack else (_session.active[-1] if _session.active else None)
    if run is not None:
        leave(run, status, None)


def active_run() -> ActiveRun | None:
    """The run that the functions of this module log to, if there is one."""
    if _stacks.runs:
        return _stacks.runs[-1]
    return _session.active[-1] if _session.active else None


def leave(run: ActiveRun, status: str, exit_code: int | None) -> None:
    """End a run and take it off the stacks."""
    watch = _watch()
    if watch is not None:
        watch.leave(run)
    if run in _stacks.runs:
        _stacks.runs.remove(run)
    with _session.lock:
        if run in _session.active:
            _session.active.remove(run)
    run.end(status, exit_code)
    if _session.inherited is None:
        _tell_workers()


def current() -> ActiveRun:
    """The active run; a new one if there is none."""
    if _stacks.runs:
        return _stacks.runs[-1]
    if _session.active:
        return _session.active[-1]
    return start_run()


# -- logging -----------------------------------------------------------------------------


def log_param(key: str, value: Any) -> Any:
    """Record a param of the active run; see `ActiveRun.log_param`."""
    return current().log_param(key, value)


def log_params(params: Mapping[str, Any]) -> None:
    """Record several params of the active run."""
    current().log_params(params)


def log_metric(
    key: str, value: float, step: int | None = None, timestamp: int | None = None
) -> None:
    """Record one point of a metric of the active run; see `ActiveRun.log_metric`."""
    runs = _stacks.runs
    run = runs[-1] if runs else current()
    run.log_metric(key, value, step, timestamp)


def log_metrics(
    metrics: Mapping[str, float], step: int | None = None, timestamp: int | None = None
) -> None:
    """Record one point of each of several metrics of the active run."""
    runs = _stacks.runs
    run = runs[-1] if runs else current()
    run.log_metrics(metrics, step, timestamp)


def set_tag(key: str, value: Any) -> None:
    """Set a tag of the active run: text that may change."""
    current().set_tag(key, value)


def set_tags(tags: Mapping[str, Any]) -> None:
    """Set several tags of the active run."""
    current().set_tags(tags)


def delete_tag(key: str) -> None:
    """Remove a tag of the active run."""
    current().delete_tag(key)


def log_artifact(local_path: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep a copy of a file with the active run; see `ActiveRun.log_artifact`."""
    current().log_artifact(local_path, artifact_path)


def log_artifacts(local_dir: str | os.PathLike[str], artifact_path: str | None = None) -> None:
    """Keep copies of all files of a folder with the active run."""
    current().log_artifacts(local_dir, artifact_path)


def log_text(text: str, artifact_file: str) -> None:
    """Keep text as an artifact of the active run."""
    current().log_text(text, artifact_file)


def log_dict(dictionary: Any, artifact_file: str) -> None:
    """Keep a mapping or list as a JSON or YAML artifact of the active run."""
    current().log_dict(dictionary, artifact_file)


# -- the end of the process --------------------------------------------------------------


def _hook_exit() -> None:
    """See how this process ends: by itself, by exception, by sys.exit or by SIGTERM."""
    with _session.lock:
        if _session.hooked:
            return
        _session.hooked = True
    atexit.register(_at_exit)
    _hook_excepthook()
    _hook_sys_exit()
    _hook_sigterm()


def _hook_excepthook() -> None:
    before = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        _session.outcome = outcome(error)
        _session.interrupted = isinstance(error, KeyboardInterrupt)
        before(kind, error, trace)

    sys.excepthook = excepthook


def _hook_sys_exit() -> None:
    # The interpreter shows the exit code of a SystemExit to nobody; who raises it through
    # sys.exit, exit() or quit() is seen here. In `with` any SystemExit is seen.
    before = sys.exit

    def exit(code: Any = None, /) -> Any:
        _session.outcome = outcome(SystemExit(code))
        before(code)

    sys.exit = exit
    try:
        from _sitebuiltins import Quitter
    except ImportError:
        return
    quit_before = Quitter.__call__

    def quit(self: Any, code: Any = None) -> Any:
        _session.outcome = outcome(SystemExit(code))
        quit_before(self, code)

    setattr(Quitter, "__call__", quit)  # noqa: B010


def _hook_sigterm() -> None:
    import signal

    from gittrack.tracking.signals import PuttingOff

    if threading.current_thread() is not threading.main_thread():
        return
    # Somebody else's handler knows better what SIGTERM means here.
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    pid = os.getpid()
    putting_off = PuttingOff()

    def terminated(number: int, frame: FrameType | None) -> None:
        if os.getpid() == pid:
            if putting_off(number, frame):
                return
            _end_all(KILLED, 128 + number)
            if _session.repo is not None:
                _session.repo.close()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, terminated)


def _end_all(status: str, exit_code: int | None) -> None:
    watch = _watch()
    if watch is not None:
        watch.end_all()
    for run in reversed(list(_session.active)):
        leave(run, status, exit_code)


def _at_exit() -> None:
    _end_all(*_session.outcome)
    repo = _session.repo
    if repo is not None:
        try:
            repo.close()
        except (GittrackError, OSError) as error:
            from gittrack.repo import warn

            warn(f"not everything was committed: {error}; next: gittrack recover")
    if _session.interrupted:
        _die_of_interrupt()


def _die_of_interrupt() -> None:
    """End as Python does after Ctrl-C, by the signal itself, so that the shell knows.

    Python forgets that it must as soon as anything calls `eval` on its way out, as the making
    of a named tuple does.
    """
    import signal

    from gittrack.capture.process import die_of

    atexit.unregister(_at_exit)
    atexit._run_exitfuncs()
    die_of(signal.SIGINT)


def _after_fork() -> None:
    # The child may log to the parent's active runs, but only the parent ends them.
    global _session
    old, _session = _session, _Session()
    _session.experiment = old.experiment
    _session.hooked = old.hooked
    for run in {*old.active, *_stacks.runs}:
        run.continue_in_fork()
    if not _stacks.runs and old.active:
        _stacks.runs.append(old.active[-1])
    _session.joins = _stacks.runs[-1].id if _stacks.runs else old.joins
    _session.inherited = _stacks.runs[-1] if _stacks.runs else None


os.register_at_fork(after_in_child=_after_fork)
