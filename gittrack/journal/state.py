"""Read journals back, and take them away."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
from typing import Any, NamedTuple

from gittrack.core import codec
from gittrack.core.model import KILLED, Stamp, next_time
from gittrack.errors import JournalError
from gittrack.journal.files import FILES, HEAD, LOG, PARTLY, TAIL, unlink

FORMAT = 1


#: The line that stands for what was left out of a long output.
_LEFT_OUT = re.compile(rb"(?m)^\[\.\.\. \d+ lines, (\d+) bytes left out \.\.\.\]\n")


class Staged(NamedTuple):
    """An artifact: `file` is its copy beside the journal, or `md5` its name in an object store.

    `path` is its key in artifacts.yaml, `files` the number of files of a folder.
    """

    path: str
    size_bytes: int
    mode: str
    stamp: tuple[int, str]
    file: str = ""
    md5: str | None = None
    files: int | None = None


class State:
    """What one writer's journal says, up to its last whole line."""

    __slots__ = (
        "artifacts",
        "damaged",
        "disk",
        "end",
        "facts",
        "folder",
        "header",
        "inputs",
        "keys",
        "notes",
        "params",
        "points",
        "run_id",
        "source",
        "writer",
        "writer_facts",
    )

    def __init__(self, folder: str, run_id: str, writer: str) -> None:
        self.folder = folder
        self.run_id = run_id
        self.writer = writer
        self.header: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.writer_facts: dict[str, Any] = {}
        self.source: dict[str, Any] = {}
        self.disk: dict[str, Any] = {}
        self.params: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self.notes: dict[str, Stamp] = {}
        self.artifacts: dict[str, Staged] = {}
        self.end: dict[str, Any] = {}
        #: Key numbers to keys, and to (step, time_ms, value as text).
        self.keys: dict[str, str] = {}
        self.points: dict[str, list[tuple[int, int, str]]] = {}
        self.damaged = 0

    @property
    def owner(self) -> str:
        """The process that wrote it, as named in `.alive`."""
        return self.writer.partition("-")[0]

    @property
    def resumes(self) -> bool:
        """Whether the run began before this file."""
        return bool(self.header.get("resumes"))

    @property
    def joins(self) -> bool:
        """Whether another writer, not this one, decides how the run ends."""
        return bool(self.header.get("joins"))

    @property
    def is_open(self) -> bool:
        """Whether the run goes on without a process, until somebody ends it."""
        return bool(self.header.get("open"))

    @property
    def is_step(self) -> bool:
        """Whether this was a single step from the command line, no process worth naming."""
        return bool(self.header.get("step"))

    @property
    def is_settled(self) -> bool:
        """Whether what is written once, such as the source that ran, is all there."""
        return bool(self.header.get("settled"))

    def last_written_ms(self) -> int:
        """When the file was last written."""
        try:
            return int(os.stat(os.path.join(self.folder, self.writer + LOG)).st_mtime * 1000)
        except FileNotFoundError:
            return 0

    def output(self) -> bytes:
        """What the writer printed, as far as it was kept; a line tells what is missing."""
        return read_output(os.path.join(self.folder, self.writer))

    def by_key(self) -> dict[str, list[tuple[int, int, str]]]:
        """All points by key, equal ones once, as (step, time_ms, value as text)."""
        return {
            self.keys[number]: codec.distinct(points)
            for number, points in self.points.items()
            if points
        }

    def staged_path(self, name: str) -> str:
        """Where the copy of that name lies."""
        return os.path.join(self.folder, self.writer + FILES, os.path.basename(name))


def read_output(path: str) -> bytes:
    """What a writer printed, as far as it was kept; a line tells what is missing.

    Args:
        path: what the names of its files begin with.
    """
    head, tail = _read_or_empty(path + HEAD), _read_or_empty(path + TAIL)
    first, _, rest = tail.partition(b"\n")
    try:
        lines, size, most = (int(word) for word in first.split())
    except ValueError:
        return head  # there is no tail yet
    if len(rest) > most:
        start = rest.find(b"\n", len(rest) - most) + 1
        lines, size, rest = lines + rest.count(b"\n", 0, start), size + start, rest[start:]
    left_out = b"[... %d lines, %d bytes left out ...]\n" % (lines, size) if lines else b""
    return head + left_out + rest


def split_output(data: bytes) -> tuple[bytes, int, bytes]:
    """The beginning, how many bytes were left out, and the end, of what `read_output` gave."""
    mark = _LEFT_OUT.search(data)
    if mark is None:
        return data, 0, b""
    return data[: mark.start()], int(mark[1]), data[mark.end() :]


def list_outputs(folder: str) -> list[str]:
    """The writers of a run that have printed something."""
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name[: -len(HEAD)] for name in names if name.endswith(HEAD))


def list_runs(journal_dir: str) -> list[str]:
    """The ids of the runs that have a journal here, oldest first."""
    try:
        names = os.listdir(journal_dir)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(name for name in names if not name.startswith("."))


def read_run(journal_dir: str, run_id: str) -> list[State]:
    """What the journals of a run say; empty if it has none, or has been sealed meanwhile."""
    folder = os.path.join(journal_dir, run_id)
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    states = []
    for name in names:
        if name.endswith(LOG):
            state = read_journal(folder, run_id, name[: -len(LOG)])
            if state is not None:
                states.append(state)
    return states


def list_empty(journal_dir: str, run_id: str) -> list[State]:
    """The journals of a run that nothing was written to: their writers are about to, or died."""
    folder = os.path.join(journal_dir, run_id)
    empty = []
    with contextlib.suppress(OSError):
        for name in sorted(os.listdir(folder)):
            if name.endswith(LOG) and os.path.getsize(os.path.join(folder, name)) == 0:
                empty.append(State(folder, run_id, name[: -len(LOG)]))
    return empty


def read_journal(folder: str, run_id: str, writer: str) -> State | None:
    """What one journal says; None if it is gone or holds no whole header."""
    try:
        with open(os.path.join(folder, writer + LOG), "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return None
    state = State(folder, run_id, writer)
    parse(state, data)
    return state if state.header else None


def parse(state: State, data: bytes) -> None:
    """Add to a state what the whole lines of a journal say.

    Lines that a crash of the machine left unreadable are counted, not obeyed.
    """
    end = data.rfind(b"\n") + 1
    points = state.points
    for line in data[:end].decode("utf-8", "replace").split("\n")[:-1]:
        try:
            if line[0] == "M":
                _, number, step, time_ms, value = line.split(" ")
                float(value)
                points[number].append((int(step), int(time_ms), value))
            else:
                _parse_record(state, line)
        except (IndexError, KeyError, ValueError, TypeError):
            state.damaged += 1


def _parse_record(state: State, line: str) -> None:
    op = line[:2]
    if op == "K ":
        number, key = line[2:].split(" ", 1)
        state.keys[number] = str(json.loads(key))
        state.points.setdefault(number, [])
        return
    record = json.loads(line[2:])
    if not isinstance(record, dict):
        raise ValueError(line)
    if op == "J ":
        if record.get("format", FORMAT) > FORMAT:
            raise JournalError(
                f"the journal of run {state.run_id} has format {record['format']}",
                why=f"a newer gittrack writes it; this one reads format {FORMAT}",
                next="pip install --upgrade gittrack",
            )
        state.header.update(record)
    elif op == "N ":
        for key, (value, t, by) in record.items():
            state.notes[key] = Stamp(value, int(t), str(by))
    elif op == "A ":
        t, by = record.pop("stamp")
        staged = Staged(stamp=(int(t), str(by)), **record)
        state.artifacts[staged.path] = staged
    else:
        {
            "R ": state.facts,
            "W ": state.writer_facts,
            "S ": state.source,
            "D ": state.disk,
            "P ": state.params,
            "I ": state.inputs,
            "E ": state.end,
        }[op].update(record)


def mark_killed(state: State) -> None:
    """The end that a writer could not write: killed, when it last wrote.

    Of a run that somebody else ends, only this writer's part ended so.
    """
    last_ms = state.last_written_ms()
    end = codec.format_time(last_ms)
    state.end = {"status": KILLED, "end": end}
    if not state.joins:
        t = next_time(last_ms, max((stamp.t for stamp in state.notes.values()), default=0))
        state.notes["status"] = Stamp(KILLED, t, state.writer)
        state.notes["end"] = Stamp(end, t, state.writer)


def mark_partly_sealed(folder: str) -> None:
    """Note that the store holds some of what a run's folder of journals holds; before it does."""
    with open(os.path.join(folder, PARTLY), "wb"):
        pass


def is_partly_sealed(folder: str) -> bool:
    """Whether that was noted."""
    return os.path.exists(os.path.join(folder, PARTLY))


def remove(state: State) -> None:
    """Take a sealed journal away; the run's folder goes with the last one."""
    # The log first: whoever finds files without a log knows that the run is in the store.
    unlink(os.path.join(state.folder, state.writer + LOG))
    for kind in (HEAD, TAIL):
        unlink(os.path.join(state.folder, state.writer + kind))
    files = os.path.join(state.folder, state.writer + FILES)
    if os.path.isdir(files):
        shutil.rmtree(files, ignore_errors=True)
    try:
        if os.listdir(state.folder) == [PARTLY]:
            unlink(os.path.join(state.folder, PARTLY))
        os.rmdir(state.folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            raise


def _read_or_empty(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
