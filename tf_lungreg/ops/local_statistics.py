"""Statistics of the cube around each voxel, and the match that they suggest for it."""

from __future__ import annotations

import tensorflow as tf


def box_mean(volume: tf.Tensor, radius: int) -> tf.Tensor:
    """Means over the cube of ``(2 radius + 1)³`` voxels around each voxel.

    At the border, the mean of the voxels that there are.

    Args:
        volume: (batch, D, H, W, C).
        radius: voxels.

    Returns:
        Tensor of the shape of the volume.
    """
    size = 2 * radius + 1
    for window in ((size, 1, 1), (1, size, 1), (1, 1, size)):  # along one axis after the other
        volume = tf.nn.avg_pool3d(volume, window, 1, "SAME")
    return volume


def normalize_locally(volume: tf.Tensor, radius: int, floor: float) -> tf.Tensor:
    """``(x - mean) / sqrt(var + floor²)`` over the cube around each voxel.

    Args:
        volume: (batch, D, H, W, C).
        radius: of the cube, voxels.
        floor: standard deviation below which contrast counts for little.

    Returns:
        Tensor of the shape of the volume.
    """
    mean, square = tf.split(box_mean(tf.concat([volume, volume**2], -1), radius), 2, axis=-1)
    return (volume - mean) * tf.math.rsqrt(tf.nn.relu(square - mean**2) + floor**2)


def matching_step(
    fixed: tf.Tensor, warped: tf.Tensor, radius: int, floor: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """The step of each voxel that brings a warped image closer to the fixed one, from its cube.

    Within the cube around a voxel, the warped image should be a linear function of the fixed one:
    ``r = mean_w + cov / var_f (f - mean_f) - w`` is what is missing, whatever the contrast and its
    sign. Least squares over the cube, with gradients taken to be as steep along each axis, give the
    step ``3 Σ r ∇w / Σ |∇w|²`` (after Lucas and Kanade 1981).

    Args:
        fixed: (batch, D, H, W, 1).
        warped: the same shape.
        radius: of the cube, voxels.
        floor: standard deviation below which contrast counts for little.

    Returns:
        The step, (batch, D, H, W, 3) in voxels, to be added to the displacement; and the local
        correlation, (batch, D, H, W, 1), from -1 to 1.
    """
    maps = tf.concat([fixed, warped, fixed**2, warped**2, fixed * warped], axis=-1)
    mean_f, mean_w, square_f, square_w, product = tf.split(box_mean(maps, radius), 5, axis=-1)
    variance_f = tf.nn.relu(square_f - mean_f**2) + floor**2
    variance_w = tf.nn.relu(square_w - mean_w**2) + floor**2
    covariance = product - mean_f * mean_w
    missing = mean_w + covariance / variance_f * (fixed - mean_f) - warped
    slope = central_differences(warped)
    steepness = tf.reduce_sum(slope**2, axis=-1, keepdims=True)
    sums = box_mean(tf.concat([missing * slope, steepness], axis=-1), radius)
    step = 3 * sums[..., :3] / (sums[..., 3:] + floor**2)
    return step, covariance * tf.math.rsqrt(variance_f * variance_w)


def central_differences(volume: tf.Tensor) -> tf.Tensor:
    """Derivatives along D, H, W, one-sided at the border.

    Args:
        volume: (batch, D, H, W, 1).

    Returns:
        Tensor of shape (batch, D, H, W, 3), per voxel.
    """
    slopes = []
    for axis in (1, 2, 3):
        size = tf.shape(volume)[axis]
        index = tf.range(size)
        before, after = tf.maximum(index - 1, 0), tf.minimum(index + 1, size - 1)
        shape = [-1 if other == axis else 1 for other in range(5)]
        distance = tf.reshape(tf.cast(after - before, volume.dtype), shape)
        rise = tf.gather(volume, after, axis=axis) - tf.gather(volume, before, axis=axis)
        slopes.append(rise / distance)
    return tf.concat(slopes, axis=-1)
