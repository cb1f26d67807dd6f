"""What the command line prints, and the only place that prints."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, BinaryIO, TextIO

from gittrack.errors import GittrackError, OutputError

if TYPE_CHECKING:
    from gittrack.cli.output.pager import Pager

MIN_WIDTH = 40
DEFAULT_WIDTH = 80

#: What git uses for the same things, by default.
_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
    "reverse": "7",
}


class Style:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *names: str) -> str:
        """The text in these styles; unchanged without colours."""
        if not self.on or not text:
            return text
        return f"{self.code(*names)}{text}\x1b[m"

    def code(self, *names: str) -> str:
        """What switches these styles on; `reset` switches all off."""
        if not self.on:
            return ""
        return f"\x1b[{';'.join('' if name == 'reset' else _STYLES[name] for name in names)}m"


class Output:
    """Standard output and standard error, with what is known of their readers."""

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
    ) -> None:
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr
        self._environ = environ
        self._pages = False
        self._pager: Pager | None = None
        self.set_color(None)
        columns = _columns(environ, self._stdout)
        self.width = max(MIN_WIDTH, columns or DEFAULT_WIDTH)
        #: None where nothing says how wide a table may be: into a pipe or a file it is whole.
        self.table_width = None if columns is None else self.width

    def set_color(self, mode: str | None) -> None:
        """Use colours `always`, `never`, or (auto, None) where a person reads."""
        self._color = mode
        self.style = Style(_wants_color(mode, self._environ, self._stdout))
        self._error_style = Style(_wants_color(mode, self._environ, self._stderr))

    def follow_git_color(self, setting: str) -> None:
        """Use git's own `color.ui` where neither an option nor the environment says otherwise."""
        said = self._color not in (None, "auto") or self._environ.get("NO_COLOR")
        if said or self._environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
            return
        word = setting.lower()
        if word == "always" or word in ("never", "false", "no", "off", "0"):
            self.style = Style(word == "always")

    def page(self) -> None:
        """From here on a pager shows standard output, if a person reads it."""
        self._pages = self._stdout.isatty()

    def never_page(self) -> None:
        """Print at once, whoever reads."""
        self._pages = False

    def flush(self) -> None:
        """Let what was printed go before what another program prints."""
        self._stdout.flush()

    @property
    def is_unicode(self) -> bool:
        """Whether standard output can take every character."""
        return (self._stdout.encoding or "utf-8").lower().replace("-", "").startswith("utf")

    @property
    def is_terminal(self) -> bool:
        """Whether a person reads standard output."""
        return self._stdout.isatty()

    @property
    def is_watched(self) -> bool:
        """Whether a person reads standard error, and wants to know why nothing happens."""
        return self._stderr.isatty()

    def close(self) -> None:
        """Wait for the pager, if there is one."""
        pager, self._pager = self._pager, None
        if pager is not None:
            pager.close()

    def lines(self, lines: Iterable[str]) -> None:
        """Print lines for people."""
        encoding = self._stdout.encoding or "utf-8"
        text = "".join(f"{line}\n" for line in lines)
        self.raw(text.encode(encoding, "backslashreplace"))

    def data(self, text: str) -> None:
        """Print text for programs: as it is, in UTF-8."""
        self.raw(text.encode("utf-8", "backslashreplace"))

    def raw(self, data: bytes) -> None:
        """Print bytes."""
        if self._pages:
            # Only now: an error that comes before any output is not to be paged.
            from gittrack.cli.output.pager import Pager, find_pager

            self._pages = False
            command = find_pager(self._environ)
            self._pager = Pager(command, self._environ) if command else None
        if self._pager is not None:
            self._pager.write(data)
            return
        try:
            self._stdout.flush()
            stream: BinaryIO = self._stdout.buffer
            stream.write(data)
            stream.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(
                "standard output could not be written",
                why=error.strerror or str(error),
                next="df -h" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "",
            ) from None

    def note(self, text: str) -> None:
        """Say something beside the data, on standard error."""
        with contextlib.suppress(OSError):  # nobody listens
            print(text, file=self._stderr)

    def progress(self, text: str) -> None:
        """Say how far something is, where a person looks on; "" takes that away again."""
        if self._stderr.isatty() and self._environ.get("TERM") != "dumb":
            with contextlib.suppress(OSError):
                print(f"\r{text[: self.width - 1]}\x1b[K", end="", file=self._stderr, flush=True)

    def error(self, error: GittrackError) -> None:
        """Print the three lines of an error."""
        from gittrack.cli.output.text import safe_lines

        for label, color, text in (
            ("error:", "red", error.message),
            ("why:  ", "yellow", error.why),
            ("next: ", "cyan", error.next),
        ):
            if text:
                lines = safe_lines(text)
                first = f"{self._error_style(label, color)} {lines[0]}"
                self.note("\n".join([first, *lines[1:]]))


def _columns(environ: Mapping[str, str], stream: TextIO) -> int | None:
    text = environ.get("COLUMNS", "")
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def _wants_color(mode: str | None, environ: Mapping[str, str], stream: TextIO) -> bool:
    if mode in ("always", "never"):
        return mode == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return stream.isatty() and environ.get("TERM") != "dumb" and environ.get("CLICOLOR") != "0"
