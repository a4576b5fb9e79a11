"""No registration at all: the first row of the paper's Table 1."""

from __future__ import annotations

from collections.abc import Sequence

from tf_lungreg.arrays import Array
from tf_lungreg.reproduction.baselines.result import BaselineResult, identity_grid


def unregistered(fixed: Array, moving: Array, spacing: Sequence[float]) -> BaselineResult:
    """The identity; the arguments are those of every baseline, only the shape is used.

    Args:
        fixed: (D, H, W), float32 in [0, 1].
        moving: of the same shape.
        spacing: voxel size in mm along D, H, W.
    """
    return BaselineResult(identity_grid(fixed.shape), 0.0)
