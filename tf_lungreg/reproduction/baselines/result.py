"""What every classical method takes and returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Callable

import numpy as np

from tf_lungreg.arrays import Array


@dataclass(frozen=True, eq=False)
class BaselineResult:
    """A registration by a classical method: ``warped(p) = moving(G(p))``.

    Attributes:
        grid: G, (D, H, W, 3) float32: for each fixed voxel the zero-based voxel coordinates to
            sample in the moving image, in array-axis order.
        seconds: what the registration took, without importing the package that does it.
    """

    grid: Array
    seconds: float


Baseline = Callable[[Array, Array, Sequence[float]], BaselineResult]
"""``(fixed, moving, spacing)``: two volumes (D, H, W) float32 in [0, 1] of one shape, and their
voxel size in mm along D, H, W."""


def identity_grid(shape: Sequence[int]) -> Array:
    """The grid that samples every voxel at itself: (D, H, W, 3) float32."""
    return np.moveaxis(np.indices(tuple(shape), dtype=np.float32), 0, -1)
