"""Every setting, declared once, and the four places a value may come from.

A setting's value is that of its environment variable, else of `git config gittrack.*` (one
clone), else of `.gittrack.yaml` at the top of the worktree (the whole team), else its default.
`SETTINGS` is the only place that knows a setting: `Config`, the three parsers, the example file
and `gittrack config` follow from it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gittrack.config.settings import (
    LISTS,
    SETTINGS,
    VARIABLES,
    Setting,
    Value,
    parse_remote,
    render_value,
    without_secrets,
)
from gittrack.errors import ConfigError

if TYPE_CHECKING:
    from gittrack.config.file import Entry

FILE_NAME = ".gittrack.yaml"


class Config(NamedTuple):
    """The value of every setting; `SETTINGS` says what each means."""

    experiment: str
    source_capture: bool
    source_untracked: tuple[str, ...]
    source_max_bytes: int
    source_withhold: tuple[str, ...]
    environment_capture: bool
    output_capture: bool
    output_max_bytes: int
    redact_allow: tuple[str, ...]
    artifacts_max_file_bytes: int
    artifacts_max_run_bytes: int
    artifacts_remote: str
    artifacts_remotes: tuple[str, ...]
    artifacts_local_remotes: tuple[str, ...]
    params_max_bytes: int
    params_capture_args: bool
    metrics_maximize: tuple[str, ...]
    metrics_minimize: tuple[str, ...]
    run_params: tuple[str, ...]
    run_metrics: tuple[str, ...]
    run_history: tuple[str, ...]
    commits_record: str
    commits_branches: tuple[str, ...]
    commits_marker: str
    commits_skip: str
    commits_experiment: str
    commits_params: tuple[str, ...]
    commits_metrics: tuple[str, ...]
    commits_artifacts: tuple[str, ...]
    commits_plots: tuple[str, ...]
    system_metrics: bool
    system_interval_s: float
    seal_delay_s: float
    seal_every_s: float
    seal_fsync: bool
    journal_heartbeat_s: float
    journal_lost_after_s: float
    journal_keep_days: int
    store_max_packs: int
    share_ref: str
    share_sources: bool
    share_deadline_s: float
    hooks_install: bool
    hooks_trailer: bool
    offline: bool
    index_dir: str


class Described(NamedTuple):
    """One line of `gittrack config`: a setting, its value as text, and where that came from."""

    name: str
    value: str
    origin: str


_Found = dict[str, tuple[Value, str]]
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_GROUPS = {setting.name.partition(".")[0] for setting in SETTINGS if "." in setting.name}

_defaults: dict[str, Any] = {setting.field: setting.default for setting in SETTINGS}
#: No setting changed.
DEFAULTS = Config(**_defaults)


def load(
    worktree: str | None, git_config: Mapping[str, Sequence[str]], environ: Mapping[str, str]
) -> Config:
    """The settings that hold here.

    Args:
        worktree: where `.gittrack.yaml` is looked for; None in a bare repository.
        git_config: what `git config -z --list` prints, see `parse_git_config`.
        environ: the environment, as `os.environ`.
    Raises:
        ConfigError: a setting is unknown or has a wrong value; nothing is guessed.
    """
    found = _find(worktree, git_config, environ)
    if not found:
        return DEFAULTS
    changed: dict[str, Any] = {_BY_NAME[name].field: value for name, (value, _) in found.items()}
    return DEFAULTS._replace(**changed)


def load_committed(
    data: bytes, git_config: Mapping[str, Sequence[str]], environ: Mapping[str, str]
) -> Config | None:
    """The settings that hold for a commit, by its own `.gittrack.yaml`.

    Returns:
        None if that says nothing of commits: then the present ones hold.
    Raises:
        ConfigError: the file cannot be used.
    """
    from gittrack.config.file import parse_settings

    found = _from_entries(parse_settings(data, FILE_NAME), FILE_NAME)
    if not any(name.startswith("commits.") for name in found):
        return None
    found.update(_from_git(git_config))
    found.update(_from_environment(environ))
    changed: dict[str, Any] = {_BY_NAME[name].field: value for name, (value, _) in found.items()}
    return DEFAULTS._replace(**changed)


def describe(
    worktree: str | None, git_config: Mapping[str, Sequence[str]], environ: Mapping[str, str]
) -> list[Described]:
    """Every setting with its value and origin, then the environment-only ones; as `load`."""
    found = _find(worktree, git_config, environ)
    lines = []
    for setting in SETTINGS:
        value, origin = found.get(setting.name, (setting.default, "default"))
        shown = render_value(without_secrets(setting, value))
        lines.append(Described(setting.name, shown, origin))
    for variable in VARIABLES:
        text = environ.get(variable.name, "")
        origin = f"environment {variable.name}" if text else "default"
        lines.append(Described(variable.name, render_value(text), origin))
    return lines


def parse_git_config(data: bytes) -> dict[str, list[str]]:
    """What `git config -z --list` prints, as values by key, in git's order.

    Bytes that are not UTF-8 become lone surrogates. A key without `=` is true to git, so it
    reads as `true`.
    """
    config: dict[str, list[str]] = {}
    for entry in data.decode("utf-8", "surrogateescape").split("\0"):
        if entry:
            key, equals, value = entry.partition("\n")
            config.setdefault(key, []).append(value if equals else "true")
    return config


# --- the layers -------------------------------------------------------------------------------


def _find(
    worktree: str | None, git_config: Mapping[str, Sequence[str]], environ: Mapping[str, str]
) -> _Found:
    """Every setting that somebody set, with its origin. Later layers win, and all are checked."""
    found: _Found = {}
    if worktree is not None:
        found.update(_from_file(os.path.join(worktree, FILE_NAME)))
    found.update(_from_git(git_config))
    found.update(_from_environment(environ))
    _check_silence(found)
    return found


def _check_silence(found: _Found) -> None:
    """A run must not count as lost between two of its own heartbeats."""
    names = ("journal.heartbeat_s", "journal.lost_after_s")
    if not any(name in found for name in names):
        return
    (beat, beat_from), (silence, silence_from) = (
        found.get(name, (_BY_NAME[name].default, "default")) for name in names
    )
    assert isinstance(beat, float)
    assert isinstance(silence, float)
    if silence <= beat:
        raise ConfigError(
            f"journal.lost_after_s ({render_value(silence)}, {silence_from}) must be more than"
            f" journal.heartbeat_s ({render_value(beat)}, {beat_from})",
            why="another host's run would be shown as lost between two of its heartbeats",
            next="let journal.lost_after_s be several heartbeats",
        )


def _from_environment(environ: Mapping[str, str]) -> _Found:
    found: _Found = {}
    by_variable = {setting.variable: setting for setting in SETTINGS}
    # Not GITTRACK, which everything that begins so would nearly fit.
    others = {variable.name for variable in VARIABLES if variable.name != "GITTRACK"}
    for key in environ:
        if not key.startswith("GITTRACK_") or key in others:
            continue
        setting = by_variable.get(key)
        if setting is None:
            _check_foreign_variable(key, [*by_variable, *others])
            continue
        text = environ[key]
        if not text:  # CI passes an input that nobody gave as an empty variable
            continue
        origin = f"environment {key}"
        value: Value
        if setting.kind in LISTS:
            texts = text.splitlines() if "\n" in text else text.split()
            value = _parse_list(setting, [item for item in texts if item], origin, f"unset {key}")
        else:
            value = _parse(setting, text, origin, f"unset {key}")
        found[setting.name] = (value, origin)
    return found


def _check_foreign_variable(key: str, known: Sequence[str]) -> None:
    """Refuse a variable that was meant for us: it lies in a group of settings, or nearly fits.

    Any other is left alone: scripts and other tools have variables of their own.
    """
    near = _nearest(key, known, cutoff=0.85)
    group = key.split("_")[1].lower()
    if near or group in _GROUPS:
        raise ConfigError(
            f"unknown environment variable {_printable(key)}",
            why=_unknown("no setting reads it", near),
            next=f"unset {_printable(key)}",
        )


def _from_git(git_config: Mapping[str, Sequence[str]]) -> _Found:
    found: _Found = {}
    by_key = {setting.git_key.lower(): setting for setting in SETTINGS}
    for key, texts in git_config.items():
        if not key.startswith("gittrack.") or not texts:
            continue
        setting = by_key.get(key)
        if setting is None:
            near = _nearest(key, [setting.git_key for setting in SETTINGS])
            raise ConfigError(
                f"unknown setting in git config: {_printable(key)}",
                why=_unknown("no setting has that key", near),
                next=f"git config --show-origin --get-all {_printable(key)}",
            )
        origin = f"git config {setting.git_key}"
        fix = f"git config --show-origin --get-all {setting.git_key}"
        value: Value
        if setting.kind in LISTS:
            # An empty value drops those before it, as in git's own lists (credential.helper).
            start = max((i + 1 for i, text in enumerate(texts) if not text), default=0)
            value = _parse_list(setting, texts[start:], origin, fix)
        else:
            value = _parse(setting, texts[-1], origin, fix)
        found[setting.name] = (value, origin)
    return found


def _from_file(path: str) -> _Found:
    if not os.path.lexists(path):
        return {}
    from gittrack.config.file import read_settings

    return _from_entries(read_settings(path), path)


def _from_entries(entries: Sequence[Entry], path: str) -> _Found:
    found: _Found = {}
    lines: dict[str, int] = {}
    for name, raw, line in entries:
        where = f"{path}:{line}"
        fix = f"correct {where}"
        if name in lines:
            raise ConfigError(
                f"{_printable(name)} is set twice",
                why=f"on line {lines[name]} and on line {line} of {path}",
                next=fix,
            )
        lines[name] = line
        if name in _GROUPS and raw is None:  # every setting of the group is commented out
            continue
        setting = _BY_NAME.get(name)
        if setting is None:
            raise _unknown_in_file(name, where, fix)
        if not setting.shared:
            raise ConfigError(
                f"{name} cannot be set in {FILE_NAME}",
                why=f"{where}: it names a place on one machine, and the file is everybody's",
                next=f"git config {setting.git_key} PATH",
            )
        if raw is None:
            raise _wrong(setting, "nothing", where, fix)
        value: Value
        if isinstance(raw, list):
            value = _parse_list(setting, raw, where, fix)
        else:
            value = _parse(setting, raw, where, fix)
        found[name] = (value, f"{FILE_NAME}:{line}")
    return found


def _unknown_in_file(name: str, where: str, fix: str) -> ConfigError:
    group = name.partition(".")[0]
    members = [setting.name for setting in SETTINGS if setting.name.startswith(group + ".")]
    if name in _GROUPS:
        message = f"{name} is a group of settings, not a setting"
    else:
        message = f"unknown setting {_printable(name)}"
    near = "" if name in _GROUPS else _nearest(name, list(_BY_NAME))
    why = f"there is {', '.join(members)}" if members else "no setting has that name"
    return ConfigError(message, why=f"{where}: {_unknown(why, near)}", next=fix)


# --- one value --------------------------------------------------------------------------------

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
# Patterns are compiled when first used: with nothing set, as usual, none is.
_WHOLE = r"(?a:(\d[\d_]{0,17})([kmg]?))"
_NUMBER = r"(?a:\d{1,9}(?:\.\d{1,15})?(?:e-\d{1,2})?)"
#: Nobody's file may have store commits pushed to a branch that means something else.
_STORE_REF = r"refs/gittrack/store/main|refs/heads/gittrack/[a-z0-9][a-z0-9_-]{0,60}"
#: Controls and lone surrogates: no setting's text needs them, and they do not print.
_UNFIT = "[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]"


def _parse(setting: Setting, text: str, origin: str, fix: str) -> Value:
    """What one text means to a setting."""
    value: Value | None = None
    word = text.strip().lower()
    if setting.kind == "flag":
        value = True if word in _TRUE else False if word in _FALSE else None
    elif setting.kind in ("count", "bytes"):
        whole = re.fullmatch(_WHOLE, word)
        if whole and (setting.kind == "bytes" or not whole[2]):
            value = int(whole[1].replace("_", "")) * _UNITS[whole[2]]
    elif setting.kind == "seconds":
        value = float(word) if re.fullmatch(_NUMBER, word) else None
    elif setting.kind == "text" and not re.search(_UNFIT, text):
        # Only what is empty by default may be emptied.
        value = text if word or not setting.default else None
    elif setting.kind == "when" and word in ("changed", "always", "never"):
        value = word
    elif setting.kind == "store ref" and re.fullmatch(_STORE_REF, text):
        value = text
    if value is None or (isinstance(value, int | float) and value < setting.least):
        raise _wrong(setting, repr(text), origin, fix)
    return value


def _parse_list(setting: Setting, texts: Sequence[str], origin: str, fix: str) -> tuple[str, ...]:
    if setting.kind not in LISTS:
        raise _wrong(setting, "a list", origin, fix)
    for text in texts:
        if not text or re.search(_UNFIT, text):
            raise _wrong(setting, repr(text), origin, fix)
        if setting.kind == "remotes" and parse_remote(text) is None:
            raise _wrong(setting, repr(text), origin, fix)
        if setting.kind == "patterns":
            try:
                re.compile(text)
            except (re.error, OverflowError, RecursionError) as error:
                raise _wrong(setting, f"{text!r} ({error})", origin, fix) from None
    return tuple(texts)


def _wrong(setting: Setting, given: str, origin: str, fix: str) -> ConfigError:
    shown = given if len(given) <= 80 else given[:77] + "..."
    return ConfigError(
        f"{setting.name} cannot be {_printable(shown)}",
        why=f"{origin}: it takes {setting.allowed}; the default is {render_value(setting.default)}",
        next=fix,
    )


def _unknown(why: str, near: str) -> str:
    return f"{why}; did you mean {near}?" if near else why


def _nearest(name: str, known: Sequence[str], cutoff: float = 0.6) -> str:
    """The known name most like this one, or nothing; case and `-` for `_` do not count."""
    from difflib import get_close_matches

    plain = {other.lower().replace("_", ""): other for other in known}
    wanted = name[:200].lower().replace("_", "").replace("-", "")
    matches = get_close_matches(wanted, list(plain), 1, cutoff)
    return plain[matches[0]] if matches else ""


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]
