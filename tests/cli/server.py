"""Runs command lines of gittrack, each in a process that is forked from one that has imported it.

Starting Python and importing gittrack are most of what a short command takes: 100 of 145 ms. What
is forked is a process of its own, with its own folder, environment, standard streams and end.
"""

from __future__ import annotations

import array
import io
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence

#: What a Python reads before it runs a line of ours: a process with another value is started anew.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "MALLOC", "LD_")


class Server:
    """The process that the others are forked from; one command at a time."""

    def __init__(self, root: str, environ: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._is_broken = False
        self._settings = _settings(environ)
        self._socket, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.server", str(theirs.fileno())],
            cwd=root, env=dict(environ), pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
        )  # fmt: skip
        theirs.close()

    def run(
        self, words: Sequence[str], cwd: str, environ: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes] | None:
        """Run `gittrack` with these words; None where only a Python of its own can do that."""
        if self._is_broken or _settings(environ) != self._settings:
            return None
        if not self._lock.acquire(blocking=False):
            return None
        try:
            out, out_end = os.pipe()
            err, err_end = os.pipe()
            ends = [os.open(os.devnull, os.O_RDONLY), out_end, err_end]
            request = json.dumps([list(words), cwd, dict(environ)]).encode()
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends))
            self._socket.sendmsg([len(request).to_bytes(8, "big")], [rights])
            self._socket.sendall(request)
            for end in ends:
                os.close(end)
            said = _read_all([out, err])
            code = int.from_bytes(_read_exactly(self._socket, 4), "big", signed=True)
        except BaseException:
            # A test that took too long, most of all: its answer is still to come.
            self._is_broken = True
            self._process.kill()
            raise
        finally:
            self._lock.release()
        return subprocess.CompletedProcess(["gittrack", *words], code, *said)

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()


def _settings(environ: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in environ.items() if key.startswith(_READ_AT_START)}


def _read_all(pipes: list[int]) -> list[bytes]:
    """What comes through pipes until their ends."""
    found: dict[int, list[bytes]] = {pipe: [] for pipe in pipes}
    with selectors.DefaultSelector() as selector:
        for pipe in pipes:
            selector.register(pipe, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select():
                data = os.read(key.fd, 1 << 16)
                found[key.fd].append(data)
                if not data:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(found[pipe]) for pipe in pipes]


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise EOFError("the server of command lines has ended")
        data += more
    return data


# -- in the server -------------------------------------------------------------------------


def _serve(connection: socket.socket) -> list[str] | None:
    """Answer requests to their end; in the process that is forked for one, its words."""
    while True:
        ends = array.array("i")
        head, ancillary, _, _ = connection.recvmsg(8, socket.CMSG_SPACE(3 * ends.itemsize))
        if not head:
            return None
        for _, _, data in ancillary:
            ends.frombytes(data)
        head += _read_exactly(connection, 8 - len(head))
        request = _read_exactly(connection, int.from_bytes(head, "big"))
        child = os.fork()
        if not child:
            connection.close()
            words, cwd, environ = json.loads(request)
            _become(cwd, environ, list(ends))
            return list(words)
        for end in ends:
            os.close(end)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        connection.sendall(code.to_bytes(4, "big", signed=True))


def _become(cwd: str, environ: Mapping[str, str], ends: Sequence[int]) -> None:
    """Take the folder, the environment and the streams of the process that is asked for."""
    import time

    for number, end in enumerate(ends):
        os.dup2(end, number)
        os.close(end)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), encoding="utf-8")
    sys.stdout = _stream(1, "strict", line_buffering=False)
    sys.stderr = _stream(2, "backslashreplace", line_buffering=True)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr


def _stream(number: int, errors: str, *, line_buffering: bool) -> io.TextIOWrapper:
    raw = io.BufferedWriter(io.FileIO(number, "w", closefd=False))
    return io.TextIOWrapper(raw, encoding="utf-8", errors=errors, line_buffering=line_buffering)


def _main() -> None:
    import gc
    import pkgutil
    from importlib import import_module
    from importlib.machinery import ModuleSpec

    import gittrack
    from gittrack.cli import main

    # None of them imports a library of others, such as pygit2, that reads the environment then.
    for module in pkgutil.walk_packages(gittrack.__path__, "gittrack."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in ("csv", "hashlib", "importlib.metadata", "sqlite3", "tempfile", "zipfile"):
        import_module(name)
    # What a run says of the program that made it.
    sys.modules["__main__"].__spec__ = ModuleSpec("gittrack.__main__", None)
    gc.freeze()
    words = _serve(socket.socket(fileno=int(sys.argv[1])))
    if words is not None:
        sys.argv[1:] = words
        sys.orig_argv[1:] = ["-m", "gittrack", *words]
        main.entry()


if __name__ == "__main__":
    _main()
