"""Measures of a registration, in numpy: overlap, surfaces, landmark errors, folding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from tf_lungreg.arrays import Array


def dice(first: Array, second: Array) -> float:
    """Dice coefficient ``2 |A ∩ B| / (|A| + |B|)`` of two masks of one shape.

    Two empty masks agree: 1.

    Args:
        first: of any shape; what is not zero belongs to the mask.
        second: of the same shape.

    Example:
        >>> dice([1, 1, 0, 0], [0, 1, 1, 0])
        0.5
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total


def surface(mask: Array) -> Array:
    """The mask's voxels with a face neighbour outside it, or outside the volume; bool."""
    mask = np.asarray(mask, bool)
    return mask & ~ndimage.binary_erosion(mask)


def surface_distances(
    first: Array, second: Array, spacing: Sequence[float] | Array
) -> tuple[Array, Array]:
    """Distances in mm between the centres of two masks' surface voxels; see :func:`surface`.

    Args:
        first: mask, (D, H, W), with at least one voxel.
        second: mask of the same shape, with at least one voxel.
        spacing: voxel size in mm along D, H, W.

    Returns:
        For each surface voxel of the first mask the distance to the second's surface, (N,), and
        for each of the second's that to the first's, (M,).
    """
    points = [np.argwhere(surface(mask)) * np.asarray(spacing) for mask in (first, second)]
    trees = [KDTree(p) for p in points]
    return tuple(tree.query(p, workers=-1)[0] for tree, p in zip(reversed(trees), points))


def hausdorff_distance(distances: tuple[Array, Array], percentile: float = 95) -> float:
    """The larger of the percentiles of both directions, mm; 100 gives the Hausdorff distance.

    Percentiles are interpolated linearly.

    Args:
        distances: of :func:`surface_distances`.
        percentile: 0 to 100.
    """
    return float(max(np.percentile(d, percentile) for d in distances))


def mean_surface_distance(distances: tuple[Array, Array]) -> float:
    """The mean of both directions' mean distances, mm.

    Args:
        distances: of :func:`surface_distances`.
    """
    return float(np.mean([d.mean() for d in distances]))


def folded_fraction(determinant: Array, mask: Array | None = None) -> float:
    """Share of voxels whose Jacobian determinant is not positive, in the mask or everywhere.

    Example:
        >>> folded_fraction(np.array([1.2, 0.4, -0.1, 0.9]))
        0.25
    """
    values = determinant if mask is None else determinant[np.asarray(mask, bool)]
    return float(np.mean(values <= 0)) if values.size else 0.0


def log_jacobian_deviation(determinant: Array, mask: Array | None = None) -> float:
    """Standard deviation of the determinant's natural logarithm where it is positive.

    Not a number where nothing is positive.

    Args:
        determinant: (D, H, W).
        mask: where to look; everywhere without it.
    """
    values = determinant if mask is None else determinant[np.asarray(mask, bool)]
    values = values[values > 0].astype(np.float64)
    return float(np.std(np.log(values))) if values.size else float("nan")


def landmark_errors(expected: Array, found: Array) -> Array:
    """Distances in mm between corresponding points.

    Args:
        expected: (N, 3), RAS mm.
        found: (N, 3), RAS mm.

    Returns:
        (N, 4): the absolute differences dx (left-right), dy (anterior-posterior),
        dz (superior-inferior), and the euclidean distance ds, as in the paper's Table 2.

    Example:
        >>> landmark_errors([[0, 0, 0]], [[1, -2, 2]]).tolist()
        [[1.0, 2.0, 2.0, 3.0]]
    """
    difference = np.abs(np.asarray(found) - np.asarray(expected))
    return np.column_stack([difference, np.linalg.norm(difference, axis=1)])
