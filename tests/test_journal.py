"""A journal cut at any byte gives back every whole record, and nothing else."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gittrack import journal
from gittrack.errors import JournalError

RUN = "20261123-153012-7f3a9c1d2b4e"


def same(key: str) -> str:
    return key


@pytest.fixture
def folder(tmp_path: Path):
    path = str(tmp_path / "journal")
    yield path
    journal.disown(path)


def begin(folder: str, run_id: str = RUN, **header: object) -> journal.RunJournal:
    owner = journal.own(folder, "host", "boot")
    log = journal.RunJournal(folder, run_id, owner)
    log.begin([("J", {"format": 1, "run": run_id, "writer": owner.writer, **header})])
    return log


def read(folder: str) -> journal.State:
    (state,) = journal.read_run(folder, RUN)
    return state


def test_what_was_written_is_read(folder: str) -> None:
    log = begin(folder)
    log.append("R", {"id": RUN})
    log.append("P", {"lr": 0.1, "text": "é\n\u2028", "none": None})
    log.stamp({"name": "brave-otter"})
    log.append_point("loss", 0.5, None, 1000, same)
    log.append_point("loss", math.nan, None, 1001, same)
    log.append_point("a b\n", -math.inf, 7, 1002, same)
    log.append_points([("loss", 1e-300), ("acc", 1.0)], None, 1003, same)
    state = read(folder)
    assert state.facts == {"id": RUN}
    assert state.params == {"lr": 0.1, "text": "é\n\u2028", "none": None}
    assert state.notes["name"].v == "brave-otter"
    assert state.by_key() == {
        "loss": [(0, 1000, "0.5"), (1, 1001, "nan"), (2, 1003, "1e-300")],
        "a b\n": [(7, 1002, "-inf")],
        "acc": [(0, 1003, "1.0")],
    }
    assert state.damaged == 0


def test_a_step_without_a_number_follows_the_highest(folder: str) -> None:
    log = begin(folder)
    for step in (None, 10, None, 3, None):
        log.append_point("m", 0.0, step, 1, same)
    assert [step for step, _, _ in read(folder).by_key()["m"]] == [0, 10, 11, 3, 12]


def test_a_resumed_journal_continues_steps_and_stamps(folder: str) -> None:
    log = begin(folder)
    log.resume({"m": 5}, clock=2**50)
    log.append_point("m", 0.0, None, 1, same)
    log.stamp({"a": 1})
    state = read(folder)
    assert state.by_key()["m"][0][0] == 5
    assert state.notes["a"].t == 2**50 + 1


def test_later_stamps_are_always_greater(folder: str) -> None:
    log = begin(folder)
    times = []
    for number in range(50):
        log.stamp({"a": number})
        times.append(read(folder).notes["a"].t)
    assert times == sorted(set(times))


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = str(tmp_path_factory.mktemp("example"))
    log = begin(folder)
    log.append("R", {"id": RUN, "argv": ["é", "x y"]})
    for number in range(5):
        log.append_point("loss", number * 0.3, None, 1000 + number, same)
        log.stamp({f"tags.{number}": "ö"})
    log.append("P", {"a": [1, 2]})
    log.append("E", {"status": "finished"})
    data = Path(folder, RUN, f"{log.writer}.log").read_bytes()
    journal.disown(folder)
    return data


@given(data=st.data())
def test_cut_at_any_byte_gives_every_whole_record(example: bytes, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(example)))
    state = journal.State("", RUN, "w")
    journal.parse(state, example[:cut])
    whole = example[:cut].count(b"\n")
    assert state.damaged == 0
    assert len(state.by_key().get("loss", [])) == sum(
        line.startswith(b"M ") for line in example.split(b"\n")[:whole]
    )
    assert bool(state.end) == (cut == len(example))
    # The rest, appended, gives all of it.
    rest = journal.State("", RUN, "w")
    journal.parse(rest, example)
    assert len(rest.by_key()["loss"]) == 5
    assert rest.params == {"a": [1, 2]}


@given(
    at=st.integers(0, 10_000),
    junk=st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b),
)
def test_a_damaged_line_is_counted_and_the_others_are_kept(
    example: bytes, at: int, junk: bytes
) -> None:
    lines = example.split(b"\n")
    lines.insert(1 + at % (len(lines) - 2), b"\0" + junk)
    state = journal.State("", RUN, "w")
    journal.parse(state, b"\n".join(lines))
    assert state.damaged == 1
    assert len(state.by_key()["loss"]) == 5
    assert state.end


def test_a_journal_of_a_newer_format_is_left_alone(folder: str) -> None:
    os.makedirs(os.path.join(folder, RUN))
    Path(folder, RUN, "abcd1234.log").write_text('J {"format":99}\n')
    with pytest.raises(JournalError, match="format 99"):
        journal.read_run(folder, RUN)


# -- trouble with the disk ---------------------------------------------------------------


def test_a_full_disk_keeps_what_it_did_not_take(folder: str, monkeypatch) -> None:
    log = begin(folder)
    log.append_point("m", 1.0, None, 1, same)
    said: list[OSError] = []
    log.on_trouble = said.append
    real = os.write
    full = True

    def write(fd: int, data: bytes) -> int:
        if full:
            # The disk takes a part of the first write, then nothing.
            if len(data) > 5 and not said:
                return real(fd, data[:5])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr("gittrack.journal.log._RETRY_S", 0.0)
    for number in range(10):
        log.append_point("m", float(number), None, 2, same)
    assert len(said) == 1
    assert len(read(folder).by_key()["m"]) == 1
    full = False
    log.append_point("m", 99.0, None, 3, same)
    assert [value for _, _, value in read(folder).by_key()["m"]] == [
        "1.0", *(f"{n}.0" for n in range(10)), "99.0",
    ]  # fmt: skip
    assert log.close() == 0


def test_a_folder_that_cannot_be_written_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError) as caught:
        journal.own(str(tmp_path / "file" / "journal"), "host", "boot")
    assert "GITTRACK_JOURNAL" in caught.value.next


def test_an_artifact_over_the_limit_leaves_nothing(folder: str) -> None:
    log = begin(folder)
    assert log.stage(b"12345", 4) is None
    assert log.stage(b"1234", 4) == ("1", 4)
    assert os.listdir(os.path.join(folder, RUN, f"{log.writer}.files")) == ["1"]


# -- who lives ---------------------------------------------------------------------------


def verdict(folder: str, writer: str, boot: str = "boot", force: bool = False) -> str:
    found = journal.judge(
        folder, writer, boot=boot, lost_after_s=600, keep_s=7 * 86400, force=force
    )
    found.release()
    return found.state


OTHER = """
import sys
from gittrack import journal
owner = journal.own(sys.argv[1], "host", "boot")
print(owner.writer, flush=True)
sys.stdin.read()
"""


def test_a_process_is_alive_exactly_as_long_as_it_lives(folder: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", OTHER, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    writer = process.stdout.readline().strip()
    assert verdict(folder, writer) == journal.ALIVE
    # Asking does not take the lock away from it.
    assert verdict(folder, writer) == journal.ALIVE
    process.kill()
    process.wait()
    process.stdout.close()
    process.stdin.close()
    assert verdict(folder, writer) == journal.DEAD


def test_asking_for_ourselves_does_not_drop_our_own_lock(folder: str) -> None:
    owner = journal.own(folder, "host", "boot")
    assert verdict(folder, owner.writer) == journal.ALIVE
    probe = (
        "import sys; from gittrack import journal;"
        "print(journal.judge(sys.argv[1], sys.argv[2], boot='boot', lost_after_s=1, keep_s=1,"
        " force=True).state)"
    )
    out = subprocess.run(
        [sys.executable, "-c", probe, folder, owner.writer], capture_output=True, text=True
    )
    assert out.stdout.strip() == journal.ALIVE


def other_machine(folder: str, age_s: float, locks: bool = True) -> str:
    path = Path(folder, ".alive", "0ther000")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"host": "host", "boot": "other", "pid": 1, "locks": locks}))
    then = path.stat().st_mtime - age_s
    os.utime(path, (then, then))
    return "0ther000"


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [(0, journal.ALIVE), (500, journal.ALIVE), (700, journal.QUIET), (8 * 86400, journal.DEAD)],
)
def test_another_machine_is_judged_by_its_silence_alone(
    folder: str, age_s: float, expected: str
) -> None:
    assert verdict(folder, other_machine(folder, age_s)) == expected


def test_where_locks_do_not_work_silence_decides_too(folder: str) -> None:
    writer = other_machine(folder, 700, locks=False)
    assert verdict(folder, writer, boot="other") == journal.QUIET
    assert verdict(folder, writer, boot="other", force=True) == journal.DEAD


def test_a_heartbeat_makes_a_quiet_writer_alive_again(folder: str) -> None:
    writer = other_machine(folder, 700)
    os.utime(os.path.join(folder, ".alive", writer))
    assert verdict(folder, writer) == journal.ALIVE
