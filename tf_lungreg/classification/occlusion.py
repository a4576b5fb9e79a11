"""Which region drove an answer: the same answer with one part of the lung covered after another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.classification.features import bounding_box
from tf_lungreg.images.geometry import DIRECTIONS, Frame, apply_affine
from tf_lungreg.images.image import Image
from tf_lungreg.images.sampling import sample_linear

WINDOW = 4  # cells along each axis that are covered at once
_STRIDE = 2
_CLIP = 1e-6  # keeps the log-odds of a sure answer finite

Classify = Callable[[Array], "tuple[Array, Array]"]


def occlusion_map(classify: Classify, features: Array) -> Array:
    """What each cell adds to the log-odds of disease, (D, H, W) float32.

    Windows of cells are covered one after another: their displacement becomes the lungs' mean one,
    which is 0 in the features. A cell's value is the mean over the windows that hold it of the
    log-odds without the cover less those with it; above 0 the cell speaks for disease. A cover has
    edges that no patient has: the map says what the networks use, not where a lung is ill.

    Args:
        classify: from (N, D, H, W, 3) to the probability, (N,), and whatever else.
        features: (D, H, W, 3).
    """
    shape = features.shape[:3]
    starts = [_starts(n) for n in shape]
    windows = [
        tuple(slice(a, a + WINDOW) for a in corner)
        for corner in np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 3)
    ]
    covered = np.repeat(features[None], len(windows) + 1, axis=0)
    for copy, window in zip(covered[1:], windows):
        copy[window] = 0
    odds = _log_odds(classify(covered)[0])
    total, count = np.zeros(shape), np.zeros(shape)
    for value, window in zip(odds[0] - odds[1:], windows):
        total[window] += value
        count[window] += 1
    return (total / count).astype(np.float32)


def paint_map(cells: Array, frame: Frame, mask: Image | None = None) -> Image:
    """The map on the fixed image's voxels, 0 outside the lungs.

    Args:
        cells: of :func:`occlusion_map`.
        frame: the fixed image's grid; that of the mask where there is one.
        mask: of the lungs, which the features were sampled with.
    """
    frame = frame if mask is None else mask.frame
    low, extent = bounding_box(frame, mask)
    voxels = np.moveaxis(np.indices(frame.shape), 0, -1)
    places = (apply_affine(frame.affine, voxels) @ DIRECTIONS - low) / extent  # 0 to 1 in the box
    index = places * cells.shape - 0.5
    painted = sample_linear(cells, index)
    if mask is not None:
        painted = np.where(mask.data, painted, 0)
    return Image(painted.astype(np.float32), frame, "none")


def _starts(size: int) -> list[int]:
    """Where windows begin, so that the last one ends at the border."""
    last = max(size - WINDOW, 0)
    return sorted({*range(0, last, _STRIDE), last})


def _log_odds(probability: Array) -> Array:
    p = np.clip(np.asarray(probability, np.float64), _CLIP, 1 - _CLIP)
    return np.log(p / (1 - p))
