"""Which few metrics stand for a run where there is room for a line only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gittrack.core.model import MetricSummary

#: What people judge a model by goes first; held-out data before training data.
_GOALS = ("acc", "auc", "f1", "score", "r2", "map", "loss", "error", "rmse", "mae", "mse")
_HELD_OUT = ("test", "val", "valid", "eval")


#: What was sampled of the machine: it tells why a run was slow, never how good it is.
SYSTEM = "system/"


def headline(metrics: Mapping[str, MetricSummary], most: int = 3) -> list[str]:
    """The keys of at most `most` metrics, the telling ones first; stable for equal input."""
    return [key for key in in_order(metrics) if not is_system(key)][:most]


def in_order(keys: Iterable[str]) -> list[str]:
    """All keys of metrics, the telling ones first, those of the machine last."""
    return sorted(keys, key=_rank)


def is_system(key: str) -> bool:
    """Whether a metric is one of the machine."""
    return key.startswith(SYSTEM)


def _rank(key: str) -> tuple[bool, int, int, str]:
    text = key.lower()
    held_out = next((i for i, word in enumerate(_HELD_OUT) if word in text), len(_HELD_OUT))
    goal = next((i for i, word in enumerate(_GOALS) if word in text), len(_GOALS))
    return is_system(key), held_out, goal, key
