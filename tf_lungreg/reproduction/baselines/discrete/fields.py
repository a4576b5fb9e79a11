"""Sampling with a grid, composing grids, moving an image by a constant displacement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.reproduction.baselines.result import identity_grid

_OTHERS = ((1, 2), (0, 2), (0, 1))  # the other two axes


def sample(volume: Array, grid: Array) -> Array:
    """``volume(G(p))``, linear, the border continued: (D, H, W) float32."""
    return ndimage.map_coordinates(
        volume, np.moveaxis(grid, -1, 0), np.float32, order=1, mode="nearest"
    )


def compose(first: Array, second: Array) -> Array:
    """``second(first(p))`` of two grids (D, H, W, 3); outside, second's displacement continues."""
    displacement = second - identity_grid(second.shape[:3])
    moved = [sample(np.ascontiguousarray(displacement[..., axis]), first) for axis in range(3)]
    return first + np.stack(moved, axis=-1)


def translated(
    volume: Array, displacement: Sequence[float] | Array, steps: Sequence[int] | Array
) -> Array:
    """``volume(p + d)`` at every ``steps``-th voxel p, linear, the border continued.

    Args:
        volume: (D, H, W).
        displacement: d, three numbers of voxels.
        steps: distance of the samples along each axis, in voxels.

    Returns:
        (D / steps[0], H / steps[1], W / steps[2]), rounded up.
    """
    for axis in np.argsort(np.asarray(displacement) != 0, kind="stable"):
        # Axes without a displacement come first: they only get shorter.
        last = volume.shape[axis] - 1
        places = np.arange(0, last + 1, steps[axis]) + displacement[axis]
        places = np.clip(places, 0, last)
        lower = places.astype(int)
        share = np.expand_dims((places - lower).astype(np.float32), _OTHERS[axis])
        low = np.take(volume, lower, axis=axis)
        if share.any():
            high = np.take(volume, np.minimum(lower + 1, last), axis=axis)
            low += share * (high - low)
        volume = low
    return volume
