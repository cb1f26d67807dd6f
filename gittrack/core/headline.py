"""Which few metrics stand for a run where there is room for a line only."""

from __future__ import annotations

from collections.abc import Mapping

from gittrack.core.model import MetricSummary

#: What people judge a model by goes first; held-out data before training data.
_GOALS = ("acc", "auc", "f1", "score", "r2", "map", "loss", "error", "rmse", "mae", "mse")
_HELD_OUT = ("test", "val", "valid", "eval")


def headline(metrics: Mapping[str, MetricSummary], most: int = 3) -> list[str]:
    """The keys of at most `most` metrics, the telling ones first; stable for equal input."""
    return sorted(metrics, key=_rank)[:most]


def _rank(key: str) -> tuple[int, int, int, str]:
    text = key.lower()
    system = 1 if text.startswith("system/") else 0
    held_out = next((i for i, word in enumerate(_HELD_OUT) if word in text), len(_HELD_OUT))
    goal = next((i for i, word in enumerate(_GOALS) if word in text), len(_GOALS))
    return system, held_out, goal, key
