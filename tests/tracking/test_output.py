"""What a process and its children print is passed on unchanged, and recorded folded and safe."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gittrack.capture.tee import Rows, Sink
from gittrack.repo import Repo
from gittrack.repo.follow import Follower
from tests.support import GitRepo

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENV = {**os.environ, "PYTHONPATH": ROOT, "GITTRACK_OUTPUT_CAPTURE": "true"}


@pytest.fixture
def repo(repo: GitRepo) -> Iterator[GitRepo]:
    repo.write("a.txt", "a\n")
    repo.commit()
    yield repo


def ran(repo: GitRepo, script: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", f"import gittrack, os, sys, subprocess\n{script}"],
        cwd=repo.path, env={**ENV, "GITTRACK_OUTPUT_CAPTURE": "true", **env}, capture_output=True,
        timeout=60,
    )  # fmt: skip


def recorded(repo: GitRepo, name: str = "@") -> str:
    with Repo.find(repo.path, {}) as opened:
        return opened.get_output(opened.get_run(name)).decode("utf-8", "replace")


def test_all_that_is_printed_is_recorded_and_passed_on(repo: GitRepo) -> None:
    done = ran(
        repo,
        "print('before')\n"
        "with gittrack.start_run():\n"
        "    print('python')\n"
        "    sys.stdout.flush(); os.write(1, b'descriptor\\n')\n"
        "    subprocess.run(['sh', '-c', 'echo child; echo oops >&2'])\n"
        "    os.write(1, b'\\xff\\xfe no text\\n')\n"
        "print('after')\n",
    )
    assert done.stdout == b"before\npython\ndescriptor\nchild\n\xff\xfe no text\nafter\n"
    assert done.stderr == b"oops\n"
    lines = recorded(repo).splitlines()
    assert [line for line in lines if line != "oops"][:3] == ["python", "descriptor", "child"]
    assert "oops" in lines
    assert "before" not in lines and "after" not in lines


def test_two_runs_have_each_its_own(repo: GitRepo) -> None:
    ran(
        repo,
        "for name in 'ab':\n"
        "    with gittrack.start_run(run_name=name): print('in', name)\n"
        "with gittrack.start_run(run_name='outer'):\n"
        "    print('1')\n"
        "    with gittrack.start_run(run_name='inner', nested=True): print('2')\n"
        "    print('3')\n",
    )
    assert recorded(repo, "a") == "in a\n"
    assert recorded(repo, "b") == "in b\n"
    assert recorded(repo, "outer") == "1\n2\n3\n"
    assert recorded(repo, "inner") == "2\n"


def test_it_can_be_switched_off(repo: GitRepo) -> None:
    done = ran(repo, "with gittrack.start_run(): print('x')\n", GITTRACK_OUTPUT_CAPTURE="false")
    assert done.stdout == b"x\n"
    assert recorded(repo) == ""


def test_order_is_kept_where_both_streams_lead_to_one_place(repo: GitRepo) -> None:
    script = (
        "import gittrack, os, sys\n"
        "with gittrack.start_run():\n"
        "    for i in range(200): os.write(1 + i % 2, b'%d\\n' % i)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repo.path, env=ENV, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, timeout=60,
    )  # fmt: skip
    expected = "".join(f"{i}\n" for i in range(200))
    assert done.stdout.decode() == expected
    assert recorded(repo) == expected


def test_a_terminal_stays_one(repo: GitRepo) -> None:
    script = (
        "import gittrack, sys, os\n"
        "with gittrack.start_run():\n"
        "    print(sys.stdout.isatty(), os.get_terminal_size().columns)\n"
        "    for i in range(5): print(f'\\rstep {i}', end='', flush=True)\n"
        "    print()\n"
    )
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(repo.path)
        os.execve(sys.executable, [sys.executable, "-c", script], ENV)
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if select.select([fd], [], [], 0.1)[0]:
            try:
                data = os.read(fd, 1000)
            except OSError:
                break
            if not data:
                break
            shown += data
    os.waitpid(pid, 0)
    assert shown.startswith(b"True ")
    assert b"\rstep 0\rstep 1" in shown
    lines = recorded(repo).splitlines()
    assert lines[0].startswith("True ")
    assert lines[1:] == ["step 4"]


def test_the_last_words_of_a_process_that_dies_are_kept(repo: GitRepo) -> None:
    done = ran(
        repo,
        "gittrack.start_run()\nprint('last words', flush=True)\nos.kill(os.getpid(), 9)\n",
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == b"last words\n"
    assert recorded(repo) == "last words\n"


def test_a_run_goes_on_when_the_recording_process_dies(repo: GitRepo) -> None:
    done = ran(
        repo,
        "import time, signal\n"
        "with gittrack.start_run():\n"
        "    print('one', flush=True)\n"
        "    out = subprocess.run(['pgrep', '-P', str(os.getpid()), '-f', 'tee.main'],"
        " capture_output=True, text=True).stdout\n"
        "    os.kill(int(out.split()[0]), 9)\n"
        "    time.sleep(0.3)\n"
        "    for i in range(20000): print('line', i)\n",
    )
    assert done.returncode == 0
    assert done.stdout.decode().splitlines() == ["one", *(f"line {i}" for i in range(20000))]
    with Repo.find(repo.path, {}) as opened:
        run = opened.get_run("@")
    assert run.status == "finished"
    assert any("output is not recorded whole" in text for text in run.warnings)


def test_a_reader_that_stops_reading_is_told_to_the_program(repo: GitRepo) -> None:
    script = (
        "import gittrack\n"
        "with gittrack.start_run():\n"
        "    for i in range(1000000): print('line', i)\n"
    )
    done = subprocess.run(
        ["bash", "-c", f'set -o pipefail; "{sys.executable}" -c "$SCRIPT" | head -n 1'],
        cwd=repo.path, env={**ENV, "SCRIPT": script}, capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == b"line 0\n"
    assert b"BrokenPipeError" in done.stderr
    assert done.returncode != 0


def test_secrets_are_taken_out_and_said_so(repo: GitRepo) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    done = ran(repo, f"with gittrack.start_run(): print('token', '{secret}')\n")
    assert secret.encode() in done.stdout
    assert recorded(repo) == "token <redacted>\n"
    with Repo.find(repo.path, {}) as opened:
        assert any("output" in text for text in opened.get_run("@").redacted)


def test_long_output_keeps_its_beginning_and_its_end(repo: GitRepo) -> None:
    ran(
        repo,
        "with gittrack.start_run():\n    for i in range(20000): print('line', i)\n",
        GITTRACK_OUTPUT_MAX_BYTES="10k",
    )
    lines = recorded(repo).splitlines()
    assert lines[0] == "line 0" and lines[-1] == "line 19999"
    (at,) = [i for i, line in enumerate(lines) if "left out" in line]
    left_out = int(lines[at].split()[1])
    assert len(lines) - 1 + left_out == 20000
    assert lines[at + 1] == f"line {at + left_out}"
    assert sum(len(line) + 1 for line in lines) <= 10 * 1024 + 100


def test_a_full_disk_stops_the_record_not_the_program(repo: GitRepo, tmp_path: Path) -> None:
    sink = Sink(str(tmp_path / "missing" / "x"), 1000)
    sink.write([b"a"])
    assert "No such file" in sink.error
    sink.write([b"b"])
    sink.close()


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"a\nb", [b"a", b"b"]),
        (b"1%\r50%\r100%\n", [b"100%"]),
        (b"50%\r\n", [b"50%"]),
        (b"\x1b[31mred\x1b[0m\n", [b"red"]),
        (b"\x1b]0;title\x07text\n", [b"text"]),
        (b"ab\bc\n", [b"ac"]),
        (b"a: 0\nb: 0\n\x1b[2Aa: 1\nb: 1\n", [b"a: 0", b"b: 0", b"a: 1", b"b: 1"]),
        (b"x\n\x1b[1Ay\n\x1b[1Az\n", [b"x", b"z"]),
    ],
)
def test_rows_are_what_a_terminal_shows_in_the_end(data: bytes, rows: list[bytes]) -> None:
    for size in (1, 3, 1000):
        folded = Rows()
        found: list[bytes] = []
        for at in range(0, len(data), size):
            found += folded.feed(data[at : at + size])
        found += folded.finish()
        if b"\x1b[2A" not in data and b"\x1b[1A" not in data:
            assert found == rows
        else:
            assert found[-1] == rows[-1]


@given(st.lists(st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").replace(b"\x1b", b""))))
def test_no_row_is_lost_however_the_bytes_are_cut(rows: list[bytes]) -> None:
    data = b"".join(row + b"\n" for row in rows)
    whole, cut = Rows(), Rows()
    expected = [*whole.feed(data), *whole.finish()]
    found: list[bytes] = []
    for at in range(len(data)):
        found += cut.feed(data[at : at + 1])
    assert [*found, *cut.finish()] == expected
    assert len(expected) == len(rows)


@given(st.lists(st.integers(0, 400), min_size=1), st.integers(100, 3000))
def test_a_sink_keeps_a_beginning_and_an_end(lengths: list[int], most: int) -> None:
    import tempfile

    from gittrack.journal.state import State

    with tempfile.TemporaryDirectory() as folder:
        sink = Sink(os.path.join(folder, "w"), most)
        lines = [b"%d " % i + b"x" * length for i, length in enumerate(lengths)]
        for line in lines:
            sink.write([line])
        sink.close()
        assert sink.error == ""
        kept = State(folder, "run", "w").output()
    whole = b"".join(line + b"\n" for line in lines)
    marks = [line for line in kept.split(b"\n") if b"left out" in line]
    if not marks:
        assert kept == whole
        return
    head, tail = kept.split(marks[0] + b"\n")
    assert whole.startswith(head) and whole.endswith(tail)
    _, count, _, size, *_ = marks[0].split()
    assert len(head) + len(tail) + int(size) == len(whole)
    assert whole.count(b"\n") == kept.count(b"\n") - 1 + int(count)
    follower = Follower()
    assert follower.news("w", head) == head
    assert tail.endswith(follower.news("w", kept))
    assert follower.news("w", kept) == b""


def test_a_stream_may_end_before_another_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both streams say begin and end; which of them is read first is chance."""
    from gittrack.capture.tee import Tee

    monkeypatch.syspath_prepend(os.path.join(ROOT, "gittrack", "capture"))
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    pipes = [os.pipe(), os.pipe()]
    sink = os.open(os.devnull, os.O_WRONLY)
    streams = ",".join(f"{source}:{os.dup(sink)}:0" for source, _ in pipes)
    tee = Tee(str(theirs), "abc", "1000", streams)
    path = str(tmp_path / "w")
    begin, end = (
        b"\x1b_abc" + word + path.encode().hex().encode() + b"\x1b\\" for word in (b"b", b"e")
    )
    for (_, write), text in zip(pipes, (b"out\n", b"err\n"), strict=True):
        os.write(write, begin + text + end)
    first, second = (tee._streams[source] for source, _ in pipes)
    tee._pump(first)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1000)
    tee._pump(second)
    assert os.read(ours, 1000).decode() == f"ended\t{path.encode().hex()}\t\n"
    assert Path(f"{path}.out").read_bytes() == b"out\nerr\n"
    os.close(ours), os.close(theirs)
    for pair in pipes:
        os.close(pair[0]), os.close(pair[1])
