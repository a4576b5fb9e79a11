"""Labels of the control points: displacements to choose from, and the choice by alpha expansion."""

from __future__ import annotations

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.reproduction.baselines.discrete import settings
from tf_lungreg.reproduction.baselines.packages import require


def displacements(sweep: int) -> Array:
    """The sparse set of a sweep: zero, then steps both ways along each axis.

    Returns:
        (labels, 3) in control spacings.
    """
    lengths = settings.REACH * np.arange(1, settings.STEPS + 1) / settings.STEPS
    both_ways = np.concatenate([lengths, -lengths])
    steps = np.kron(np.eye(3), both_ways[:, np.newaxis])  # (3 * labels an axis, 3)
    return settings.SHRINK**sweep * np.concatenate([np.zeros((1, 3)), steps])


def choose(unary: Array, labels: Array, sweep: int) -> Array:
    """Minimises the unary costs plus ``SMOOTHNESS * min(|d_p - d_q|, truncation)`` of neighbours.

    The distance of the displacements of one sweep, in control spacings; truncated it is still a
    metric, which alpha expansion needs. Smoothness is thus asked of each update, as of a fluid,
    not of their total.

    Args:
        unary: (a, b, c, labels), the cost of each label at each control point.
        labels: (labels, 3), from :func:`displacements`.
        sweep: which, from 0 on; the truncation shrinks with the labels.

    Returns:
        (a, b, c) integers, indices of labels.
    """
    distance = np.linalg.norm(labels[:, np.newaxis] - labels, axis=-1)
    truncation = settings.TRUNCATION * settings.SHRINK**sweep
    pairwise = settings.SMOOTHNESS * np.minimum(distance, truncation)
    start = np.zeros(unary.shape[:3], np.int8)  # nothing moves without a gain
    solver = require("maxflow.fastmin")
    return solver.aexpansion_grid(unary.astype(float), pairwise, settings.CYCLES, start)
