"""Linear upsampling of feature maps, without an interpolation that only one backend has."""

from __future__ import annotations

import tensorflow as tf


def upsample(maps: tf.Tensor) -> tf.Tensor:
    """Doubles the resolution by linear interpolation, the outermost voxels continued.

    A voxel of the maps covers two voxels of the result along each axis, so that its centre lies
    midway between theirs: their weights are 3/4 for it and 1/4 for its neighbour.

    Args:
        maps: (batch, D, H, W, C).

    Returns:
        Tensor of shape (batch, 2 D, 2 H, 2 W, C).
    """
    for axis in (1, 2, 3):
        maps = _upsample_axis(maps, axis)
    return maps


def _upsample_axis(maps: tf.Tensor, axis: int) -> tf.Tensor:
    size = tf.shape(maps)[axis]
    index = tf.range(size)
    before = tf.gather(maps, tf.maximum(index - 1, 0), axis=axis)
    after = tf.gather(maps, tf.minimum(index + 1, size - 1), axis=axis)
    halves = tf.stack([0.75 * maps + 0.25 * before, 0.75 * maps + 0.25 * after], axis=axis + 1)
    shape = tf.shape(maps)
    doubled = tf.concat([shape[:axis], [2 * size], shape[axis + 1 :]], axis=0)
    return tf.reshape(halves, doubled)
