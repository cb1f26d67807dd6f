"""A program is waited for to its end, whatever else goes on in the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from gittrack.tracking import program

# The program is gone before anybody waits for it, and a thread from before would take the news.
IN_A_PROCESS_WITH_THREADS = """
import os, threading, time
from gittrack.tracking import program
threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
spawn = os.posix_spawnp
def spawn_and_look_away(*args, **kwargs):
    child = spawn(*args, **kwargs)
    time.sleep(0.2)
    return child
os.posix_spawnp = spawn_and_look_away
with program.signals_blocked():
    print(program.spawn_and_wait(["sh", "-c", "exit 3"], os.environ).exit_code)
"""


def test_the_end_is_seen_in_a_process_with_other_threads() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS_WITH_THREADS],
        capture_output=True, encoding="utf-8", timeout=30, check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("3\n", "")


def test_who_sends_a_signal_has_waited_for_inputs_long_enough() -> None:
    has_read = threading.Event()
    reading = threading.Thread(target=has_read.wait)
    reading.start()
    with program.signals_blocked():
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert not program.wait_for(reading)
        has_read.set()
        assert program.wait_for(reading)


def test_nothing_is_left_running() -> None:
    with program.signals_blocked():
        for code in (0, 5):
            ended = program.spawn_and_wait(["sh", "-c", f"exit {code}"], os.environ)
            assert ended == program.Ended(code)
    assert "gittrack-program" not in {thread.name for thread in threading.enumerate()}
