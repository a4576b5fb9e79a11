"""Local correlation of two maps of features: where in the other image each place looks alike."""

from __future__ import annotations

import itertools

import tensorflow as tf

from tf_lungreg.ops.grids import identity_affine


def local_correlation(first: tf.Tensor, second: tf.Tensor, radius: int) -> tf.Tensor:
    """``c(p, s) = Σ first(p) second(p + s)`` over the channels, for all shifts of a cube.

    Args:
        first: (batch, D, H, W, C).
        second: the same shape; beyond its border it counts as zero.
        radius: the largest shift along each axis, in voxels.

    Returns:
        Tensor of shape (batch, D, H, W, (2 radius + 1)³), the shifts in C order from
        (-radius, -radius, -radius) on.
    """
    around = tf.pad(second, [(0, 0), *[(radius, radius)] * 3, (0, 0)])
    shifts = [(0, *shift, 0) for shift in itertools.product(range(2 * radius + 1), repeat=3)]

    def correlate(shift: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(first * tf.slice(around, shift, tf.shape(first)), axis=-1)

    # A loop in the graph: written out, the shifts are most of its operations, and of the time in
    # which it is loaded and first called.
    found = tf.map_fn(correlate, tf.constant(shifts), fn_output_signature=first.dtype)
    return tf.transpose(found, [1, 2, 3, 4, 0])


def expected_shift(correlation: tf.Tensor, radius: int, sharpness: float | tf.Tensor) -> tf.Tensor:
    """The mean shift under ``softmax(sharpness * c)``, a differentiable best match.

    Args:
        correlation: (batch, D, H, W, (2 radius + 1)³), of :func:`local_correlation`.
        radius: its radius.
        sharpness: how much a better match counts; a number or a scalar tensor.

    Returns:
        Tensor of shape (batch, D, H, W, 3), in voxels, from the first map to the second.
    """
    shifts = list(itertools.product(range(-radius, radius + 1), repeat=3))
    share = tf.nn.softmax(sharpness * correlation, axis=-1)
    return tf.linalg.matmul(share, tf.constant(shifts, correlation.dtype))


def fit_affine(displacement: tf.Tensor, weights: tf.Tensor, ridge: float = 1e-3) -> tf.Tensor:
    """The affine matrix that fits displacements best, by weighted least squares.

    Minimises ``Σ w(p) |A [p, 1] - p - d(p)|² + ridge Σ w |A - [I | 0]|²`` in coordinates from -1
    to 1, the convention of :func:`affine_grid`.

    Args:
        displacement: d, (batch, D, H, W, 3), in normalised coordinates: 2 is the length of an axis.
        weights: w > 0, (batch, D, H, W, 1).
        ridge: how much the identity is preferred; it also keeps the equations solvable.

    Returns:
        Tensor of shape (batch, 3, 4).
    """
    shape, dtype = tf.shape(displacement), displacement.dtype
    axes = [tf.cast(tf.linspace(-1.0, 1.0, shape[axis]), dtype) for axis in (1, 2, 3)]
    points = tf.stack([*tf.meshgrid(*axes, indexing="ij"), tf.ones(shape[1:4], dtype)], axis=-1)
    rows = tf.reshape(points, (1, -1, 4))
    share = tf.reshape(weights, (shape[0], -1, 1))
    share = share / tf.reduce_sum(share, axis=1, keepdims=True)
    found = tf.reshape(displacement, (shape[0], -1, 3))
    normal = tf.linalg.matmul(rows * share, rows, transpose_a=True) + ridge * tf.eye(4, dtype=dtype)
    right = tf.linalg.matmul(rows * share, found, transpose_a=True)  # (batch, 4, 3)
    difference = tf.linalg.matrix_transpose(tf.linalg.solve(normal, right))
    return identity_affine(1, dtype) + difference
