"""A run while it is being recorded by this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence, Set
from types import TracebackType
from typing import TYPE_CHECKING, Any

from gittrack.capture import redact
from gittrack.core import codec, names
from gittrack.core.model import (
    END_STATUSES,
    FAILED,
    FINISHED,
    KILLED,
    RUNNING,
    ParamValue,
    RunInfo,
    short_id,
)
from gittrack.core.record import TAG_PREFIX, warning_key
from gittrack.errors import GittrackError, InvalidValueError, ParamChangedError, UsageError
from gittrack.repo import warn
from gittrack.store.forking import lazy, unforked
from gittrack.tracking.cells import Cells
from gittrack.tracking.inputs import Inputs
from gittrack.tracking.looks import Looks

if TYPE_CHECKING:
    from gittrack.config import Config
    from gittrack.repo.recorder import Recorder
    from gittrack.repo.values import Began
    from gittrack.tracking.keeping import Keeper

#: Steps and times are int64.
_LOW, _HIGH = -(1 << 63), (1 << 63) - 1


class ActiveRun(Cells, Inputs, Looks):
    """Records one run. Wrong use raises; trouble of our own becomes one warning and a note.

    As a context manager it ends the run: finished, or failed and the exception goes on.
    """

    def __init__(self, began: Began, recorder: Recorder, config: Config) -> None:
        self._began = began
        self._recorder = recorder
        self._config = config
        self._journal = began.journal
        self._params: dict[str, bytes] = {
            key: codec.encode_mapping({key: value}) for key, value in began.params.items()
        }
        #: Keys of params that nobody logged: to log one with another value is no error.
        self.captured: set[str] = set()
        self._status = RUNNING
        self._end_ms: int | None = None
        self._warned: set[str] = set()
        self._pid = os.getpid()
        self._journal.on_trouble = self._disk_trouble

    # -- facts ---------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run id."""
        return self._began.run_id

    @property
    def name(self) -> str:
        """The name that the run was given or got."""
        return self._began.name

    @property
    def joined(self) -> bool:
        """Whether another process ends the run."""
        return self._began.joined or os.getpid() != self._pid

    @property
    def param_keys(self) -> Set[str]:
        """The keys of the params that this process has recorded."""
        return self._params.keys()

    @property
    def status(self) -> str:
        """`running`, or how it ended."""
        return self._status

    @property
    def info(self) -> RunInfo:
        """The facts of the run, spelled as MLflow's `run.info`."""
        began = self._began
        return RunInfo(
            run_id=began.run_id,
            run_name=began.name,
            experiment_id=began.experiment_id,
            experiment_name=began.experiment,
            user_id=began.author,
            status=self._status.upper(),
            start_time=began.start_ms,
            end_time=self._end_ms,
            lifecycle_stage="active",
            artifact_uri=f"gittrack:/runs/{began.run_id}/artifacts",
        )

    # -- params, metrics, tags -----------------------------------------------------------

    def log_param(self, key: str, value: Any) -> Any:
        """Record a param; the same key again must come with the same value.

        A nested mapping becomes one param per leaf, with dotted keys. Gives back `value`.

        Raises:
            ParamChangedError: the run holds the key with another value.
            InvalidNameError, InvalidValueError: the key is not legal, the value is too large.
        """
        self.log_params({key: value})
        return value

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record several params; all of them or, if one is wrong, none."""
        self._check_open("log_params")
        fresh: dict[str, ParamValue] = {}
        texts: dict[str, bytes] = {}
        notes: dict[str, str] = {}
        for key, value in _flattened(params).items():
            names.check_key("param", key)
            safe, hit = redact.redact_param(key, value, self._config.redact_allow)
            text = codec.encode_mapping({key: safe})
            if len(text) > self._config.params_max_bytes:
                raise InvalidValueError(
                    f"param '{key}' is too large",
                    why=f"it has {len(text):,} bytes; the limit is "
                    f"{self._config.params_max_bytes:,} (params.max_bytes)",
                    next="gittrack.log_text(value, 'name.txt') keeps it as an artifact",
                )
            known = self._params.get(key) or texts.get(key)
            if known is not None and known != text:
                old = codec.decode_mapping(known)[key]
                changed = (
                    f"param '{key}' of run '{self.name}' is {old!r} and cannot become {safe!r}"
                )
                if key in self.captured:
                    self.note(f"{changed}: the first value stays, which was captured")
                    continue
                raise ParamChangedError(
                    changed,
                    why="params are written once; that is what makes runs comparable",
                    next=f"log it under another key, or as a tag: gittrack.set_tag('{key}', ...)",
                )
            if known is None:
                fresh[key], texts[key] = safe, text
            if hit is not None:
                warning = f"param {key} was redacted: {hit}"
                notes[warning_key(warning)] = warning
        if fresh:
            self._journal.append("P", fresh)
            self._params.update(texts)
        if notes:
            self._journal.stamp(notes)

    def log_args(self, args: Any, prefix: str = "") -> None:
        """Record what a program was told as params; a param that is there already stays.

        Args:
            args: argparse's namespace, a mapping, a dataclass, an attrs or pydantic object, or
                OmegaConf's configuration, resolved but for `${oc.env:...}`. Nested ones get
                dotted keys; functions and classes become their name, what else cannot be a
                param how it prints, cut.
            prefix: put before every key, as it is: `model.`.
        Raises:
            InvalidValueError: it is nothing of the kind.
        """
        self._check_open("log_args")
        from gittrack.tracking import arguments

        arguments.record(self, args, prefix)

    def log_metric(
        self, key: str, value: float, step: int | None = None, timestamp: int | None = None
    ) -> None:
        """Record one point of a metric.

        Args:
            key: any text of up to 250 characters.
            value: a number; NumPy and torch scalars too, NaN and infinities too.
            step: your own int64 order; without it the key's next one (0, 1, 2, ...).
            timestamp: ms since the epoch; without it now.
        Raises:
            InvalidValueError: the value is no number, or the step no integer.
        """
        if value.__class__ is not float:
            value = codec.to_number("metric", key, value)
        if step is not None and (step.__class__ is not int or not _LOW <= step <= _HIGH):
            step = _to_int("step", key, step)
        if timestamp is not None and timestamp.__class__ is not int:
            timestamp = _to_int("timestamp", key, timestamp)
        if self._status is not RUNNING:
            self._check_open("log_metric")
        self._journal.append_point(key, value, step, timestamp, _check_metric)

    def log_metrics(
        self,
        metrics: Mapping[str, float],
        step: int | None = None,
        timestamp: int | None = None,
    ) -> None:
        """Record one point of each of several metrics, all at the same step and time."""
        if step is not None and (step.__class__ is not int or not _LOW <= step <= _HIGH):
            step = _to_int("step", "metrics", step)
        if timestamp is not None and timestamp.__class__ is not int:
            timestamp = _to_int("timestamp", "metrics", timestamp)
        if self._status is not RUNNING:
            self._check_open("log_metrics")
        values = [
            (key, value if value.__class__ is float else codec.to_number("metric", key, value))
            for key, value in metrics.items()
        ]
        self._journal.append_points(values, step, timestamp, _check_metric)

    def log_points(self, points: Iterable[tuple[str, float, int | None, int | None]]) -> None:
        """Record many points, in one write.

        Args:
            points: key, value, step and ms since the epoch; None as in `log_metric`.
        """
        self._check_open("log_points")
        self._journal.append_rows(points, _check_metric)

    def log_sample(
        self, rows: Iterable[tuple[str, float]], time_ms: int, notes: Sequence[str]
    ) -> bool:
        """Record what another thread has seen beside the run; False once the run has ended.

        Args:
            rows: key and value; the steps are the keys' next ones.
            notes: what could not be seen.
        """
        with self._journal.hold():
            # Nothing may be written behind the end, which this thread does not decide.
            if self._status is not RUNNING:
                return False
            self._journal.append_rows(((*row, None, time_ms) for row in rows), _check_metric)
            if notes:
                self._journal.stamp({warning_key(text): text for text in notes})
        return True

    def set_tag(self, key: str, value: Any) -> None:
        """Set a tag: text that may change."""
        self.set_tags({key: value})

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Set several tags."""
        self._check_open("set_tags")
        self._journal.stamp(tag_notes(tags, self._config))

    def delete_tag(self, key: str) -> None:
        """Remove a tag; one that is not there is fine."""
        self._check_open("delete_tag")
        self._journal.stamp({TAG_PREFIX + names.check_key("tag", key): None})

    # -- artifacts -----------------------------------------------------------------------

    def log_artifact(
        self, local_path: str | os.PathLike[str], artifact_path: str | None = None
    ) -> None:
        """Keep a copy of a file, or of all files in a folder, with the run.

        Args:
            local_path: the file or folder.
            artifact_path: the folder in the run's artifacts that gets it.
        Raises:
            InvalidValueError: there is no such file.
        """
        self._check_open("log_artifact")
        path = os.fspath(local_path)
        if os.path.isdir(path):
            base = os.path.basename(os.path.abspath(path))
            self.log_artifacts(path, f"{artifact_path}/{base}" if artifact_path else base)
            return
        if not os.path.exists(path):
            is_link = os.path.islink(path)
            raise InvalidValueError(
                f"log_artifact: there is no file {path}",
                why="it is a broken link" if is_link else f"the current folder is {os.getcwd()}",
                next="check the path",
            )
        name = os.path.basename(path)
        self._store(path, f"{artifact_path}/{name}" if artifact_path else name)

    def log_artifacts(
        self, local_dir: str | os.PathLike[str], artifact_path: str | None = None
    ) -> None:
        """Keep copies of all files in a folder and below, under their relative paths."""
        self._check_open("log_artifacts")
        top = os.fspath(local_dir)
        if not os.path.isdir(top):
            raise InvalidValueError(
                f"log_artifacts: {top} is not a folder",
                why=f"the current folder is {os.getcwd()}",
                next="use log_artifact for a single file",
            )
        into = names.check_artifact_path(artifact_path) if artifact_path else ""
        self._keeper.keep_folder(top, into)

    def log_text(self, text: str, artifact_file: str) -> None:
        """Keep text as an artifact."""
        self._check_open("log_text")
        if not isinstance(text, str):
            raise InvalidValueError(
                f"log_text: the text for {artifact_file} is of type {type(text).__name__}",
                why="only str can be kept as text",
                next="use log_dict for a mapping, log_artifact for a file",
            )
        self._store(text.encode("utf-8", "surrogatepass"), artifact_file)

    def log_dict(self, dictionary: Any, artifact_file: str) -> None:
        """Keep a mapping or list as an artifact: YAML if the file is called so, else JSON."""
        self._check_open("log_dict")
        with unforked():
            from gittrack.capture import mappings

            render = mappings.renderer_for(artifact_file)
        text = render(mappings.to_plain(dictionary))
        self._store(text.encode("utf-8", "surrogatepass"), artifact_file)

    def _store(self, source: str | bytes, name: str) -> None:
        self._keeper.keep(source, names.check_artifact_path(name))

    @lazy
    def _keeper(self) -> Keeper:
        from gittrack.tracking.keeping import Keeper

        return Keeper(
            self._journal, self._recorder.objects, self.note,
            max_file_bytes=self._config.artifacts_max_file_bytes,
            max_run_bytes=self._config.artifacts_max_run_bytes,
        )  # fmt: skip

    # -- end -----------------------------------------------------------------------------

    def end(self, status: str = FINISHED, exit_code: int | None = None) -> None:
        """End the run; ending it again changes nothing."""
        status = check_status(status)
        if self._status is not RUNNING or os.getpid() != self._pid:
            return
        self._status = status
        self._recorder.end(self._began, status, exit_code)
        import time

        self._end_ms = time.time_ns() // 1_000_000
        lost = len(self._journal.unwritten())
        if lost:
            warn(f"{lost} bytes of run {short_id(self.id)} are in memory only: the disk is full")

    def leave_open(self) -> None:
        """Let the run go on without this process; everything about its start is written."""
        self._recorder.leave_open(self._began)

    def continue_in_fork(self) -> None:
        """In a forked child: log to the same run without touching the parent's file."""
        self._recorder.join_from_fork(self._journal)

    def __enter__(self) -> ActiveRun:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from gittrack.tracking import fluent

        status, exit_code = outcome(error)
        fluent.leave(self, status, exit_code)

    def __repr__(self) -> str:
        return f"<ActiveRun {short_id(self.id)} {self.name} {self._status}>"

    def _repr_html_(self) -> str | None:
        from gittrack.tracking import reading

        try:
            return reading.get_run(self.id)._repr_html_()
        except (GittrackError, OSError):
            return None  # the plain text is shown

    # -- inside --------------------------------------------------------------------------

    def _check_open(self, what: str) -> None:
        if self._status is not RUNNING:
            raise UsageError(
                f"{what}: run '{self.name}' has ended ({self._status})",
                why="an ended run takes nothing more through this object",
                next=f"gittrack.start_run(run_id='{self.id}') goes on with it",
            )

    def note(self, text: str) -> None:
        """One warning to the person, and a note on the run."""
        # It may tell of a name, an address, or what another library says.
        text = redact.redact_text(text, self._config.redact_allow, random=False)[0]
        if text not in self._warned:
            self._warned.add(text)
            warn(text)
            self._journal.stamp({warning_key(text): text})

    def _disk_trouble(self, error: OSError) -> None:
        warn(
            f"run {short_id(self.id)} cannot be written to disk ({error.strerror}); what is "
            "logged from now on is kept in memory and written as soon as the disk takes it"
        )


def outcome(error: BaseException | None) -> tuple[str, int | None]:
    """How a run ends that is left with this exception: status and exit code."""
    if error is None:
        return FINISHED, None
    if isinstance(error, KeyboardInterrupt):
        return KILLED, 130
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or code == 0:
            return FINISHED, 0
        return FAILED, code if isinstance(code, int) else 1
    if isinstance(error, GeneratorExit):
        return FINISHED, None
    return FAILED, 1


def check_status(status: str) -> str:
    """A status a run may end with, in lower case; MLflow's spelling is accepted."""
    text = str(status).lower()
    if text not in END_STATUSES:
        raise InvalidValueError(
            f"a run cannot end as {status!r}",
            why=f"it ends as one of {', '.join(s.upper() for s in END_STATUSES)}",
            next="gittrack.end_run('FAILED')",
        )
    return text


def tag_notes(tags: Mapping[str, Any], config: Config) -> dict[str, str]:
    """The notes that set tags, their values as text."""
    notes = {}
    for key, value in tags.items():
        text = value if isinstance(value, str) else str(value)
        notes[TAG_PREFIX + names.check_key("tag", key)] = text
    return notes


def _flattened(params: Mapping[str, Any]) -> dict[str, ParamValue]:
    try:
        return codec.flatten_params(params)
    except RecursionError:
        raise InvalidValueError(
            "a param holds itself, or is nested too deeply",
            why="a nested mapping becomes one param per leaf",
            next="gittrack.log_args(value) leaves such parts out",
        ) from None


def _check_metric(key: str) -> str:
    return names.check_key("metric", key)


def _to_int(what: str, key: str, value: Any) -> int:
    try:
        number = int(value.item() if hasattr(value, "item") else value)
        exact = number == value
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or isinstance(value, str) or not _LOW <= number <= _HIGH:
        raise InvalidValueError(
            f"the {what} of '{key}' is {value!r}",
            why=f"a {what} is an integer of 64 bits",
            next=f"pass an int, or leave {what} out",
        )
    return number
