"""The benchmark runs, checks what it measured, and fills its page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Each runs a whole benchmark, if on little.
pytestmark = pytest.mark.deep

ROOT = Path(__file__).parent.parent


def test_every_row_is_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- benchmark:begin -->\nold\n<!-- benchmark:end -->\nafter\n")
    done = subprocess.run(
        [
            sys.executable, str(ROOT / "benchmarks" / "run.py"), "--rounds", "1", "--scale", "0.002",
            "--json", str(tmp_path / "figures.json"), "--write", str(page),
        ],
        capture_output=True, text=True, env=dict(os.environ), check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert set(figures) == {
        "import", "smallest", "smallest_off", "smallest_new", "start_clean", "start_dirty", "wrapped",
        "output", "output_off", "stream", "stream_json", "runs", "points", "points10", "sample", "sampled", "end", "parallel", "log", "show",
        "show_points", "diff", "range", "history", "search", "search_fresh", "index", "bytes_run", "bytes_point", "bytes_point17",
    }  # fmt: skip
    # The end of two points may take no longer than that of one; all else costs something.
    assert all(value > 0 for row, by in figures.items() if row != "end" for value in by["gittrack"])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert text.count("\n| ") == len(figures) + 1


def test_a_push_sends_as_little_as_it_should(tmp_path: Path) -> None:
    """Counted on the wire, so this is no matter of a fast or a slow machine."""
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text("a\n<!-- sharing:begin -->\nold\n<!-- sharing:end -->\nb\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "sharing.py"), "--runs", "60"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--json", str(figures), "--write", str(page)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {row: values[0] for row, values in json.loads(figures.read_text())["60"].items()}
    assert 5 < found["objects_clean"] <= 15 and found["bytes_clean"] <= 4096
    assert 5 < found["objects_dirty"] <= 19 and found["bytes_dirty"] <= 4096
    assert all(value > 0 for row, value in found.items() if row not in ("hook", "log_after"))
    assert "missed" not in page.read_text() and "old" not in page.read_text()


def test_data_is_measured_in_every_library(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- data:begin -->\nold\n<!-- data:end -->\nb\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "data.py"), "--rounds", "1"]
    done = subprocess.run(
        [*command, "--rows", "1000", "--mib", "1", "--write", str(page)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.startswith("a\n") and text.endswith("b\n") and "old" not in text
    assert "| a pandas table of 1,000 rows |" in text and "| an array of 1 MiB |" in text


def test_artifacts_are_measured_beside_dvc(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text("a\n<!-- artifacts:begin -->\nold\n<!-- artifacts:end -->\nb\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "artifacts.py"), "--rounds", "1"]
    done = subprocess.run(
        [*command, "--mib", "2", "--files", "20", "--json", str(figures), "--write", str(page)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    assert set(found) == {"large", "many"}
    assert all(set(by) == {"limit", "gittrack", "first", "again", "dvc"} for by in found.values())
    text = page.read_text()
    assert text.startswith("a\n") and text.endswith("b\n") and "old" not in text
    assert "| one file of 2 MiB |" in text


def test_the_search_for_a_commit_is_measured(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text("a\n<!-- archaeology:begin -->\nold\n<!-- archaeology:end -->\nb\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "archaeology.py"), "--commits", "60"]
    done = subprocess.run(
        [*command, "--rounds", "1", "--json", str(figures), "--write", str(page)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())["60"]
    assert set(found) == {"log", "blame", "bisect", "levels", "question"}
    assert page.read_text().count("\n| ") == 6 and "old" not in page.read_text()


def test_what_hooks_add_is_measured(tmp_path: Path) -> None:
    figures, page = tmp_path / "figures.json", tmp_path / "page.md"
    page.write_text("a\n<!-- hooks:begin -->\nold\n<!-- hooks:end -->\nb\n")
    command = [sys.executable, str(ROOT / "benchmarks" / "hooks.py"), "--rounds", "5"]
    done = subprocess.run(
        [*command, "--json", str(figures), "--write", str(page)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # A bound that a Python on the hot path breaks, and a busy machine does not.
    without, _, ours = json.loads(figures.read_text())["commit"]
    assert ours < 2 * without
    assert page.read_text().count("\n| ") == 4 and "old" not in page.read_text()
