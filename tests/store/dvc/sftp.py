"""An SFTP server that shows the whole disk to whoever knows the password; prints its port.

    python -m tests.store.dvc.sftp [WRITES]

After so many writes the line is cut in the middle of one.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import asyncssh

PASSWORD = "s3cret"
left = int(sys.argv[1]) if sys.argv[1:] else 10**9


class Login(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return password == PASSWORD


class Files(asyncssh.SFTPServer):
    def write(self, file_obj: Any, offset: int, data: bytes) -> Any:
        global left
        left -= 1
        if left < 0:
            super().write(file_obj, offset, data[: len(data) // 2])
            file_obj.flush()
            os._exit(0)
        return super().write(file_obj, offset, data)


async def serve() -> None:
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
        server_factory=Login,
        sftp_factory=Files,
    )
    print(server.get_port(), flush=True)
    await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(serve())
