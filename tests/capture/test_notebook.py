"""What a kernel tells of its notebook and its cells; kernels themselves are started elsewhere."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from gittrack.capture.notebook import Cell, find_path, list_cells, render_cells

#: Nobody's process: nothing can be read of it.
NOBODY = {"JPY_PARENT_PID": str(2**22 + 1)}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "a.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(**names: object) -> SimpleNamespace:
    return SimpleNamespace(user_ns=names)


def test_the_notebook_is_named_by_what_its_frontend_left_behind(here: Path) -> None:
    path = str(here / "a.ipynb")
    assert find_path(shell(__vsc_ipynb_file__=path), NOBODY) == path
    assert find_path(shell(PAPERMILL_INPUT_PATH="a.ipynb"), NOBODY) == path
    # From the server's root, which the kernel does not know; its folder is the notebook's.
    for name in (path, "a.ipynb", "work/nb/a.ipynb"):
        assert find_path(shell(), {**NOBODY, "JPY_SESSION_NAME": name}) == path
    for name in ("gone.ipynb", "Console 1", "a\0.ipynb", ""):
        assert find_path(shell(__vsc_ipynb_file__=name), NOBODY) == ""
        assert find_path(shell(), {**NOBODY, "JPY_SESSION_NAME": name}) == ""
    assert find_path(shell(__vsc_ipynb_file__=7), {"JPY_PARENT_PID": "x"}) == ""


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="there is no /proc")
def test_a_name_that_the_parent_has_too_is_its_own(here: Path) -> None:
    words = Path("/proc/self/environ").read_bytes().split(b"\0")
    name = next(w for w in words if w.startswith(b"PATH=")).decode()[5:]
    mine = {"JPY_PARENT_PID": str(os.getpid()), "JPY_SESSION_NAME": "a.ipynb"}
    assert find_path(shell(), mine) == str(here / "a.ipynb")
    from gittrack.capture import notebook

    assert notebook._says(os.getpid(), "PATH", name)
    assert not notebook._says(os.getpid(), "JPY_SESSION_NAME", "a.ipynb")


class Sessions(BaseHTTPRequestHandler):
    """A server of before jupyter_server 2.0."""

    def do_GET(self) -> None:
        assert self.path == "/lab/api/sessions?token=t0"
        found = [{"kernel": {"id": "of-another"}, "path": "b.ipynb"},
                 {"kernel": {"id": "k-1"}, "path": "a.ipynb"}]  # fmt: skip
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    def log_message(self, *args: object) -> None:
        pass


def ask(here: Path, port: int, kernel: str = "k-1") -> str:
    server = {"url": f"http://127.0.0.1:{port}/lab/", "token": "t0", "root_dir": str(here)}
    (here / "jpserver-4194305.json").write_text(json.dumps(server))
    asking = shell()
    file = str(here / f"kernel-{kernel}.json")
    asking.kernel = SimpleNamespace(parent=SimpleNamespace(abs_connection_file=file))
    return find_path(asking, NOBODY)


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Sessions) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_an_older_server_is_asked(here: Path, port: int) -> None:
    assert ask(here, port) == str(here / "a.ipynb")
    assert ask(here, port, "k-2") == ""


def test_a_server_that_does_not_answer_delays_nobody(here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        assert ask(here, silent.getsockname()[1]) == ""
        # 0.2 s, and what a busy machine adds.
        assert time.monotonic() - began < 1.5


def test_cells_are_listed_in_order_and_once() -> None:
    sources = ["", "import a\n", "fit(1)", "import a", "  ", "fit(2)", "fit(1)"]
    cells = list_cells(sources)
    assert cells == [Cell((1, 3), "import a"), Cell((2, 6), "fit(1)"), Cell((5,), "fit(2)")]
    text, found = render_cells(cells)
    assert text == "# %% [1, 3]\nimport a\n\n# %% [2, 6]\nfit(1)\n\n# %% [5]\nfit(2)\n"
    assert found == []
    assert render_cells([]) == ("", [])


def test_cells_hold_no_secrets() -> None:
    text, found = render_cells([Cell((1,), "x = 1\npassword = 'hunter2'\n%env API_KEY abc123")])
    assert text == "# %% [1]\nx = 1\npassword = '<redacted>'\n%env API_KEY <redacted>\n"
    assert found == ["password", "API_KEY"]


def test_cells_are_bounded() -> None:
    long = Cell((1,), "x = 1  # " + "a " * 50_000)
    assert len(render_cells([long])[0]) < 21_000
    data = Cell((1,), "x = '''" + "a" * 1_000_000)
    assert render_cells([data])[0] == "# %% [1]\n# ... 1000007 characters left out ...\n"
    many = [Cell((n,), f"step({n})  # {'b ' * 500}") for n in range(1, 201)]
    text, _ = render_cells(many)
    assert len(text) < 91_000
    assert "# %% [1]\n" in text and "# %% [200]\n" in text
    assert text.count("left out ...]") == 1
