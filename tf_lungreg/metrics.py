"""Measures of a registration, in numpy: overlap, landmark errors, folding."""

from __future__ import annotations

import numpy as np


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Dice coefficient ``2 |A ∩ B| / (|A| + |B|)`` of two masks of one shape.

    Two empty masks agree: 1.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    total = int(first.sum()) + int(second.sum())
    return 1.0 if total == 0 else 2.0 * int((first & second).sum()) / total


def folded_fraction(determinant: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Share of voxels whose Jacobian determinant is not positive, in the mask or everywhere."""
    values = determinant if mask is None else determinant[np.asarray(mask, bool)]
    return float(np.mean(values <= 0)) if values.size else 0.0


def landmark_errors(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Distances in mm between corresponding points.

    Args:
        expected: (N, 3), RAS mm.
        found: (N, 3), RAS mm.

    Returns:
        (N, 4): the absolute differences dx (left-right), dy (anterior-posterior),
        dz (superior-inferior), and the euclidean distance ds, as in the paper's Table 2.
    """
    difference = np.abs(np.asarray(found) - np.asarray(expected))
    return np.column_stack([difference, np.linalg.norm(difference, axis=1)])
