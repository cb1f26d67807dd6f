"""What becomes of git where an exchange with a remote is broken off."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from gittrack.store import remote
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from tests.support import GitRepo


@pytest.mark.timeout(30)
@pytest.mark.parametrize("asks", [False, True])
def test_a_signal_while_git_starts_ends_it(
    repo: GitRepo, monkeypatch: pytest.MonkeyPatch, asks: bool
) -> None:
    git = Git(find_paths(repo.path, {}))
    begun: list[subprocess.Popen[bytes]] = []
    start = git.start

    def start_late(*args: str, **options: Any) -> subprocess.Popen[bytes]:
        if "ls-remote" not in args:
            return start(*args, **options)
        signal.raise_signal(signal.SIGINT)
        begun.append(start("-c", "alias.wait=!echo; exec sleep 60", "wait", **options))
        assert begun[0].stdout is not None
        begun[0].stdout.read(1)  # git has a child by now, which holds its pipes
        return begun[0]

    monkeypatch.setattr(git, "start", start_late)
    with pytest.raises(KeyboardInterrupt):
        remote.list_refs_of(git, "nowhere", [], remote.Patience(asks=asks))
    assert begun[0].returncode == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    for pipe in (begun[0].stdout, begun[0].stderr):
        assert pipe is not None
        pipe.close()
