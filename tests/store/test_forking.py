"""What another thread is in the middle of, and its pipes, are no trap for a forked child."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable, Iterator

import pytest

from gittrack.store import forking
from gittrack.store.forking import lazy, unforked
from gittrack.store.git import Git
from gittrack.store.paths import find_paths
from tests.support import GitRepo

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def git(repo: GitRepo) -> Iterator[Git]:
    git = Git(find_paths(repo.path, {}))
    yield git
    git.close()


def in_child(work: Callable[[], object]) -> bytes:
    """What a forked child makes of it, printed; empty if it dies."""
    source, end = os.pipe()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks where there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        try:
            os.write(end, repr(work()).encode())
        finally:
            os._exit(0)
    os.close(end)
    with open(source, "rb") as file:
        said = file.read()
    os.waitpid(pid, 0)
    return said


def test_a_child_holds_no_pipe_of_a_helper(repo: GitRepo, git: Git) -> None:
    process = git.cat_file()._process
    nowhere = os.stat(os.devnull).st_rdev
    pipes = [pipe.fileno() for pipe in (process.stdin, process.stdout) if pipe is not None]

    def look() -> list[bool]:
        return [os.fstat(fd).st_rdev == nowhere for fd in pipes]

    assert in_child(look) == b"[True, True]"
    assert look() == [False, False]
    head = repo.commit()
    found = git.cat_file().read("HEAD")
    assert found is not None and found.oid == head
    assert git.cat_file()._process is process


def test_a_fork_waits_until_a_block_has_ended() -> None:
    within, forking_now = threading.Event(), threading.Event()
    done: list[bool] = []
    before = threading.get_ident()

    def work() -> None:
        with unforked():
            within.set()
            forking_now.wait()
            done.append(True)

    # Called before the module's own, which came earlier.
    os.register_at_fork(before=lambda: before == threading.get_ident() and forking_now.set())
    thread = threading.Thread(target=work)
    thread.start()
    within.wait()
    assert in_child(lambda: done) == b"[True]"
    thread.join()


def test_a_block_that_takes_long_delays_a_row_of_forks_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    within, over = threading.Event(), threading.Event()

    def work() -> None:
        with unforked():
            within.set()
            over.wait()

    monkeypatch.setattr(forking, "_PATIENCE_S", 0.01)
    thread = threading.Thread(target=work)
    thread.start()
    within.wait()
    assert in_child(lambda: 1) == b"1"
    monkeypatch.setattr(forking, "_PATIENCE_S", 1000)

    def enter() -> int:
        with unforked():
            return 2

    # The child's own gate is open.
    assert in_child(enter) == b"2"
    over.set()
    thread.join()
    assert in_child(enter) == b"2"


def test_what_another_thread_works_out_meanwhile_the_child_works_out_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    within, over = threading.Event(), threading.Event()

    class Thing:
        @lazy
        def made(self) -> list[int]:
            if threading.current_thread() is not threading.main_thread():
                within.set()
                over.wait()
            return [1]

    monkeypatch.setattr(forking, "_PATIENCE_S", 0)
    thing = Thing()
    thread = threading.Thread(target=lambda: thing.made)
    thread.start()
    within.wait()
    assert in_child(lambda: thing.made) == b"[1]"
    over.set()
    thread.join()
    assert thing.made is thing.made


def test_a_reader_is_let_go_of_while_its_pipe_is_held_elsewhere(git: Git) -> None:
    process = git.cat_file()._process
    assert process.stdin is not None
    # As a child has it that a library in C forked.
    copy = os.dup(process.stdin.fileno())
    git.close()
    os.close(copy)
    assert process.returncode is not None
