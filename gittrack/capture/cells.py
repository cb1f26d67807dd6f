"""Record what the cells of a notebook print, while a run is active.

A kernel sends to its frontend what is written to `sys.stdout` and `sys.stderr`, and what comes
through descriptors 1 and 2 as well. So these two objects are listened to: nothing is replaced
but their `write`. What is displayed, and tracebacks, take another way and are not recorded.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from typing import Any

from gittrack.capture.output import Ended
from gittrack.capture.redact import LineRedactor
from gittrack.capture.tee import Rows, Sink


class _Ear:
    """One stream: its rows, as they are completed, without secrets."""

    def __init__(self, stream: Any, allow: Sequence[str]) -> None:
        self.stream = stream
        self.rows = Rows()
        self.redactor = LineRedactor(allow)


class CellOutput:
    """The printed output of this kernel; used as `capture.output.Output` is.

    Args:
        shell: IPython's. It puts back the streams' `write` after each cell, so we come anew
            before each.
    """

    lost = False

    def __init__(self, shell: Any, streams: Sequence[Any], max_bytes: int, allow: Sequence[str]):
        self._shell = shell
        self._max_bytes = max_bytes
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._local = threading.local()
        self._sinks: dict[str, Sink] = {}
        self._ended: dict[str, Ended] = {}
        self._ears = [_Ear(stream, allow) for stream in streams]
        self._listen()
        shell.events.register("pre_run_cell", self._listen)

    @property
    def is_here(self) -> bool:
        """Whether this is the process that listens."""
        return self._pid == os.getpid()

    def _listen(self, *_: object) -> None:
        for ear in self._ears:
            if getattr(ear.stream.write, "listener", None) is not self:
                ear.stream.write = self._write_of(ear, ear.stream.write)

    def _write_of(self, ear: _Ear, original: Callable[[str], Any]) -> Callable[[str], Any]:
        def write(text: str) -> Any:
            # Somebody may have come between: then we are in the chain twice.
            if not self._sinks or getattr(self._local, "inside", False) or not self.is_here:
                return original(text)
            self._local.inside = True
            try:
                if isinstance(text, str):
                    with self._lock:
                        self._keep(ear, ear.rows.feed(text.encode("utf-8", "replace")))
                return original(text)
            finally:
                self._local.inside = False

        write.listener = self  # type: ignore[attr-defined]
        return write

    def _keep(self, ear: _Ear, rows: list[bytes]) -> None:
        if not rows:
            return
        safe, found = ear.redactor.redact(rows)
        for sink in self._sinks.values():
            for label in found:
                sink.found[label] = sink.found.get(label, 0) + 1
            sink.write(safe)

    def begin(self, path: str) -> None:
        """From now on, write what is printed to `path` + `.out`; until `end`."""
        self._listen()
        with self._lock:
            self._sinks.setdefault(path, Sink(path, self._max_bytes))

    def end(self, path: str) -> None:
        """What has been printed up to now was the last of `path`."""
        with self._lock:
            if path in self._sinks:
                for ear in self._ears:
                    self._keep(ear, ear.rows.finish())
                sink = self._sinks.pop(path)
                sink.close()
                self._ended[path] = Ended(sink.found, sink.error)

    def wait(self, path: str) -> Ended | None:
        """How a run's output ended; None if it never began."""
        return self._ended.pop(path, None)

    def stop(self) -> None:
        """Listen no more; without a run everything is passed on."""
        self._sinks.clear()
        self._shell.events.unregister("pre_run_cell", self._listen)


def listen(
    shell: Any, streams: Sequence[Any], max_bytes: int, allow: Sequence[str]
) -> CellOutput | None:
    """Listen to a kernel's streams; None if one is of a kind that cannot be listened to."""
    try:
        return CellOutput(shell, streams, max_bytes, allow)
    except AttributeError:
        return None
