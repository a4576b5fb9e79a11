"""How well a model registers pairs of prepared scans: overlap, image term, folding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_lungreg import ops
from tf_lungreg.cohorts.cache import PreparedPair, PreparedScan
from tf_lungreg.inference.forward import register_arrays, warp_mask
from tf_lungreg.quality.scores import dice, folded_fraction


def evaluate_pair(
    model: tf.keras.Model, fixed: PreparedScan, moving: PreparedScan
) -> dict[str, Any]:
    """Measures of one pair on the network's grid.

    Returns:
        ``fixed`` and ``moving``, the scans' names; ``mse_before`` and ``mse_after``;
        ``folds_volume``, the share of folded voxels. Where both scans have masks also
        ``dice_before``, ``dice_after`` and ``folds_lung``, within the fixed lung.
    """
    outputs = register_arrays(model, fixed.image, moving.image)
    determinant = ops.jacobian_determinant(outputs["grid"])[0].numpy()
    warped = outputs["warped"][0, ..., 0].numpy()
    row = {
        "fixed": fixed.scan.name,
        "moving": moving.scan.name,
        "mse_before": float(np.mean((moving.image - fixed.image) ** 2)),
        "mse_after": float(np.mean((warped - fixed.image) ** 2)),
        "folds_volume": folded_fraction(determinant),
    }
    if fixed.mask is not None and moving.mask is not None:
        row["dice_before"] = dice(fixed.mask, moving.mask)
        row["dice_after"] = dice(fixed.mask, warp_mask(moving.mask, outputs["grid"]))
        row["folds_lung"] = folded_fraction(determinant, fixed.mask)
    return row


def evaluate_pairs(model: tf.keras.Model, pairs: Sequence[PreparedPair]) -> list[dict[str, Any]]:
    """:func:`evaluate_pair` of each pair, in order."""
    compiled = tf.function(model, reduce_retracing=True)
    bar = tqdm(pairs, "Evaluating", unit="pair", disable=None)
    return [evaluate_pair(compiled, fixed, moving) for fixed, moving in bar]


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The mean of every measure over the pairs that have it."""
    names = dict.fromkeys(n for row in rows for n, v in row.items() if isinstance(v, float))
    return {n: float(np.mean([row[n] for row in rows if n in row])) for n in names}
