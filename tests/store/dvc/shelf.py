"""Object stores and remotes as the tests want them, made by hand: nothing of ours wrote them."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from gittrack.store.dvc.config import Settings, choose_remote
from gittrack.store.dvc.remote import Remote, open_remote


def name_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def listing(files: dict[str, bytes]) -> bytes:
    """The bytes of a folder's listing, as DVC writes it."""
    entries = [{"md5": name_of(data), "relpath": path} for path, data in sorted(files.items())]
    return json.dumps(entries, sort_keys=True).encode()


class Shelf:
    """A folder with `files/md5` below it: our store, or what a remote has of ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, oid: str) -> Path:
        return self.folder / "files" / "md5" / oid[:2] / oid[2:]

    def put(self, oid: str, data: bytes) -> str:
        """Whatever bytes under whatever name."""
        path = self.path(oid)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        path.chmod(0o444)
        return oid

    def add(self, data: bytes) -> str:
        return self.put(name_of(data), data)

    def add_listing(self, data: bytes) -> str:
        return self.put(f"{name_of(data)}.dir", data)

    def add_folder(self, files: dict[str, bytes]) -> str:
        for data in files.values():
            self.add(data)
        return self.add_listing(listing(files))

    def remove(self, oid: str) -> None:
        self.path(oid).unlink()

    def read(self, oid: str) -> bytes:
        return self.path(oid).read_bytes()

    def has(self, oid: str) -> bool:
        return self.path(oid).exists()

    def names(self) -> set[str]:
        """All objects; whatever else lies among them fails the test, as does a wrong hash."""
        found = set()
        for folder, _, files in os.walk(self.folder / "files"):
            for file in files:
                oid = os.path.basename(folder) + file
                assert re.fullmatch(r"[0-9a-f]{32}(\.dir)?", oid), oid
                assert name_of(Path(folder, file).read_bytes()) == oid[:32], oid
                found.add(oid)
        return found

    def leftovers(self) -> list[str]:
        """What lies outside the objects."""
        return [
            os.path.join(folder, file)
            for folder, _, files in os.walk(self.folder)
            for file in files
            if not folder.startswith(str(self.folder / "files"))
        ]


#: What `connect` opened; each test closes its own.
CONNECTED: list[Remote] = []


def connect(url: str, common_dir: Path, **options: str) -> Remote:
    """A remote that gittrack's own settings declare."""
    settings = Settings(shared={"store": {"url": url}}, local={"store": options})
    CONNECTED.append(open_remote(choose_remote(None, str(common_dir), settings)))
    return CONNECTED[-1]


def many(count: int, size: int = 100) -> dict[str, bytes]:
    return {f"part/{number:04}.bin": b"%d\n" % number * (size // 5) for number in range(count)}


class WebServer:
    """Files below a folder over http, with PUT; and everything that goes wrong with servers.

    Args:
        dies_after: requests that store or give an object, after which it is gone.
        password: what the header X-Token must hold, else 401.
        lies: it says that it stored what it did not.
        cuts: it stores but half of what it got.
        status: what it answers everything with.
        is_endless: what it gives goes on for ever.
    """

    def __init__(
        self,
        folder: Path,
        *,
        dies_after: int | None = None,
        password: str = "",
        lies: bool = False,
        cuts: bool = False,
        status: int = 0,
        is_endless: bool = False,
    ) -> None:
        self.folder = folder
        self.dies_after = dies_after
        self.password = password
        self.lies = lies
        self.cuts = cuts
        self.status = status
        self.is_endless = is_endless
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._httpd.daemon_threads = True
        # Whoever it was answering is gone; that is no news.
        self._httpd.handle_error = lambda *_: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.host = f"127.0.0.1:{self._httpd.server_address[1]}"
        self.url = f"http://{self.host}/remote"

    @property
    def shelf(self) -> Shelf:
        return Shelf(self.folder / "remote" / "gittrack")

    def stop(self) -> None:
        """Gone at once, with all its connections."""
        self._httpd.socket.close()
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def close(self) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    def counts(self, request: str) -> bool:
        """Whether this request is still answered."""
        with self._lock:
            self.requests.append(request)
            method, _, path = request.partition(" ")
            moves = method == "PUT" or (
                method == "GET" and (self.folder / path.lstrip("/")).exists()
            )
            if self.dies_after is None or not moves:
                return True
            self.dies_after -= 1
            return self.dies_after >= 0

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                server._sockets.append(self.connection)

            def log_message(self, *_: object) -> None:
                pass

            def is_refused(self) -> bool:
                if not server.counts(f"{self.command} {self.path}"):
                    server.stop()
                    self.close_connection = True
                    return True
                if server.status:
                    self.answer(server.status)
                    return True
                if server.password and self.headers.get("X-Token") != server.password:
                    self.answer(401)
                    return True
                return False

            def answer(self, status: int, data: bytes = b"") -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def body(self) -> bytes:
                if "chunked" not in self.headers.get("Transfer-Encoding", ""):
                    return self.rfile.read(int(self.headers.get("Content-Length", 0)))
                data = b""
                while size := int(self.rfile.readline(), 16):
                    data += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return data

            def do_GET(self) -> None:
                if self.is_refused():
                    return
                try:
                    data = (server.folder / self.path.lstrip("/")).read_bytes()
                except OSError:
                    self.answer(404)
                else:
                    if server.is_endless and self.command == "GET":
                        self.send_response(200)
                        self.send_header("Content-Length", str(2**40))
                        self.end_headers()
                        while True:
                            self.wfile.write(bytes(1 << 16))
                    self.answer(200, data)

            do_HEAD = do_GET

            def do_PUT(self) -> None:
                data = self.body()
                if self.is_refused():
                    return
                path = server.folder / self.path.lstrip("/")
                if server.cuts:
                    data = data[: len(data) // 2]
                if not server.lies:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    half = path.with_name(f"{path.name}.{threading.get_ident()}")
                    half.write_bytes(data)
                    os.replace(half, path)
                self.answer(201)

        return Handler
