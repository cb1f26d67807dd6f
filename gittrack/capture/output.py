"""Record what a process and its children print, at the level of file descriptors.

Descriptors 1 and 2 are replaced by a pipe, or by a terminal where a terminal was; `capture.tee`
reads it in a process of its own and passes everything on. If that process dies, the old
descriptors are put back and what is left in the pipe is passed on from here.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from gittrack.capture.cells import CellOutput

#: Tells a child that its output is captured already: the run, then the descriptors' files.
CAPTURED = "_GITTRACK_CAPTURED"
#: How long the end of a run waits for the tee to have written everything down.
_PATIENCE_S = 10.0


class Ended(NamedTuple):
    """What became of a run's output: secrets taken out by kind, and why it is not whole."""

    redacted: dict[str, int]
    error: str


class _Stream(NamedTuple):
    """One captured descriptor, or both if they lead to the same place."""

    fds: tuple[int, ...]
    original: int
    source: int
    end: int
    is_terminal: bool
    identity: str


class Output:
    """The captured output of this process; see `start`."""

    def __init__(self, streams: Sequence[_Stream], control: int, nonce: str, tee: Any) -> None:
        self._streams = streams
        self._mark = b"\x1b_" + nonce.encode()
        self._control = control
        self._tee = tee
        self._pid = os.getpid()
        self._begun: set[str] = set()
        self._waiting: dict[str, threading.Event] = {}
        self._ended: dict[str, Ended] = {}
        self._stopped = False
        self.lost = False
        threading.Thread(target=self._listen, name="gittrack-output", daemon=True).start()

    @property
    def is_here(self) -> bool:
        """Whether it still captures, and this is the process that started it."""
        return self._pid == os.getpid() and not self._stopped and not self.lost

    def begin(self, path: str) -> None:
        """From now on, write what is printed to `path` + `.out`; until `end`."""
        self._begun.add(path)
        self._say("b", path)

    def end(self, path: str) -> None:
        """What has been printed up to now was the last of `path`; `wait` tells when it is there."""
        self._waiting[path] = threading.Event()
        self._say("e", path)

    def wait(self, path: str) -> Ended | None:
        """How a run's output ended; None if it never began."""
        self._begun.discard(path)
        event = self._waiting.get(path)
        if event is None:
            return self._ended.pop(path, None)
        answered = event.wait(0 if self.lost else _PATIENCE_S)
        del self._waiting[path]
        if not answered:
            return Ended({}, "the process that wrote it down did not answer")
        return self._ended.pop(path, None)

    def stop(self) -> None:
        """Put the descriptors back; children that still print are passed on all the same."""
        if self._pid != os.getpid() or self._stopped:
            return
        self._stopped = True
        flush()
        self._restore()
        for stream in self._streams:
            os.close(stream.end)
        os.environ.pop(CAPTURED, None)

    def _restore(self, only: int | None = None) -> None:
        for stream in self._streams:
            if only is not None and stream.source != only:
                continue
            for fd in stream.fds:
                # Somebody else may have put yet another file there: that one stays.
                if _identity(fd) == stream.identity:
                    os.dup2(stream.original, fd, inheritable=True)

    def _say(self, what: str, path: str) -> None:
        """Put a mark into every stream; what Python holds back was printed before it."""
        flush()
        data = b"%b%b%b\x1b\\" % (self._mark, what.encode(), os.fsencode(path).hex().encode())
        for stream in self._streams:
            if not self.lost:
                os.write(stream.end, data)

    def _listen(self) -> None:
        rest = b""
        while True:
            try:
                data = os.read(self._control, 65536)
            except OSError:
                data = b""
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                what, *words = line.decode("utf-8", "replace").split("\t")
                if what == "broken":
                    self._restore(only=int(words[0]))
                    continue
                path = os.fsdecode(bytes.fromhex(words[0]))
                pairs = (word.rpartition("=") for word in words[2:])
                found = {label: int(count) for label, _, count in pairs}
                self._ended[path] = Ended(found, words[1])
                event = self._waiting.get(path)
                if event is not None:
                    event.set()
        if not self._stopped:
            self._take_over()
        with contextlib.suppress(Exception):
            self._tee.wait(timeout=0)

    def _take_over(self) -> None:
        """The tee died: nobody shall wait for a reader that is no more."""
        self.lost = True
        self._restore()
        for path in list(self._begun):
            self._ended.setdefault(path, Ended({}, "the process that wrote it down died"))
        for event in list(self._waiting.values()):
            event.set()
        for stream in self._streams:
            threading.Thread(target=_pass_on, args=(stream, self._mark), daemon=True).start()


def start(max_bytes: int, allow: Sequence[str]) -> Output | CellOutput | None:
    """Begin to capture, unless there is nothing to capture or somebody else does.

    Not at an interactive prompt, whose output does not end with a run, and not where descriptors
    1 and 2 are captured for the same run by the process above. Of a notebook what its cells print
    is listened to; see `capture.cells`.

    Raises:
        OSError: the pipe or the process could not be made; nothing has changed then.
    """
    if "IPython" in sys.modules:
        from gittrack.capture import cells, notebook

        shell = notebook.find_shell()
        if shell is not None:
            if not notebook.is_kernel(shell):
                return None
            return cells.listen(shell, (sys.stdout, sys.stderr), max_bytes, allow)
    if not sys.executable or hasattr(sys, "ps1") or sys.flags.interactive:
        return None
    known = os.environ.get(CAPTURED, "").split()
    wanted: dict[str, list[int]] = {}
    for fd in (1, 2):
        identity = _identity(fd)
        if identity is not None and identity not in known:
            wanted.setdefault(identity, []).append(fd)
    if not wanted:
        return None
    flush()
    # One stream for both where both lead to one place: so their order stays.
    streams: list[_Stream] = []
    ends: list[int] = []
    ours, theirs = _pipe()
    nonce = os.urandom(8).hex()
    try:
        for fds in wanted.values():
            original = _above_standard(os.dup(fds[0]))
            is_terminal = os.isatty(original)
            source, end = _terminal(original) if is_terminal else _pipe()
            ends.append(end)
            identity = _identity(end) or ""
            streams.append(_Stream(tuple(fds), original, source, end, is_terminal, identity))
        tee = _spawn(streams, theirs, nonce, max_bytes, allow)
    except BaseException:
        for fd in [*ends, *(fd for stream in streams for fd in (stream.original, stream.source))]:
            os.close(fd)
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    for stream, end in zip(streams, ends, strict=True):
        for fd in stream.fds:
            os.dup2(end, fd, inheritable=True)
    os.environ[CAPTURED] = " ".join(stream.identity for stream in streams)
    return Output(streams, ours, nonce, tee)


def flush() -> None:
    """Let go of what Python holds back of the output."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _spawn(
    streams: Sequence[_Stream],
    control: int,
    nonce: str,
    max_bytes: int,
    allow: Sequence[str],
) -> Any:
    import subprocess

    options = [
        str(control), nonce, str(max_bytes),
        ",".join(f"{s.source}:{s.original}:{int(s.is_terminal)}" for s in streams), *allow,
    ]  # fmt: skip
    here = os.path.dirname(os.path.abspath(__file__))
    program = "import sys; sys.path.append(sys.argv[1]); import tee; tee.main()"
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", program, here, *options],
        stdin=subprocess.DEVNULL,
        # Should it fail to start, its complaint goes where ours do.
        stdout=streams[0].original,
        stderr=streams[-1].original,
        pass_fds=[control, *(fd for s in streams for fd in (s.source, s.original))],
        cwd="/",
    )


def _pipe() -> tuple[int, int]:
    source, end = os.pipe()
    return _above_standard(source), _above_standard(end)


def _terminal(original: int) -> tuple[int, int]:
    """A terminal like the one that is there, which leaves every byte as it is."""
    import termios

    source, end = os.openpty()
    source, end = _above_standard(source), _above_standard(end)
    with contextlib.suppress(termios.error):
        mode = termios.tcgetattr(original)
        # The real terminal turns newlines into carriage returns with newlines, once.
        mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ISIG)
        termios.tcsetattr(end, termios.TCSANOW, mode)
    return source, end


def _above_standard(fd: int) -> int:
    """The same file at a number above those that every program uses."""
    if fd > 2:
        return fd
    import fcntl

    higher = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    os.close(fd)
    return higher


def _identity(fd: int) -> str | None:
    """Which file a descriptor leads to; None if it is closed."""
    try:
        found = os.fstat(fd)
    except OSError:
        return None
    return f"{found.st_dev:x}:{found.st_ino:x}:{found.st_rdev:x}"


def _pass_on(stream: _Stream, mark: bytes) -> None:
    """Without the tee: hand on what children still print, without our marks, in a thread."""
    os.set_blocking(stream.source, True)
    rest = b""
    with contextlib.suppress(OSError):
        while data := os.read(stream.source, 65536):
            data = rest + data
            while (at := data.find(mark)) >= 0 and (end := data.find(b"\x1b\\", at)) >= 0:
                data = data[:at] + data[end + 2 :]
            if at < 0:
                at = data.rfind(b"\x1b", max(0, len(data) - len(mark)))
                at = at if at >= 0 and mark.startswith(data[at:]) else len(data)
            os.write(stream.original, data[:at])
            rest = data[at:]
        os.write(stream.original, rest)
