"""Mutual information with Parzen windows."""

from __future__ import annotations

import tensorflow as tf

# Range, on intensities in [0, 1], below which an image is constant.
_CONSTANT = 1e-6

# Each histogram is summed in this many parts: a float32 that counts millions of voxels one by
# one would lose some, and parallel additions wait for each other less.
_PARTS = 64


def mi(fixed: tf.Tensor, warped: tf.Tensor, bins: int = 32) -> tf.Tensor:
    """The negative mutual information of the two images' intensities, in nats.

    ``-Σ p(f, w) log( p(f, w) / (p(f) p(w)) )`` over the bins of a joint histogram, to which each
    voxel adds a B-spline around its pair of intensities, as in Thévenaz and Unser, "Optimization
    of mutual information for multiresolution image registration", 2000. The warped image's window
    is the cubic one, which has two derivatives. The fixed image's is linear: it needs none, and
    where Mattes et al., 2003, take the box, intensities on a bin's edge would fall on either side
    by rounding.

    The bins span each image's own range, which takes no part in the gradient: a linear change of
    either image's intensities changes nothing. Each voxel touches 2 × 4 bins, and only those are
    stored, about 160 bytes a voxel with the gradient, whatever the number of bins.

    Args:
        fixed: (batch, D, H, W, 1) in [0, 1].
        warped: the same shape.
        bins: of each image, at least 4.

    Returns:
        (batch,), between ``-log(bins)`` and 0; 0 where one of the two is constant.
    """
    joint = _joint_histogram(fixed, warped, bins)  # (batch, bins, bins)
    joint /= tf.reduce_sum(joint, axis=(1, 2), keepdims=True)
    of_fixed, of_warped = tf.reduce_sum(joint, axis=2), tf.reduce_sum(joint, axis=1)
    return (
        _negative_entropy(of_fixed, axis=1)
        + _negative_entropy(of_warped, axis=1)
        - _negative_entropy(joint, axis=(1, 2))
    )


def _negative_entropy(probabilities: tf.Tensor, axis: int | tuple[int, int]) -> tf.Tensor:
    return tf.reduce_sum(tf.math.xlogy(probabilities, probabilities), axis=axis)


def _joint_histogram(fixed: tf.Tensor, warped: tf.Tensor, bins: int) -> tf.Tensor:
    """Sums of the products of the two windows, (batch, bins, bins), fixed first."""
    rows, row_weights = _linear_window(_bin_position(fixed, bins))
    columns, column_weights = _cubic_window(_bin_position(warped, bins), bins)
    batch, voxels = tf.unstack(tf.shape(rows))
    part = tf.range(batch)[:, tf.newaxis] * _PARTS + tf.range(voxels) % _PARTS
    first = (part * bins + rows) * bins + columns
    total = tf.zeros([batch * _PARTS * bins * bins], warped.dtype)
    for i, row_weight in enumerate(row_weights):
        for j, column_weight in enumerate(column_weights):
            share = tf.reshape(row_weight * column_weight, [-1])
            place = tf.reshape(first + (i * bins + j), [-1])
            total += tf.math.unsorted_segment_sum(share, place, tf.size(total))
    return tf.reduce_sum(tf.reshape(total, (batch, _PARTS, bins, bins)), axis=1)


def _bin_position(volume: tf.Tensor, bins: int) -> tf.Tensor:
    """Where each intensity lies among the bins' centres 0, 1, ..., (batch, voxels).

    From 1 to bins - 2, so that every window is within the histogram; 1 where there is no contrast.
    """
    values = tf.reshape(volume, (tf.shape(volume)[0], -1))
    low = tf.stop_gradient(tf.reduce_min(values, axis=1, keepdims=True))
    extent = tf.stop_gradient(tf.reduce_max(values, axis=1, keepdims=True)) - low
    extent = tf.where(extent > _CONSTANT, extent, tf.zeros_like(extent))
    return 1 + (bins - 3) * tf.math.divide_no_nan(values - low, extent)


def _linear_window(position: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """The bin below each position, and the weights of that and the next."""
    below = tf.floor(position)
    fraction = position - below
    return tf.cast(below, tf.int32), (1 - fraction, fraction)


def _cubic_window(position: tf.Tensor, bins: int) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """The first of the four bins under the cubic B-spline at each position, and their weights."""
    below = tf.minimum(tf.floor(position), bins - 3)
    t = position - below
    s = 1 - t
    inner = [2 / 3 - x * x * (1 - x / 2) for x in (t, s)]
    weights = (s * s * s / 6, *inner, t * t * t / 6)
    return tf.cast(below, tf.int32) - 1, weights
