"""Formats of one's own, as `git log --format`: `tformat:%h %s %m(val/acc)`. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.columns import cell_text, reader
from gittrack.core.codec import format_time
from gittrack.core.model import FINISHED, Run
from gittrack.errors import UsageError

_Part = Callable[[Run, Style], str]

#: Placeholders without an argument; the order is that of the reference.
PLACEHOLDERS: dict[str, tuple[str, Callable[[Run], str]]] = {
    "H": ("id", lambda run: run.id),
    "h": ("short id", lambda run: run.short_id),
    "s": ("name", lambda run: run.name),
    "b": ("description", lambda run: run.description),
    "e": ("experiment", lambda run: run.experiment),
    "S": ("status", lambda run: run.status),
    "an": ("author's name", lambda run: run.author.partition(" <")[0]),
    "ae": ("author's e-mail", lambda run: run.author.partition(" <")[2].rstrip(">")),
    "ad": ("start, as log shows it", lambda run: t.date(run.start_ms)),
    "aI": ("start, ISO 8601 in UTC", lambda run: format_time(run.start_ms)),
    "as": ("start, YYYY-MM-DD", lambda run: time.strftime("%Y-%m-%d", _local(run))),
    "at": ("start, seconds since 1970", lambda run: str(run.start_ms // 1000)),
    "ar": ("start, relative to now", lambda run: t.ago(run.start_ms)),
    "u": ("duration", lambda run: "" if run.duration_ms is None else t.duration(run.duration_ms)),
    "d": ("what is unusual, in parentheses", lambda run: _marks(run)),
    "c": ("commit", lambda run: run.commit or ""),
    "ch": ("commit, abbreviated", lambda run: (run.commit or "")[:12]),
    "r": ("branch", lambda run: run.branch or ""),
    "T": ("tree that ran", lambda run: run.tree or ""),
    "P": ("parent run", lambda run: run.parent or ""),
    "n": ("line feed", lambda run: "\n"),
    "%": ("a percent sign", lambda run: "%"),
}
#: Placeholders with a key in parentheses.
KEYED = {"m": "metrics", "p": "params", "t": "tags", "f": ""}
COLORS = ("reset", "bold", "dim", "red", "green", "yellow", "blue", "magenta", "cyan", "reverse")

_TOKEN = re.compile(
    r"%(?:(?P<pad>[<>])\((?P<width>\d{1,4})(?P<trunc>,trunc)?\)|x(?P<hex>[0-9a-fA-F]{2})"
    r"|C\((?P<color>[a-z ]+)\)|C(?P<plain>red|green|blue|reset)|(?P<keyed>[mptf])\("
    r"|(?P<name>a[ndIeIstr]|ch|[A-Za-z%]))|(?P<bad>%)|(?P<text>[^%]+)",
    re.DOTALL,
)


def is_template(form: str) -> bool:
    """Whether a `--format` spells a template instead of naming a format."""
    return form.startswith(("format:", "tformat:")) or "%" in form


def render_template(runs: Sequence[Run], form: str, style: Style, end: str = "\n") -> str:
    """The text; `tformat:` ends each run with `end`, `format:` puts it between them.

    Raises:
        UsageError: a placeholder is not known.
    """
    separates = form.startswith("format:")
    body = form.partition(":")[2] if form.startswith(("format:", "tformat:")) else form
    parts = list(_compile(body, runs))
    texts = [_join(parts, run, style) for run in runs]
    if separates:
        return end.join(texts) + ("\n" if texts and end == "\n" else "")
    return "".join(text + end for text in texts)


class _Pad:
    def __init__(self, width: int, right: bool, cuts: bool) -> None:
        self.width = width
        self.right = right
        self.cuts = cuts

    def __call__(self, text: str) -> str:
        if self.cuts:
            text = t.cut(text, self.width)
        blank = " " * (self.width - t.width_of(text))
        return blank + text if self.right else text + blank


def _join(parts: Sequence[_Part | _Pad], run: Run, style: Style) -> str:
    pieces: list[str] = []
    pad: _Pad | None = None
    for part in parts:
        if isinstance(part, _Pad):
            pad = part
            continue
        text = part(run, style)
        pieces.append(pad(text) if pad is not None else text)
        pad = None
    return "".join(pieces)


def _compile(body: str, runs: Sequence[Run]) -> Iterator[_Part | _Pad]:
    at = 0
    while at < len(body):
        match = _TOKEN.match(body, at)
        assert match is not None
        at = match.end()
        if match["text"] is not None:
            yield _constant(match["text"])
        elif match["pad"]:
            yield _Pad(int(match["width"]), match["pad"] == ">", bool(match["trunc"]))
        elif match["hex"]:
            yield _constant(chr(int(match["hex"], 16)))
        elif match["color"] or match["plain"]:
            yield _colour((match["color"] or match["plain"]).split())
        elif match["keyed"]:
            end = _closing(body, at)
            yield _value(KEYED[match["keyed"]], body[at:end], runs)
            at = end + 1
        elif match["name"] in PLACEHOLDERS:
            yield _fact(match["name"])
        else:
            raise _unknown(body[match.start() : match.start() + 2])


def _closing(body: str, at: int) -> int:
    depth = 1
    for i in range(at, len(body)):
        depth += {"(": 1, ")": -1}.get(body[i], 0)
        if not depth:
            return i
    raise UsageError(
        f"'{body[at - 3 :]}' has no closing parenthesis",
        why="%m(KEY) takes a key in parentheses",
        next="gittrack log --format 'tformat:%h %m(loss)'",
    )


def _constant(text: str) -> _Part:
    return lambda run, style: text


def _fact(name: str) -> _Part:
    read = PLACEHOLDERS[name][1]
    if name in ("n", "%"):
        return lambda run, style: read(run)
    if name == "b":
        return lambda run, style: "\n".join(t.safe_lines(read(run)))
    return lambda run, style: t.safe(read(run))


def _value(kind: str, key: str, runs: Sequence[Run]) -> _Part:
    read = reader(f"{kind}.{key}" if kind else key, runs)
    return lambda run, style: t.safe(cell_text(read(run), kind))


def _colour(words: Sequence[str]) -> _Part:
    for word in words:
        if word not in COLORS:
            raise UsageError(
                f"there is no colour '{word}'",
                why=f"there are {', '.join(COLORS)}",
                next="gittrack log --format 'tformat:%C(yellow)%h%C(reset) %s'",
            )
    return lambda run, style: style.code(*words)


def _unknown(text: str) -> UsageError:
    known = ", ".join(f"%{name}" for name in PLACEHOLDERS)
    return UsageError(
        f"'{text}' is no placeholder of --format",
        why=f"there are {known}, %m(KEY), %p(KEY), %t(KEY), %f(COLUMN), %C(COLOUR), %<(N), %>(N)",
        next="gittrack log --format 'tformat:%h %s %m(loss)'",
    )


def _marks(run: Run) -> str:
    marks = [run.experiment, *([run.branch] if run.branch else [])]
    marks += ["dirty"] if run.dirty else []
    marks += [run.status] if run.status != FINISHED else []
    return f"({', '.join(marks)})"


def _local(run: Run) -> time.struct_time:
    return time.localtime(run.start_ms / 1000)
