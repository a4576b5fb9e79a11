"""How well probabilities tell the ill from the healthy, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from tf_lungreg.arrays import Array

THRESHOLD = 0.5
PERMUTATIONS = 10_000


def measure(labels: Array, probabilities: Array, seed: int = 0) -> dict[str, Any]:
    """Measures of predictions at the threshold 0.5; an ill patient is the positive case.

    Args:
        labels: (N,), 1 for ill, 0 for healthy.
        probabilities: (N,) of disease.
        seed: of the permutations.

    Returns:
        ``patients``, ``ill``; ``accuracy``, ``sensitivity`` and ``specificity``, each a dict of
        ``value`` in percent, ``low`` and ``high`` (95 % Clopper–Pearson), ``count`` and ``of``;
        ``majority``, the accuracy in percent of calling everyone what most are; ``auc``, the area
        under the curve; ``p``, of the accuracy against chance. A measure of a class without
        patients is None.
    """
    labels = np.asarray(labels).astype(bool)
    called = np.asarray(probabilities) >= THRESHOLD
    both = 0 < labels.sum() < len(labels)
    return {
        "patients": len(labels),
        "ill": int(labels.sum()),
        "accuracy": _proportion(called == labels),
        "sensitivity": _proportion(called[labels]),
        "specificity": _proportion(~called[~labels]),
        "majority": 100 * float(max(labels.mean(), 1 - labels.mean())),
        "auc": float(roc_auc_score(labels, probabilities)) if both else None,
        "p": permutation_test(labels, called, seed) if both else None,
    }


def clopper_pearson(count: int, of: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact confidence interval of a binomial proportion, from 0 to 1.

    Args:
        count: how many of them are so.
        of: how many there are.
        confidence: of the interval.
    """
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, count, of - count + 1) if count else 0.0
    high = stats.beta.ppf(1 - tail, count + 1, of - count) if count < of else 1.0
    return float(low), float(high)


def permutation_test(labels: Array, called: Array, seed: int) -> float:
    """How often permuted labels agree with the predictions at least as often as the true ones.

    One-sided; the true labels count as one of the permutations, so that p is never 0.

    Args:
        labels: (N,), true where ill.
        called: (N,), true where called ill.
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    permuted = rng.permuted(np.tile(labels, (PERMUTATIONS, 1)), axis=1)
    agreeing = np.sum(permuted == called, axis=1)
    return float((1 + np.sum(agreeing >= np.sum(labels == called))) / (1 + PERMUTATIONS))


def _proportion(right: Array) -> dict[str, Any] | None:
    count, of = int(right.sum()), len(right)
    if of == 0:
        return None
    low, high = clopper_pearson(count, of)
    value = 100 * count / of
    return {"value": value, "low": 100 * low, "high": 100 * high, "count": count, "of": of}
