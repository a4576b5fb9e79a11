"""No registration at all: the first row of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_lungreg.baselines.result import BaselineResult, identity_grid


def unregistered(fixed: np.ndarray, moving: np.ndarray, spacing: Sequence[float]) -> BaselineResult:
    """The identity; the arguments are those of every baseline, only the shape is used."""
    return BaselineResult(identity_grid(fixed.shape), 0.0)
