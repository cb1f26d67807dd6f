"""What is printed of fixed values, at 80 and 40 columns, held by golden files."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from gittrack.cli.output import Style
from gittrack.cli.output import text as t
from gittrack.cli.output.columns import machine_rows, table_rows
from gittrack.cli.output.diff import (
    diff_record,
    render_diff,
    render_diff_markdown,
    render_diff_table,
)
from gittrack.cli.output.fsck import render_report, report_record
from gittrack.cli.output.log import render_log, render_oneline
from gittrack.cli.output.records import render_json, render_jsonl, to_full_record, to_record
from gittrack.cli.output.show import Page, render_show
from gittrack.cli.output.status import render_status, status_record
from gittrack.cli.output.tables import render_markdown, render_separated, render_table
from gittrack.core.diff import diff_runs, diff_sources
from gittrack.core.model import Artifact, Dataset, MetricSummary, Run, Source
from gittrack.repo.fsck import Finding, FsckReport
from gittrack.repo.status import Status

START = 1_795_447_812_123
COMMIT = "d6154d3a65f69cc200c285f1183ff46a0f8393ab"
PLAIN, COLOR = Style(False), Style(True)
Golden = Callable[[str, str], None]


def summary(*values: float) -> MetricSummary:
    real = [value for value in values if value == value] or [math.nan]
    return MetricSummary(values[-1], len(values) - 1, START, min(real), max(real), len(values))


GOOD = Run(
    id="20261123-153012-0a1b2c3d4e5f",
    experiment_id="iris-47612b31",
    experiment="iris",
    name="brave-otter",
    status="finished",
    start_ms=START,
    end_ms=START + 83_400,
    author="Ada Tester <ada@example.com>",
    host="node17",
    argv=("python", "train.py", "--lr", "0.1"),
    entry="train.py",
    commit=COMMIT,
    branch="main",
    base=COMMIT,
    tree="ff418cd8c774d2317dfb59a25ce72849a523bf1e",
    remote="https://example.com/ada/iris.git",
    description="A first look.\n\nDeeper trees did not help, so this one is shallow and wide.",
    params={
        "lr": 0.1,
        "model": "rf",
        "layers": [64, 32, "out"],
        "bias": True,
        "seed": 0,
        "nothing": None,
        "note": "日本語 text | with a bar",
        "prompt": "You are a helpful model. " * 12,
    },
    metrics={
        "train/loss": summary(1.0, 0.5, 0.25),
        "val/acc": summary(0.5, 0.7, 0.9123456789),
        "val/loss": summary(2.0, 1.0, math.nan),
        "steps": summary(120_000.0),
    },
    tags={"team": "vision"},
    artifacts={
        "model.pkl": Artifact("model.pkl", 87_654, blob="d0cf6fe6cda6aa44314b72a2bce446056bb00e72"),
        "out/report.json": Artifact("out/report.json", 87, md5="0" * 32),
    },
    inputs=(Dataset("iris.csv", "md5:" + "9" * 32, "training", kind="file", size_bytes=4_551),),
)
BAD = Run(
    id="20261123-153110-ffeeddccbbaa",
    experiment_id="default-37a8eec1",
    experiment="default",
    name="evil \x1b[31m\u202ename",
    status="failed",
    start_ms=START + 58_000,
    end_ms=START + 58_012,
    parent="20261123-153012-0a1b2c3d4e5f",
    author="Mallory \x07 <m@example.com>",
    author_source="host",
    commit=COMMIT,
    branch="feature/a-rather-long-branch-name-as-they-are",
    dirty=True,
    exit_code=1,
    params={"lr": 0.2, "model": "rf", "\x9bkey": "a\nb\tc", **{f"p{i}": i for i in range(40)}},
    metrics={"val/acc": summary(math.inf), "val/loss": summary(-math.inf)},
    tags={"team": "vision", "why": "\x1b]0;gotcha\x07"},
    warnings=("the artifact x.bin has 2 MB and was left out: the limit is 100 kB a file",),
    withheld={".env": "a file of secrets"},
    redacted=("params.api_key",),
)
RUNS = [BAD, GOOD]
CLEAN = Source(commit=COMMIT, base=COMMIT, tree=GOOD.tree, branch="main")
DIRTY = Source(
    commit=COMMIT,
    base=COMMIT,
    tree="c2a9e7266df122e1976da0c82f8afcb0ada94119",
    rebuilds="0" * 40,
    dirty=True,
    state="merge",
    overlay="ab" * 20,
    files=("src/model.py", "train.py"),
    deleted=("old.py",),
    withheld={".env": "a file of secrets"},
)


_FOLDER = "runs/2026-11/23/15/20261123-153012-7f3a9c1d2b4e"
CHECKED = FsckReport(
    (
        Finding(
            "20261123-153012-7f3a9c1d2b4e", f"{_FOLDER}/params.yaml",
            "is missing from this repository", "damaged", "", "git fetch --refetch origin",
        ),
        Finding(
            "20261123-153012-7f3a9c1d2b4e", f"{_FOLDER}/notes.yaml",
            "'tags.\x1b[31m' was written by \u202eada in the future, at 2027-01-01T00:00:00Z", "odd",
            "refs/gittrack/remote/origin/store/main",
        ),
        Finding("", "env/3f/3f0c.yaml", "is not named by its content", "broken"),
    ),
    {"refs/gittrack/store/main": COMMIT, "refs/gittrack/remote/origin/store/main": COMMIT},
    9876, 8113, 1204,
)  # fmt: skip


def joined(lines: object) -> str:
    return "".join(f"{line}\n" for line in lines)  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [80, 40])
def test_human_forms(golden: Golden, width: int) -> None:
    diff = diff_runs(GOOD, BAD, diff_sources(CLEAN, DIRTY))
    status = Status(7, 2, (GOOD,), (BAD,), 1, (BAD,), (BAD,), (BAD,), COMMIT)
    forms = {
        "log": render_log(RUNS, PLAIN, width),
        "oneline": render_oneline(RUNS, PLAIN, width),
        "table": render_table(*table_rows(RUNS, []), width),
        "show-clean": render_show(GOOD, CLEAN, PLAIN, width),
        "show-dirty": render_show(BAD, DIRTY, PLAIN, width),
        "diff": render_diff(diff, GOOD, BAD, PLAIN, width),
        "diff-table": render_diff_table(diff, width),
        "status": render_status(status, PLAIN, width),
        "fsck": render_report(CHECKED, PLAIN, width),
    }
    for name, lines in forms.items():
        text = joined(lines)
        assert not [line for line in text.splitlines() if t.width_of(line) > width], name
        assert not t.UNSAFE_IN_LAYOUT.search(text), name
        assert "\x1b" not in text, name
        golden(f"{name}-{width}.txt", text)


def test_coloured_forms(golden: Golden) -> None:
    golden("log-color.txt", joined(render_log(RUNS, COLOR, 80)))
    golden("oneline-color.txt", joined(render_oneline(RUNS, COLOR, 80)))


def test_machine_forms(golden: Golden) -> None:
    diff = diff_runs(GOOD, BAD, diff_sources(CLEAN, DIRTY))
    status = Status(7, 2, (GOOD,), (BAD,), 1, (BAD,), (), (), None)
    golden("log.json", render_json([to_record(run) for run in RUNS]))
    golden("log.jsonl", render_jsonl([to_record(run) for run in RUNS]))
    golden("log.csv", render_separated(*machine_rows(RUNS, []), "csv"))
    golden("log.tsv", render_separated(*machine_rows(RUNS, []), "tsv"))
    golden("log.md", joined(render_markdown(*table_rows(RUNS, []))))
    golden("show.json", render_json(to_full_record(BAD, DIRTY)))
    golden("diff.json", render_json(diff_record(diff, GOOD, BAD)))
    golden("diff.md", joined(render_diff_markdown(diff, GOOD, BAD)))
    golden("status.json", render_json(status_record(status)))
    golden("fsck.json", render_json(report_record(CHECKED)))


def test_equal_runs(golden: Golden) -> None:
    diff = diff_runs(GOOD, GOOD, diff_sources(CLEAN, CLEAN))
    golden("diff-equal.txt", joined(render_diff(diff, GOOD, GOOD, PLAIN, 80)))
    assert render_diff_table(diff, 80) == []
    assert render_diff_markdown(diff, GOOD, GOOD)[-1] == "Nothing differs but id, name and times."


def test_the_machine_stands_behind_what_the_run_is_about(golden: Golden) -> None:
    machine = {f"system/gpu_{i}_power_usage_watts": summary(60.0, 80.0 + i) for i in range(50)}
    busy = GOOD._replace(metrics={**machine, **GOOD.metrics})
    idle = GOOD._replace(metrics=machine, params={}, tags={})
    for run in (busy, idle):
        assert "system/" not in joined(render_log([run], PLAIN, 80))
        assert "system/" not in joined(render_oneline([run], PLAIN, 80))
        assert "system/" not in joined(table_rows([run], [])[0])
        assert "system/gpu_49" in joined(machine_rows([run], [])[0])
    assert joined(render_log([busy], PLAIN, 80)) == joined(render_log([GOOD], PLAIN, 80))
    shown = [joined(render_show(run, CLEAN, PLAIN, 80)) for run in (busy, idle)]
    golden("show-system.txt", shown[0] + "----\n" + shown[1])
    page = Page(frozenset({"metrics"}))
    assert "system/gpu_49" in joined(render_show(busy, CLEAN, PLAIN, 80, page))
    diff = diff_runs(busy, busy._replace(metrics={**busy.metrics, "steps": summary(1.0)}))
    assert [item.key for item in diff.without_system().metrics] == ["steps"]
    diff = diff_runs(GOOD, busy)
    assert len(diff.metrics) == 50 and diff.without_system().is_empty


def test_json_reads_back_what_was_hostile() -> None:
    text = render_json(to_record(BAD))
    assert text.isprintable() or not t.UNSAFE_IN_LAYOUT.search(text)
    back = json.loads(text)
    assert back["name"] == BAD.name
    assert back["metrics"] == {"val/acc": "Infinity", "val/loss": "-Infinity"}


def test_json_is_strict_at_any_depth() -> None:
    text = render_json({"a": [math.nan, {"b": (math.inf,)}], "surrogate": "\ud800"})
    assert json.loads(text) == {"a": ["NaN", {"b": ["Infinity"]}], "surrogate": "\ud800"}
    text.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202egnp", "\\u202egnp"),
        ("\x9b31m", "\\x9b31m"),
        ("\U000e0041", "\\U000e0041"),
        ("é 日本 👩‍🔬", "é 日本 👩‍🔬"),
    ],
)
def test_text_is_safe_for_a_terminal(text: str, shown: str) -> None:
    assert t.safe(text) == shown


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("e\u0301e\u0301e\u0301", 2, "e\u0301…"),
        ("abc", 0, ""),
    ],
)
def test_text_is_cut_by_columns(text: str, width: int, shown: str) -> None:
    assert t.cut(text, width) == shown
    assert t.width_of(shown) <= width


def test_long_words_are_broken() -> None:
    assert t.wrap("see " + "x" * 25 + " end", 10) == ["see", "x" * 10, "x" * 10, "xxxxx end"]
    assert t.wrap("日本語日本語", 5) == ["日本", "語日", "本語"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.1 + 0.2, "0.3"), (1e-9, "1e-09"), (3.0, "3"), (math.nan, "NaN"), (-math.inf, "-Infinity")],
)
def test_numbers_for_people(value: float, shown: str) -> None:
    assert t.number(value) == shown


@pytest.mark.parametrize(
    ("duration_ms", "shown"),
    [
        (0, "0ms"),
        (99, "99ms"),
        (1_234, "1.2s"),
        (59_999, "1m00s"),
        (61_000, "1m01s"),
        (3_660_000, "1h01m"),
        (90_000_000, "1d01h"),
    ],
)
def test_durations(duration_ms: int, shown: str) -> None:
    assert t.duration(duration_ms) == shown


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_600, "1 MB"), (10**16, "1e+04 TB")],
)
def test_sizes(size_bytes: int, shown: str) -> None:
    assert t.size(size_bytes) == shown


def test_tables_align_wide_and_combining_characters() -> None:
    table = render_table(["k", "v"], [["日本", "1"], ["e\u0301", "22"], ["abcd", "3"]], None)
    assert table == ["k      v", "----  --", "日本   1", "e\u0301     22", "abcd   3"]


def test_markdown_keeps_markup_out() -> None:
    table = render_markdown(["k"], [["a|b <img> *x* [l](u) `c`"]])
    assert table[-1] == r"| a\|b &lt;img&gt; \*x\* \[l\](u) \`c\` |"
