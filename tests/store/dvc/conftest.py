"""What the tests of artifact remotes start from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.store.dvc.shelf import CONNECTED, Shelf, WebServer


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of the machine's DVC or AWS; remotes are closed."""
    for variable in list(os.environ):
        if variable.startswith(("DVC_", "AWS_")) or variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    yield
    while CONNECTED:
        CONNECTED.pop().close()


@pytest.fixture
def ours(tmp_path: Path) -> Shelf:
    """Our object store."""
    return Shelf(tmp_path / "common" / "gittrack" / "odb")


@pytest.fixture
def disk(tmp_path: Path) -> Shelf:
    """What a remote at `disk` in the temporary folder has of ours."""
    return Shelf(tmp_path / "disk" / "gittrack")


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[..., WebServer]]:
    """Starts web servers."""
    servers = []

    def start(**how: object) -> WebServer:
        server = WebServer(tmp_path / f"web{len(servers)}", **how)  # type: ignore[arg-type]
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()
