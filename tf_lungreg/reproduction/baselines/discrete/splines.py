"""Free-form deformation: cubic B-splines on a regular control grid, one matrix an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tf_lungreg.arrays import Array


def cubic_basis(length: int, control: float) -> Array:
    """Values of the B-splines along one axis, at each voxel.

    The control points lie evenly about the axis' middle, and one beyond each end, so that the
    splines add up to 1 at every voxel.

    Args:
        length: voxels of the axis.
        control: distance of the control points in voxels.

    Returns:
        (control points, voxels), float32.
    """
    intervals = max(1, int(np.ceil((length - 1) / control)))
    first = (length - 1 - intervals * control) / 2 - control
    points = first + control * np.arange(intervals + 3)
    distance = np.abs(np.arange(length) - points[:, np.newaxis]) / control
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


def spread(coefficients: Array, basis: Sequence[Array]) -> Array:
    """The splines' values at the samples: (a, b, c, ...) coefficients → (i, j, k, ...).

    Args:
        coefficients: at the control points.
        basis: of :func:`cubic_basis`, one matrix an axis.
    """
    return _along_axes(coefficients, [matrix.T for matrix in basis])


def gather(values: Array, basis: Sequence[Array]) -> Array:
    """The mean of the samples about each control point, weighted by its spline.

    Args:
        values: (i, j, k), one a sample.
        basis: the three axes' matrices, from :func:`cubic_basis`.

    Returns:
        (a, b, c), one a control point.
    """
    return _along_axes(values, [m / m.sum(axis=1, keepdims=True) for m in basis])


def _along_axes(values: Array, matrices: Sequence[Array]) -> Array:
    """Multiplies the first three axes by a matrix (new, old) each."""
    for axis, matrix in enumerate(matrices):
        values = np.moveaxis(np.tensordot(matrix, values, axes=(1, axis)), 0, axis)
    return values
