"""The Jacobian determinant of a grid: local volume change, and folding where it is not positive."""

from __future__ import annotations

import tensorflow as tf


def jacobian_determinant(grid: tf.Tensor) -> tf.Tensor:
    """Determinant of the derivative of G by central differences, one-sided at the borders.

    Args:
        grid: (batch, D, H, W, 3), voxel coordinates; each axis at least 2 long.

    Returns:
        Tensor of shape (batch, D, H, W); 1 for the identity, at or below 0 where the grid folds.
    """
    a, b, c = (_derivative(grid, axis) for axis in (1, 2, 3))  # each (batch, D, H, W, 3)
    return tf.reduce_sum(a * tf.linalg.cross(b, c), axis=-1)


def _derivative(values: tf.Tensor, axis: int) -> tf.Tensor:
    """First derivative along one axis, unit step, of the same shape."""
    size = tf.shape(values)[axis]

    def part(start: int | tf.Tensor, stop: int | tf.Tensor) -> tf.Tensor:
        return tf.gather(values, tf.range(start, stop), axis=axis)

    first = part(1, 2) - part(0, 1)
    inner = (part(2, size) - part(0, size - 2)) / 2
    last = part(size - 1, size) - part(size - 2, size - 1)
    return tf.concat([first, inner, last], axis=axis)
