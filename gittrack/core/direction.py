"""Whether a greater or a smaller value of a metric is the better one. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

MAX = "max"
MIN = "min"

#: Words that tell it in nearly every project; what a project calls otherwise it says itself.
_MAX_WORDS = frozenset(
    "acc accuracy ap auc auprc auroc bleu correlation dice elbo f1 fbeta iou kappa likelihood map"
    " mcc meteor mrr ndcg pass pearson precision psnr r2 recall return reward rouge score"
    " sensitivity spearman specificity ssim success throughput top1 top5 wins".split()
)
_MIN_WORDS = frozenset(
    "bpc bpb brier cer cost crossentropy distance divergence ece entropy err error errors failures"
    " fid kl latency logloss loss mae mape mse msle nll nmse nrmse perplexity ppl regret residual"
    " rmse rmsle smape wer".split()
)
_WORD = re.compile(r"[A-Z]+(?![a-z])[0-9]*|[A-Z]?[a-z]+[0-9]*")


def direction(key: str, maximize: Sequence[str] = (), minimize: Sequence[str] = ()) -> str | None:
    """`max`, `min`, or None when nothing tells.

    Args:
        maximize: file patterns of keys whose greater value is better; they go first.
        minimize: likewise of those whose smaller value is.
    """
    if any(fnmatchcase(key, pattern) for pattern in maximize):
        return MAX
    if any(fnmatchcase(key, pattern) for pattern in minimize):
        return MIN
    # The last word decides: `accuracy_loss` is a loss, `test_error_score` a score.
    for word in reversed(_WORD.findall(key.rpartition("/")[2] or key)):
        if word.lower() in _MAX_WORDS:
            return MAX
        if word.lower() in _MIN_WORDS:
            return MIN
    return None


def is_better(change: float, way: str | None) -> bool | None:
    """Whether a change of a metric is for the better; None when that is not known, or for 0."""
    if way is None or not change:
        return None
    return (change > 0) == (way == MAX)
