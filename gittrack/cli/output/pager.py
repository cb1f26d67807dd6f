"""A pager, chosen and fed as git does it."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping


def find_pager(environ: Mapping[str, str]) -> str | None:
    """The command that pages, or None: GITTRACK_PAGER, else whatever git itself would use."""
    own = environ.get("GITTRACK_PAGER")
    if own is None:
        try:
            done = subprocess.run(["git", "var", "GIT_PAGER"], capture_output=True, check=False)
        except OSError:
            return None
        own = done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else "less"
    return None if own.strip() in ("", "cat") else own


class Pager:
    """A running pager; what is written goes to its standard input."""

    def __init__(self, command: str, environ: Mapping[str, str]) -> None:
        # As git: less ends by itself on one screen, shows colours, and leaves the text there.
        env = {"LESS": "FRX", "LV": "-c", **environ}
        self._process = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, env=env)

    def write(self, data: bytes) -> None:
        """Hand it on; BrokenPipeError when whoever reads has seen enough."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def close(self) -> None:
        """Wait until it is closed by who reads."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        while True:
            try:
                self._process.wait()
                return
            except KeyboardInterrupt:
                # The same key reaches the pager, which stays; git waits for it as well.
                continue
