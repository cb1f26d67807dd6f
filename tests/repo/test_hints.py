"""What hooks noted is read back, whatever else stands in the file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gittrack.errors import GittrackError
from gittrack.repo import hints
from gittrack.repo.hints import COMMIT, REWRITE, Hint, append_hint, read_hints

A, B, LONG = "a" * 40, "b" * 40, "c" * 64


@pytest.fixture
def common(tmp_path: Path) -> str:
    (tmp_path / "gittrack").mkdir()
    return str(tmp_path)


def test_what_is_noted_is_read_once(common: str) -> None:
    assert read_hints(common) == ([], 0)
    # A git to come may say more.
    Path(hints.hints_file(common)).write_text(f"rewrite {A} {B} more amend\n")
    assert read_hints(common)[0] == [Hint(REWRITE, B, A, "amend")]
    Path(hints.hints_file(common)).unlink()
    noted = [Hint(COMMIT, A), Hint(COMMIT), Hint(REWRITE, B, A, "amend"), Hint(COMMIT, LONG)]
    for hint in noted:
        append_hint(common, hint)
    found, offset = read_hints(common)
    assert found == noted
    assert read_hints(common, offset) == ([], offset)
    append_hint(common, Hint(REWRITE, LONG, LONG, "rebase"))
    assert read_hints(common, offset)[0] == [Hint(REWRITE, LONG, LONG, "rebase")]


def test_what_is_no_hint_is_passed_by(common: str) -> None:
    good = f"commit {A}\n".encode()
    garbage = [
        b"", b"commit ", b"commit HEAD", b"commit " + b"A" * 40, b"commit " + b"a" * 41, b"Commit",
        b"commit --all", f"commit {A} {B}".encode(), f"commit {A}\r".encode(), b"\xff\x00", b"x" * 100_000,
        f"rewrite {A} {B}".encode(), f"rewrite {A} {B} squash".encode(), f"rewrite {A} amend".encode(),
        # A full disk took the first half, and the next hook went on from there.
        f"commit {A[:7]}commit {B}".encode(),
    ]  # fmt: skip
    Path(hints.hints_file(common)).write_bytes(good.join(line + b"\n" for line in garbage))
    found, _ = read_hints(common)
    assert found == [Hint(COMMIT, A)] * (len(garbage) - 1)


def test_a_line_that_is_being_written_is_left_for_later(common: str) -> None:
    path = Path(hints.hints_file(common))
    path.write_text(f"commit {A}\ncommit {B}")
    found, offset = read_hints(common)
    assert (found, offset) == ([Hint(COMMIT, A)], len(f"commit {A}\n"))
    with path.open("a") as file:
        file.write("\n")
    assert read_hints(common, offset)[0] == [Hint(COMMIT, B)]
    # Somebody deleted the file, and a new one began; or there is no use in it at all.
    path.write_text("commit\n")
    assert read_hints(common, 1_000_000) == ([Hint(COMMIT)], 7)
    assert read_hints(common, -3) == ([Hint(COMMIT)], 7)
    path.unlink()
    path.mkdir()
    assert read_hints(common, 5) == ([], 5)


def test_the_switch(tmp_path: Path) -> None:
    common = str(tmp_path)
    append_hint(common, Hint(COMMIT, A))  # there is no folder of ours: nobody shall know
    assert os.listdir(common) == []
    hints.disable(common)
    assert os.listdir(common) == []
    hints.enable(common, unless_off=True)
    for _ in range(2):
        hints.enable(common)
        assert hints.is_enabled(common)
    for _ in range(2):
        hints.disable(common)
        assert not hints.is_enabled(common)
        hints.enable(common, unless_off=True)
        assert not hints.is_enabled(common)
    shutil.rmtree(tmp_path / "gittrack")
    (tmp_path / "gittrack").write_text("a file\n")
    append_hint(common, Hint(COMMIT, A))
    with pytest.raises(GittrackError, match="autorecord could not be written"):
        hints.enable(common)


def test_a_long_file_keeps_what_became_of_what(
    common: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrites = [Hint(REWRITE, f"{n:040x}", B, "amend") for n in range(5)]
    for hint in rewrites:
        append_hint(common, Hint(COMMIT, A))
        append_hint(common, hint)
    before, offset = read_hints(common)
    hints.shorten(common)
    assert read_hints(common)[0] == before
    monkeypatch.setattr(hints, "_LONG", 100)
    monkeypatch.setattr(hints, "_MOST_REWRITES", 3)
    hints.shorten(common)
    # Who had read further begins anew.
    assert read_hints(common, offset)[0] == rewrites[-3:]
    assert os.listdir(f"{common}/gittrack") == ["hints"]
