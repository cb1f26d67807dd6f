"""What a kernel of IPython tells of itself: its notebook, and the cells that ran in it.

IPython is passed in, never imported. A kernel is not told which notebook it runs; what its
frontend has left behind is looked at, the surest first. Nothing here raises, or takes longer than
0.2 s.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from gittrack.capture import redact

#: The most that is kept of one cell, and of all of them: what git takes as one file.
_MOST_OF_CELL, _MOST_BYTES = 20_000, 90_000
#: A cell larger than that holds data; it is not even looked through.
_MOST_LOOKED_AT = 500_000
_PATIENCE_S = 0.2
_MOST_OF_ANSWER = 1_000_000
#: Programs that run one notebook and nothing else: what they were told to run is its name.
_RUNNERS = ("nbconvert", "papermill", "execute", "nbclient", "nbmake", "quarto", "ploomber")
_KERNEL_ID = re.compile(r"kernel-(.+)\.json$")


class Cell(NamedTuple):
    """A cell as it ran: all its execution counts, if it ran several times without a change."""

    counts: tuple[int, ...]
    source: str


def find_shell() -> Any | None:
    """IPython's shell, if this process is inside one: a terminal's or a kernel's."""
    module = sys.modules.get("IPython")
    return None if module is None else getattr(module, "get_ipython", lambda: None)()


def is_kernel(shell: Any) -> bool:
    """Whether a shell is that of a notebook, a console or an editor, not of a terminal."""
    return getattr(shell, "kernel", None) is not None


# -- the notebook's name -------------------------------------------------------------------


def find_path(shell: Any, environ: Mapping[str, str]) -> str:
    """The full path of the kernel's notebook; empty if it cannot be told.

    Asked are, in this order: VS Code (`__vsc_ipynb_file__`), papermill (`PAPERMILL_INPUT_PATH`),
    jupyter_server from 2.0 on (`JPY_SESSION_NAME`), the program that started the kernel, if it
    runs a single notebook, and the API of an older server. A notebook that is not there under
    this name is none: a session may be called anything.
    """
    names = getattr(shell, "user_ns", {})
    for name in ("__vsc_ipynb_file__", "PAPERMILL_INPUT_PATH"):
        path = _existing(names.get(name), os.getcwd())
        if path:
            return path
    parent = _parent(environ)
    path = _existing(environ.get("JPY_SESSION_NAME"), os.getcwd())
    # A kernel that a notebook's own cell has started inherits the variable.
    if path and not _says(parent, "JPY_SESSION_NAME", environ["JPY_SESSION_NAME"]):
        return path
    return _of_runner(parent) or _of_server(shell, parent)


def _existing(name: object, folder: str) -> str:
    """The notebook of that name; a server may give its path from the server's own root."""
    if not isinstance(name, str) or not name.endswith(".ipynb"):
        return ""
    for path in (os.path.join(folder, name), os.path.join(folder, os.path.basename(name))):
        with contextlib.suppress(OSError, ValueError):
            if os.path.isfile(path):
                return os.path.abspath(path)
    return ""


def _parent(environ: Mapping[str, str]) -> int:
    named = environ.get("JPY_PARENT_PID", "")
    return int(named) if named.isascii() and named.isdigit() else os.getppid()


def _words(pid: int, file: str) -> list[str]:
    """The command line or the environment of a process; empty where /proc is not, or not ours."""
    try:
        with open(f"/proc/{pid}/{file}", "rb") as data:
            return os.fsdecode(data.read(_MOST_OF_ANSWER)).split("\0")
    except OSError:
        return []


def _says(pid: int, variable: str, value: str) -> bool:
    return f"{variable}={value}" in _words(pid, "environ")


def _of_runner(pid: int) -> str:
    """What `jupyter nbconvert --execute a.ipynb` or `papermill a.ipynb b.ipynb` was told to run."""
    words = _words(pid, "cmdline")
    program = " ".join(os.path.basename(word) for word in words[:4])
    if not any(runner in program for runner in _RUNNERS):
        return ""
    try:
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""
    found = [path for word in words if (path := _existing(word, folder))]
    # Of several, nobody knows which one this kernel runs; papermill's second is what it writes.
    return found[0] if found and ("papermill" in program or len(set(found)) == 1) else ""


def _of_server(shell: Any, pid: int) -> str:
    """Ask the server that started the kernel, in a thread that nobody waits for for long."""
    import threading

    found: list[str] = []

    def ask() -> None:
        # Whatever it answers, or does not: there is no name then.
        with contextlib.suppress(Exception):
            found.append(_ask_server(shell, pid))

    thread = threading.Thread(target=ask, name="gittrack-notebook", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return found[0] if found else ""


def _ask_server(shell: Any, pid: int) -> str:
    connection = getattr(getattr(shell, "kernel", None), "parent", None)
    file = getattr(connection, "abs_connection_file", "") or ""
    kernel = _KERNEL_ID.search(os.path.basename(file))
    if kernel is None:
        return ""
    for name in (f"jpserver-{pid}.json", f"nbserver-{pid}.json"):
        place = os.path.join(os.path.dirname(file), name)
        if os.path.isfile(place):
            break
    else:
        return ""
    with open(place, "rb") as data:
        server = json.loads(data.read(_MOST_OF_ANSWER))
    sessions = _get(server["url"], f"api/sessions?token={server.get('token', '')}")
    root = server.get("root_dir") or server.get("notebook_dir") or ""
    for session in sessions:
        if session["kernel"]["id"] == kernel[1]:
            path = (session.get("notebook") or session)["path"]
            return _existing(os.path.join(root, path), os.getcwd())
    return ""


def _get(url: str, path: str) -> Any:
    """What a server of this machine answers; no proxy, no other scheme."""
    from http.client import HTTPConnection
    from urllib.parse import urlsplit

    at = urlsplit(url)
    if at.scheme != "http" or not at.hostname:
        return []
    connection = HTTPConnection(at.hostname, at.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", f"{at.path}{path}")
        return json.loads(connection.getresponse().read(_MOST_OF_ANSWER))
    finally:
        connection.close()


# -- the cells -----------------------------------------------------------------------------


def list_cells(sources: Sequence[str]) -> list[Cell]:
    """The cells that ran, in order; one that ran again without a change stays where it was.

    Args:
        sources: by execution count, nothing at 0, as IPython's `input_hist_raw`.
    """
    counts: dict[str, list[int]] = {}
    for count, source in enumerate(sources):
        text = source.strip("\n")
        if text.strip():
            counts.setdefault(text, []).append(count)
    return [Cell(tuple(at), source) for source, at in counts.items()]


def render_cells(cells: Sequence[Cell], allow: Sequence[str] = ()) -> tuple[str, list[str]]:
    """The cells in the percent format, without secrets, and the kinds of those that were found.

    Magics and shell lines stay as they are. Of more than 90 kB the cells in the middle are left
    out, which a line tells.
    """
    found: list[str] = []
    blocks = []
    for cell in cells:
        safe, hits = _safe_source(cell.source, tuple(allow))
        found += hits
        blocks.append(f"# %% [{', '.join(map(str, cell.counts))}]\n{safe}\n")
    sizes = [len(block.encode("utf-8", "surrogatepass")) + 1 for block in blocks]
    first, last = _middle(sizes)
    if first < last:
        note = f"# %% [... {last - first} cells, {sum(sizes[first:last])} bytes left out ...]\n"
        blocks[first:last] = [note]
    return "\n".join(blocks), found


def _middle(sizes: Sequence[int]) -> tuple[int, int]:
    """Which cells to leave out so that the rest fits: from, to."""
    if sum(sizes) <= _MOST_BYTES:
        return 0, 0
    first, room = 0, _MOST_BYTES // 2
    while sizes[first] <= room:
        room -= sizes[first]
        first += 1
    last, room = len(sizes), _MOST_BYTES // 2
    while last > first and sizes[last - 1] <= room:
        last -= 1
        room -= sizes[last]
    return first, last


# All cells are written again whenever one has run.
@lru_cache(maxsize=512)
def _safe_source(source: str, allow: tuple[str, ...]) -> tuple[str, list[str]]:
    if len(source) > _MOST_LOOKED_AT:
        return f"# ... {len(source)} characters left out ...", []
    safe, found = redact.redact_code(source, allow)
    if len(safe) > _MOST_OF_CELL:
        left_out = len(safe) - _MOST_OF_CELL
        safe = f"{safe[:_MOST_OF_CELL]}\n# ... {left_out} characters left out ..."
    return safe, found
