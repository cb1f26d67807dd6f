"""What the command line prints, and the only place that prints."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import BinaryIO, TextIO

from gittrack.errors import GittrackError

MIN_WIDTH = 40
DEFAULT_WIDTH = 80

#: What git uses for the same things, by default.
_STYLES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}


class Style:
    """Colours, or none."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *names: str) -> str:
        """The text in these styles; unchanged without colours."""
        if not self.on or not text:
            return text
        return f"\x1b[{';'.join(_STYLES[name] for name in names)}m{text}\x1b[m"


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
        self.set_color(None)
        columns = _columns(environ, self._stdout)
        self.width = max(MIN_WIDTH, columns or DEFAULT_WIDTH)
        #: None where nothing says how wide a table may be: into a pipe or a file it is whole.
        self.table_width = None if columns is None else self.width

    def set_color(self, mode: str | None) -> None:
        """Use colours `always`, `never`, or (auto, None) where a person reads."""
        self.style = Style(_wants_color(mode, self._environ, self._stdout))
        self._error_style = Style(_wants_color(mode, self._environ, self._stderr))

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
        self._stdout.flush()
        stream: BinaryIO = self._stdout.buffer
        stream.write(data)
        stream.flush()

    def note(self, text: str) -> None:
        """Say something beside the data, on standard error."""
        print(text, file=self._stderr)

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
