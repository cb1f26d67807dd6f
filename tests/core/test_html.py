"""What a notebook shows of runs: golden pages, and nothing in them that a run could have slipped in."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from gittrack.core import html
from gittrack.core.compare import compare_runs
from gittrack.core.diff import FileChange, SourceDiff, diff_runs
from gittrack.core.model import Artifact, MetricSummary, Run

GOLDEN = Path(__file__).parents[1] / "golden" / "html"
EVIL = "</td></table><script>alert('1')</script>\u202e\x1b[31m\"&"


def run(number: int, name: str, status: str, acc: float, **more: object) -> Run:
    facts: dict[str, object] = {
        "commit": "74d6783bb1c239ead82ef0066f9ffe9aea784007",
        "branch": "main",
        "entry": "notebooks/train.ipynb",
        "end_ms": None if status == "running" else 1795447812000 + number * 61_500,
        "params": {"lr": number / 10, "model": "forest", "layers": [64, 32]},
        "metrics": {
            "val/acc": MetricSummary(acc, 9, 0, 0.1, acc, 10),
            "loss": MetricSummary(float("nan"), 9, 0, 0.05, 2.3, 10),
        },
        **more,
    }
    run_id = f"20261123-153012-7f3a9c1d2b4{number}"
    return Run(run_id, "iris-1", "iris", name, status, 1795447812000, **facts)  # type: ignore[arg-type]


RUNS = [
    run(1, "brave-otter", "finished", 0.9125, description="Baseline.", tags={"team": "vision"},
        artifacts={"notebook/cells.py": Artifact("notebook/cells.py", 300, blob="ab" * 20)}),
    run(2, EVIL, "failed", 0.873, exit_code=1, dirty=True, params={EVIL: EVIL, "lr": 0.2},
        tags={EVIL: EVIL}, metrics={EVIL: MetricSummary(1.0, 0, 0, 1.0, 1.0, 1)},
        branch=EVIL, entry=EVIL, description=EVIL, warnings=(EVIL,),
        artifacts={EVIL: Artifact(EVIL, 3)}, commit=EVIL),
    run(3, "calm-lark", "running", 0.5),
]  # fmt: skip
SOURCE = SourceDiff(False, ("a" * 40, "b" * 40), (FileChange(EVIL, "changed"),))
PAGES = {
    "run": RUNS[0]._repr_html_(),
    "evil-run": RUNS[1]._repr_html_(),
    "runs": html.render_runs(RUNS),
    "no-runs": html.render_runs([]),
    "diff": diff_runs(RUNS[0], RUNS[1], SOURCE)._repr_html_(),
    "no-diff": diff_runs(RUNS[0], RUNS[0])._repr_html_(),
    "compare": compare_runs(RUNS)._repr_html_(),
}


class Checker(HTMLParser):
    """Every tag that is opened is closed, in order, and is one of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in {
            "div", "style", "table", "thead", "tbody", "tr", "th", "td", "b", "br", "code", "span",
        }  # fmt: skip
        assert {name for name, _ in attrs} <= {"class", "style"}
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("name", PAGES)
def test_pages(name: str, request: pytest.FixtureRequest) -> None:
    page = PAGES[name]
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    assert not {"\u202e", "\x1b"} & set(page)
    # Dark or light is for the page around it to say.
    assert "background" not in page
    path = GOLDEN / f"{name}.html"
    if request.config.getoption("--update-golden", default=False):
        path.write_text(page + "\n", encoding="utf-8")
    assert page + "\n" == path.read_text(encoding="utf-8"), f"{name}: --update-golden"


def test_pages_are_bounded() -> None:
    big = run(
        4, "n" * 10_000, "finished", 0.5, params={f"p{i}": "v" * 100_000 for i in range(5000)}
    )
    assert len(html.render_run(big)) < 20_000
    assert len(html.render_runs([big] * 1000)) < 200_000
    assert "and 900 more runs" in html.render_runs([RUNS[0]] * 1000)
    assert len(compare_runs([big, RUNS[0]])._repr_html_()) < 50_000
