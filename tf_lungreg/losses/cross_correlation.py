"""Local normalised cross correlation, the similarity of ANTs' SyN."""

from __future__ import annotations

import tensorflow as tf

_VOXELS = (1, 2, 3)

# Variance of a window, as a share of its image's, below which its texture counts as noise.
TEXTURE = 1e-4

# Standard deviation, on intensities in [0, 1], below which an image is constant.
_CONSTANT = 1e-6


def ncc(fixed: tf.Tensor, warped: tf.Tensor, window: int = 9) -> tf.Tensor:
    """One minus the mean over voxels of the squared local correlation.

    With the covariance and the variances of the cube around each voxel, of ``window`` voxels along
    each axis, less what lies outside the volume::

        1 - mean( cov(f, w)² / ((var(f) + ε) (var(w) + ε)) )

    which is Avants et al., "Symmetric diffeomorphic image registration with cross-correlation",
    2008, but for ε. Both images are first brought to mean 0 and variance 1, so that ε =
    :data:`TEXTURE` is relative to the image's own contrast: a linear change of either image's
    intensities changes nothing, and a window without texture counts as uncorrelated, 0.

    Args:
        fixed: (batch, D, H, W, 1) in [0, 1].
        warped: the same shape.
        window: side of the cube in voxels, odd; it may exceed the volume.

    Returns:
        (batch,), from near 0, where each window is a linear function of the other's, to 1.
    """
    fixed, warped = _standardised(fixed), _standardised(warped)
    products = [fixed, warped, fixed * fixed, warped * warped, fixed * warped]
    means = _window_means(tf.concat(products, axis=0), window // 2)  # (5 batch, D, H, W)
    of_fixed, of_warped, fixed_squared, warped_squared, both = tf.split(means, 5, axis=0)
    covariance = both - of_fixed * of_warped
    variances = (_variance(fixed_squared, of_fixed) + TEXTURE) * (
        _variance(warped_squared, of_warped) + TEXTURE
    )
    return 1 - tf.reduce_mean(covariance * covariance / variances, axis=_VOXELS)


def _standardised(volume: tf.Tensor) -> tf.Tensor:
    """(batch, D, H, W) of mean 0 and variance 1; 0 where the volume is constant."""
    centred = volume[..., 0] - tf.reduce_mean(volume[..., 0], axis=_VOXELS, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=_VOXELS, keepdims=True)
    contrast = tf.cast(variance > _CONSTANT**2, variance.dtype)
    return centred * contrast * tf.math.rsqrt(tf.maximum(variance, _CONSTANT**2))


def _variance(mean_square: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Not below 0, which rounding can bring about in a window without texture."""
    return tf.nn.relu(mean_square - mean * mean)


def _window_means(volumes: tf.Tensor, radius: int) -> tf.Tensor:
    """The mean of the window around each voxel, (N, D, H, W), without what lies outside.

    Along each axis, a product with a banded matrix: on a CPU many times faster than pooling or
    sums of shifted volumes, and without the rounding of differences of cumulative sums.
    """
    for _ in range(3):  # each step averages along the last axis and brings it to the front
        shape = tf.shape(volumes)
        band = _band(shape[3], radius, volumes.dtype)
        means = tf.matmul(tf.reshape(volumes, (-1, shape[3])), band, transpose_b=True)
        volumes = tf.transpose(tf.reshape(means, shape), (0, 3, 1, 2))
    return volumes


def _band(size: tf.Tensor, radius: int, dtype: tf.DType) -> tf.Tensor:
    """(size, size); row i averages the entries at most the radius away from i."""
    near = tf.abs(tf.range(size)[:, tf.newaxis] - tf.range(size)) <= radius
    band = tf.cast(near, dtype)
    return band / tf.reduce_sum(band, axis=1, keepdims=True)
