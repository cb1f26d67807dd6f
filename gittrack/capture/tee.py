"""The process that stands between a run's output and where it was going.

A process of its own, so that the last words of a training that dies by a signal still reach the
terminal and the record. It is started without `site` and imports nothing that is written in
Python until there is output to look through. What comes in is passed on first, unchanged; then it
is folded, redacted, capped and written down.

    python -I -S -c 'import tee; tee.main()' CONTROL NONCE MAX_BYTES STREAMS ALLOW...

CONTROL is the pipe that the training is told by; STREAMS are `source:target:terminal`, by comma:
descriptors to read and to pass on to, and 1 if they are terminals; ALLOW is what is no secret.
Where a run begins and ends is said within the streams, so that it is exact: by a mark, `ESC _ nonce
b PATH ESC \\` or `e PATH`, which no terminal shows, in every stream, the path in hex. When an end
has come through all of them it is answered by a line: `ended`, the path, an error, and what was
redacted as `kind=count`, parted by tabs. `broken` and a descriptor: nobody reads there any more.
"""

from __future__ import annotations

# `signal` makes enums of all of them, which takes 2 ms.
import _signal  # type: ignore[import-not-found]
import os
import select
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ_BYTES = 1 << 16
#: A line longer than this is cut into several.
_LINE_BYTES = 1 << 16
#: Rows that a program may still come back to, once it has moved the cursor up.
_WINDOW = 60
_HEAD, _TAIL = ".out", ".tail"
#: Sequences of a terminal: with parameters, titles and links, device strings, single letters.
_ESCAPES = (
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|"
    rb"[PX^_][^\x1b]*(?:\x1b\\)?|.?)"
)


class Rows:
    """Bytes of a terminal -> lines of text, each as it stood when it was left.

    A carriage return begins the row anew, so of a progress bar its last state stays. A program
    that moves the cursor up writes its rows again and again: from then on the last rows are
    held back, and overwritten.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._rows: list[bytes] = []
        self._at = 0
        self._moves = False

    def feed(self, data: bytes) -> list[bytes]:
        """The rows that `data` has completed, without their newlines."""
        if self._rest:
            data = self._rest + data
        lines = data.split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _LINE_BYTES:
            lines.append(self._rest)
            self._rest = b""
        if not self._moves and b"\x1b" not in data and b"\r" not in data:
            return [_plain(line) for line in lines]
        done: list[bytes] = []
        for line in lines:
            self._row(line, done)
        return done

    def finish(self) -> list[bytes]:
        """All rows that were held back, and one that has no newline yet."""
        done: list[bytes] = []
        if self._rest.strip(b"\r"):
            self._row(self._rest, done)
        self._rest = b""
        done += self._rows
        self._rows, self._at = [], 0
        return done

    def _row(self, line: bytes, done: list[bytes]) -> None:
        row, ups = _fold(line)
        if ups:
            self._moves = True
            self._at = max(0, self._at - ups)
        if not self._moves:
            done.append(row)
            return
        if self._at < len(self._rows):
            # Only moved over: what stands there stays.
            if row or not ups:
                self._rows[self._at] = row
        else:
            self._rows.append(row)
        self._at += 1
        while len(self._rows) > _WINDOW:
            done.append(self._rows.pop(0))
            self._at -= 1


def _fold(line: bytes) -> tuple[bytes, int]:
    """What a row shows in the end, and how many rows up the cursor went in it."""
    ups = 0
    if b"\x1b" in line:
        import re

        for count in re.findall(rb"\x1b\[(\d*)[AF]", line):
            ups += int(count or b"1")
        line = re.sub(_ESCAPES, b"", line, flags=re.DOTALL)
    line = line.rstrip(b"\r")
    return _plain(line[line.rfind(b"\r") + 1 :]), ups


_CONTROLS = bytes(set(range(32)) - {9} | {127})


def _plain(line: bytes) -> bytes:
    """A row without control characters; one that goes back (`^H`) is rubbed out."""
    while b"\b" in line:
        at = line.index(b"\b")
        line = line[: max(0, at - 1)] + line[at + 1 :]
    return line.translate(None, _CONTROLS)


class Sink:
    """Where the output of one run is written: its beginning, and the end as far as it goes on.

    `<path>.out` holds the first half of the cap. What follows goes to `<path>.tail`, whose first
    line says how many lines and bytes were dropped before it, and how many of its own bytes count
    in the end; it is rewritten, whole, whenever it has grown to twice that.
    """

    def __init__(self, path: str, max_bytes: int, streams: Any = ()) -> None:
        self.path = path
        #: The streams whose end has not come through yet. One may have come to its end before
        #: another one has begun.
        self.awaited = set(streams)
        self.error = ""
        self.found: dict[str, int] = {}
        self._half = max_bytes // 2
        self._head_left = self._half
        self._head = self._tail = -1
        self._tail_bytes = 0
        self._dropped = [0, 0]

    def write(self, rows: list[bytes]) -> None:
        """Keep rows."""
        if not rows or self.error:
            return
        try:
            self._write(rows)
        except OSError as error:
            self.error = error.strerror or str(error)

    def _write(self, rows: list[bytes]) -> None:
        data = b"".join(row + b"\n" for row in rows)
        if self._head_left:
            if len(data) <= self._head_left:
                self._head_left -= len(data)
                self._append_head(data)
                return
            cut = data.rfind(b"\n", 0, self._head_left) + 1
            self._append_head(data[:cut])
            self._head_left = 0
            data = data[cut:]
        if self._tail < 0:
            self._open_tail(b"")
        self._tail_bytes += len(data)
        _write_all(self._tail, data)
        if self._tail_bytes > 2 * self._half:
            self._compact()

    def _append_head(self, data: bytes) -> None:
        if self._head < 0:
            self._head = os.open(
                self.path + _HEAD, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
            )
        _write_all(self._head, data)

    def _open_tail(self, kept: bytes) -> None:
        temporary = f"{self.path}{_TAIL}.new"
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        _write_all(fd, b"%d %d %d\n" % (*self._dropped, self._half) + kept)
        os.replace(temporary, self.path + _TAIL)
        if self._tail >= 0:
            os.close(self._tail)
        self._tail = fd
        self._tail_bytes = len(kept)

    def _compact(self) -> None:
        with open(self.path + _TAIL, "rb") as file:
            file.readline()
            data = file.read()
        start = data.find(b"\n", max(0, len(data) - self._half)) + 1
        self._dropped[0] += data.count(b"\n", 0, start)
        self._dropped[1] += start
        self._open_tail(data[start:])

    def close(self) -> None:
        """Close the files."""
        for fd in (self._head, self._tail):
            if fd >= 0:
                os.close(fd)
        self._head = self._tail = -1


class Stream:
    """One stream of output: where it comes from and where it goes."""

    def __init__(self, source: int, target: int, terminal: bool) -> None:
        self.source = source
        self.target = target
        self.terminal = terminal
        self.rows = Rows()
        self.redactor: Any = None
        #: The paths whose runs are active here, and bytes that may begin a mark.
        self.active: set[str] = set()
        self.rest = b""


class Tee:
    """Passes streams on, and writes them down for the runs that are active."""

    def __init__(self, control: str, nonce: str, max_bytes: str, streams: str, *allow: str) -> None:
        self._control = int(control)
        self._max_bytes = int(max_bytes)
        self._allow = allow
        self._streams: dict[int, Stream] = {}
        for text in streams.split(","):
            source, target, terminal = map(int, text.split(":"))
            self._streams[source] = Stream(source, target, bool(terminal))
        self._sinks: dict[str, Sink] = {}
        self._mark = b"\x1b_" + nonce.encode()
        self._poll = select.poll()
        for fd in (self._control, *self._streams):
            self._poll.register(fd, select.POLLIN)

    def run(self) -> None:
        """Go on until nobody writes any more."""
        while self._streams:
            for fd, _ in self._poll.poll():
                if fd in self._streams:
                    self._pump(self._streams[fd])
                elif fd == self._control:
                    # The training has ended; its children may go on printing.
                    self._poll.unregister(fd)
        for path in list(self._sinks):
            self._close(path)

    def resize(self, *_: object) -> None:
        """Give a terminal's new size to those who print."""
        import fcntl
        import termios

        for stream in self._streams.values():
            if stream.terminal:
                try:
                    size = fcntl.ioctl(stream.target, termios.TIOCGWINSZ, bytes(8))
                    fcntl.ioctl(stream.source, termios.TIOCSWINSZ, size)
                except OSError:
                    continue

    def _pump(self, stream: Stream) -> None:
        """Deal with what can be read."""
        try:
            data = os.read(stream.source, _READ_BYTES)
        except OSError:
            data = b""  # the last terminal of a pair was closed
        if not data:
            self._text(stream, stream.rest)
            self._poll.unregister(stream.source)
            del self._streams[stream.source]
            for path in list(self._sinks):
                self._end(stream, path)
            return
        data = stream.rest + data
        stream.rest = b""
        while (at := data.find(self._mark)) >= 0:
            end = data.find(b"\x1b\\", at)
            if end < 0:
                break
            self._text(stream, data[:at])
            self._obey(stream, data[at + len(self._mark) : end].decode())
            data = data[end + 2 :]
        if at < 0:
            at = self._half_mark(data)
        self._text(stream, data[:at])
        stream.rest = data[at:]

    def _half_mark(self, data: bytes) -> int:
        """Where bytes that may become a mark begin, at the end of what was read."""
        at = data.rfind(b"\x1b", max(0, len(data) - len(self._mark)))
        return at if at >= 0 and self._mark.startswith(data[at:]) else len(data)

    def _obey(self, stream: Stream, message: str) -> None:
        path = os.fsdecode(bytes.fromhex(message[1:]))
        if message[0] == "b":
            if path not in self._sinks:
                self._sinks[path] = Sink(path, self._max_bytes, self._streams)
            stream.active.add(path)
        else:
            self._end(stream, path)

    def _text(self, stream: Stream, data: bytes) -> None:
        if data:
            self._forward(stream, data)
            if stream.active:
                self._keep(stream, stream.rows.feed(data))

    def _forward(self, stream: Stream, data: bytes) -> None:
        if stream.target < 0:
            return
        try:
            _write_all(stream.target, data)
        except OSError:
            # Nobody reads there any more: the training shall find out as it would without us.
            os.close(stream.target)
            stream.target = -1
            self._say("broken", str(stream.source))

    def _keep(self, stream: Stream, rows: list[bytes]) -> None:
        if not rows or not stream.active:
            return
        if stream.redactor is None:
            import redact  # type: ignore[import-not-found]  # beside this file, see capture.output

            stream.redactor = redact.LineRedactor(self._allow)
        safe, found = stream.redactor.redact(rows)
        for path in stream.active:
            sink = self._sinks[path]
            for label in found:
                sink.found[label] = sink.found.get(label, 0) + 1
            sink.write(safe)

    def _end(self, stream: Stream, path: str) -> None:
        if path in stream.active:
            self._keep(stream, stream.rows.finish())
            stream.active.remove(path)
        sink = self._sinks.get(path)
        if sink is not None:
            sink.awaited.discard(stream.source)
            if not sink.awaited:
                self._close(path)

    def _close(self, path: str) -> None:
        sink = self._sinks.pop(path, None)
        if sink is not None:
            sink.close()
            found = (f"{label}={count}" for label, count in sink.found.items())
            self._say("ended", os.fsencode(path).hex(), sink.error, *found)

    def _say(self, *words: str) -> None:
        line = "\t".join(word.replace("\t", " ").replace("\n", " ") for word in words)
        try:
            _write_all(self._control, line.encode("utf-8", "replace") + b"\n")
        except OSError:
            # It has ended, and wants to know nothing any more.
            return


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            # The other end of this description made it so; wait as a blocking write would.
            waiting = select.poll()
            waiting.register(fd, select.POLLOUT)
            waiting.poll()


def main() -> None:
    """Run as a program."""
    # Signals of the terminal are for the training; it ends, then its output does, then we do.
    for name in (
        "SIGINT",
        "SIGQUIT",
        "SIGTERM",
        "SIGHUP",
        "SIGTSTP",
        "SIGPIPE",
        "SIGUSR1",
        "SIGUSR2",
    ):
        _signal.signal(getattr(_signal, name), _signal.SIG_IGN)
    tee = Tee(*sys.argv[2:])
    if any(stream.terminal for stream in tee._streams.values()):
        _signal.signal(_signal.SIGWINCH, tee.resize)
        tee.resize()
    tee.run()
