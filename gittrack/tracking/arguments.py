"""What the program was told, as params: by `log_args`, or by itself once that is asked for.

Capturing listens to the parsers that the program uses. argparse, click and typer are wrapped, so
that what they return, raise and print stays as it was; a Hydra job's configuration is read from
its folder. Nothing is imported that the program has not imported, but argparse.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gittrack.capture.process import ranks
from gittrack.config import FILE_NAME
from gittrack.errors import GittrackError, InvalidValueError, ParamChangedError
from gittrack.repo import warn
from gittrack.tracking import fluent

if TYPE_CHECKING:
    from gittrack.config import Config
    from gittrack.tracking.active import ActiveRun

_VARIABLE = "GITTRACK_PARAMS_CAPTURE_ARGS"
_SETTING = b"capture_args"
_PARSERS = (
    "parse_args", "parse_known_args", "parse_intermixed_args", "parse_known_intermixed_args",
)  # fmt: skip
#: click, and the copy of it that newer versions of typer bring.
_CLICKS = ("click", "typer._click")
#: They parse options of their own; what they make of the program's is found elsewhere.
_OTHERS = {"gittrack", "hydra"}

#: Params and notes, in the order in which they were parsed.
_Heard = tuple[dict[str, Any], list[str]]


class _Depth(threading.local):
    """How deep a thread is in parsers that call each other."""

    def __init__(self) -> None:
        self.value = 0


_depth = _Depth()
_heard: list[_Heard] = []
_is_asked = False


def log_args(args: Any, prefix: str = "") -> None:
    """Record what a program was told as params of the active run; see `ActiveRun.log_args`."""
    fluent.current().log_args(args, prefix)


def capture_args() -> None:
    """From now on, record what argparse, click, typer and Hydra parse, as params.

    They go to the run that is active, and to each that starts later in this process, but not to
    those inside it. `params.capture_args` does the same without code.
    """
    global _is_asked
    _is_asked = True
    _listen()
    run = fluent.active_run()
    if run is not None:
        _tell(run)


def begin(run: ActiveRun, config: Config, *, is_nested: bool) -> None:
    """Give a run that has begun what was parsed before, if that is wanted."""
    global _is_asked
    if not (_is_asked or config.params_capture_args):
        return
    _is_asked = True
    _listen()
    if not is_nested:
        _tell(run)


def record(run: ActiveRun, args: Any, prefix: str = "") -> None:
    """Record arguments as params of a run.

    Raises:
        InvalidValueError: they are none.
    """
    from gittrack.capture.arguments import is_arguments, to_params
    from gittrack.capture.foreign import type_name

    if not is_arguments(args):
        raise InvalidValueError(
            f"log_args: args is of type {type_name(args)}",
            why="it takes a namespace, a mapping, a dataclass, an attrs or pydantic object, "
            "or an OmegaConf configuration",
            next="log_args(vars(args)), or log_param(key, value) for a single value",
        )
    _record(run, *to_params(args, prefix))


def _record(run: ActiveRun, params: Mapping[str, Any], notes: list[str]) -> None:
    try:
        run.log_params(params)
    except (InvalidValueError, ParamChangedError):
        for key, value in params.items():
            _record_one(run, key, value)
    for text in notes:
        run.note(text)


def _record_one(run: ActiveRun, key: str, value: Any) -> None:
    from gittrack.capture.arguments import shortened

    try:
        run.log_param(key, value)
    except ParamChangedError as error:
        run.note(f"{error.message}: the first value stays")
    except InvalidValueError as error:
        run.note(f"{error.message}: its beginning was recorded")
        run.log_param(key, shortened(value))


# -- capturing -----------------------------------------------------------------------------


def _tell(run: ActiveRun) -> None:
    """Record what was heard, and what can be seen now."""
    for params, notes in _heard:
        _record_captured(run, params, notes)
    try:
        for params, notes in _look_around():
            _record_captured(run, params, notes)
    except Exception as error:  # what other libraries hold may look different one day
        run.note(f"arguments were not captured: {type(error).__name__}: {error}")


def _hear(heard: _Heard) -> None:
    _heard.append(heard)
    run = fluent.active_run()
    if run is not None and _is_asked:
        _record_captured(run, *heard)


def _record_captured(run: ActiveRun, params: Mapping[str, Any], notes: list[str]) -> None:
    # Other ranks are told the same, but for their own number; workers are told nothing.
    if run.joined and (not os.environ.get("GITTRACK_RUN_ID") or ranks(os.environ).get("rank")):
        return
    before = set(run.param_keys)
    try:
        _record(run, params, notes)
    except GittrackError as error:
        run.note(f"arguments were not recorded: {error.message}")
    run.captured |= run.param_keys - before


def _listen() -> None:
    """Wrap the parsers that are there; more may be there the next time."""
    import argparse

    for name in _PARSERS:
        _wrap(argparse.ArgumentParser, name, _parsing)
    for name in _CLICKS:
        core = sys.modules.get(f"{name}.core")
        if core is not None:
            _wrap(core.Command, "invoke", _invoking)


def _wrap(kind: Any, name: str, around: Callable[[Any], Any]) -> None:
    before = getattr(kind, name, None)
    if before is not None and not hasattr(before, "_gittrack"):
        wrapped: Any = functools.wraps(before)(around(before))
        wrapped._gittrack = True
        setattr(kind, name, wrapped)


def _parsing(before: Callable[..., Any]) -> Callable[..., Any]:
    def parse(self: Any, *args: Any, **options: Any) -> Any:
        _depth.value += 1
        try:
            found = before(self, *args, **options)
        finally:
            _depth.value -= 1
        if not _depth.value:
            caller = sys._getframe(1).f_globals.get("__name__", "")
            given = args[0] if args else options.get("args")
            namespace = found[0] if isinstance(found, tuple) else found
            _hear_quietly(lambda: _of_argparse(namespace, given, str(caller)))
        return found

    return parse


def _invoking(before: Callable[..., Any]) -> Callable[..., Any]:
    def invoke(self: Any, ctx: Any) -> Any:
        _hear_quietly(lambda: _of_click(ctx))
        return before(self, ctx)

    return invoke


def _hear_quietly(read: Callable[[], _Heard | None]) -> None:
    """Whatever goes wrong, the program's parser has done its work and must not seem to fail."""
    try:
        heard = read()
        if heard is not None:
            _hear(heard)
    except Exception as error:
        warn(f"arguments were not captured: {type(error).__name__}: {error}")


def _of_argparse(namespace: Any, given: Any, caller: str) -> _Heard | None:
    from gittrack.capture.arguments import to_params

    if caller.partition(".")[0] in _OTHERS:
        return None
    # What a library has its own parser read is not what the program was told.
    if given is not None and not set(given) <= set(sys.argv[1:]):
        return None
    return to_params(namespace if hasattr(namespace, "_get_kwargs") else vars(namespace))


def _of_click(context: Any) -> _Heard:
    from gittrack.capture.arguments import to_params

    hidden = {param.name for param in context.command.params if _hides(param)}
    return to_params({key: v for key, v in context.params.items() if key not in hidden})


def _hides(param: Any) -> bool:
    return bool(getattr(param, "hide_input", False))


def _look_around() -> Iterator[_Heard]:
    """What commands of click we are in, and what job of Hydra's."""
    for name in _CLICKS:
        found = sys.modules.get(f"{name}.globals")
        context = None if found is None else found.get_current_context(silent=True)
        contexts = []
        while context is not None:
            contexts.append(context)
            context = context.parent
        yield from map(_of_click, reversed(contexts))
    hydra = sys.modules.get("hydra.core.hydra_config")
    if hydra is not None and hydra.HydraConfig.initialized():
        yield _of_hydra(hydra.HydraConfig.get())


def _of_hydra(config: Any) -> _Heard:
    from gittrack.capture.arguments import to_params

    if config.output_subdir is not None:
        path = os.path.join(config.runtime.output_dir, config.output_subdir, "config.yaml")
        if os.path.exists(path):
            return to_params(sys.modules["omegaconf"].OmegaConf.load(path))
    pairs = (text.lstrip("+~").partition("=") for text in config.overrides.task)
    return to_params({key: value for key, _, value in pairs})


def _listen_early(environ: Mapping[str, str] = os.environ) -> None:
    """Listen from the import on if that may be wanted; the first run's settings decide.

    Programs parse before they start a run. Looking for the word in one file takes 20 us.
    """
    if environ.get(_VARIABLE):
        _listen()
        return
    try:
        folder = os.path.abspath(environ.get("GITTRACK_REPO") or os.getcwd())
        while not os.path.exists(os.path.join(folder, ".git")):
            if folder == (folder := os.path.dirname(folder)):
                return
        with open(os.path.join(folder, FILE_NAME), "rb") as file:
            if _SETTING in file.read(100_000):
                _listen()
    except OSError:
        return


_listen_early()
