"""Means with their spread, and two methods compared pair by pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from scipy.stats import wilcoxon

from tf_lungreg.arrays import Array

_Pair = TypeVar("_Pair")

RESAMPLES = 10_000


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """``mean``, sample standard deviation ``std`` (with n − 1; None for one value), and ``n``."""
    std = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "std": std, "n": len(values)}


def compare(
    reference: Mapping[_Pair, float], other: Mapping[_Pair, float], seed: int
) -> dict[str, Any] | None:
    """Compares two methods on the pairs that both have.

    Args:
        reference: pair → value.
        other: pair → value.
        seed: of the bootstrap.

    Returns:
        ``n`` common pairs; ``difference``, the mean of reference − other; ``low`` and ``high``,
        its 95 % confidence interval, percentiles of 10 000 bootstrap samples of the pairs; ``p``
        of the two-sided Wilcoxon signed-rank test. None with fewer than two common pairs.
    """
    common = [name for name in reference if name in other]
    if len(common) < 2:
        return None
    difference = np.array([reference[name] - other[name] for name in common])
    low, high = np.percentile(_bootstrap_means(difference, seed), [2.5, 97.5])
    # The test has no rank to sum where all pairs are equal.
    p = float(wilcoxon(difference).pvalue) if difference.any() else 1.0
    return {
        "n": len(common),
        "difference": float(difference.mean()),
        "low": float(low),
        "high": float(high),
        "p": p,
    }


def _bootstrap_means(values: Array, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(values), size=(RESAMPLES, len(values)))
    return values[chosen].mean(axis=1)
