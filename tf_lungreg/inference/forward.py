"""A forward pass on two arrays, and what follows from its grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.arrays import Array


def register_arrays(
    model: Callable[[dict[str, tf.Tensor]], Mapping[str, tf.Tensor]], fixed: Array, moving: Array
) -> Mapping[str, tf.Tensor]:
    """The model's four outputs for one pair of arrays (D, H, W) in [0, 1].

    Args:
        model: from ``{"moving", "fixed"}``, batches of one, to the four outputs.
        fixed: (D, H, W).
        moving: of the same shape.
    """
    as_batch = [tf.convert_to_tensor(v, tf.float32)[None, ..., None] for v in (moving, fixed)]
    return model({"moving": as_batch[0], "fixed": as_batch[1]})


def warp_mask(mask: Array, grid: tf.Tensor) -> Array:
    """A mask (D, H, W) sampled at a grid (1, D, H, W, 3), nearest neighbour."""
    volume = tf.convert_to_tensor(mask, tf.uint8)[None, ..., None]
    return ops.warp(volume, grid, "nearest")[0, ..., 0].numpy().astype(bool)
