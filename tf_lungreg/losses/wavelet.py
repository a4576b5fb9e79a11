"""The discrete wavelet metric, on the coefficients of the Haar wavelet."""

from __future__ import annotations

import numpy as np
import pywt
import tensorflow as tf

_HAAR = pywt.Wavelet("haar")

# Eight neighbouring voxels, the last axis fastest, to eight coefficients, the approximation first.
_FILTERS = np.array([_HAAR.dec_lo[::-1], _HAAR.dec_hi[::-1]])
_FILTERS_3D = np.kron(np.kron(_FILTERS, _FILTERS), _FILTERS)


def dwm(fixed: tf.Tensor, warped: tf.Tensor, levels: int = 3) -> tf.Tensor:
    """Sum of the absolute differences of the Haar coefficients, divided by the number of voxels.

    The coefficients are the details of every level and the approximation of the last. It is the
    mean absolute coefficient of the difference of the images, where all sizes can be halved, and
    the name is that of the paper's section 3.1; the wavelet and its weights are not given there.

    An axis of odd size is continued by its last voxel. An axis that is down to one voxel has no
    details left.

    Args:
        fixed: (batch, D, H, W, 1) in [0, 1].
        warped: the same shape.
        levels: times that the volume is halved.

    Returns:
        (batch,), 0 for equal images.
    """
    approximation = (fixed - warped)[..., 0]  # the transform is linear
    voxels = tf.cast(tf.reduce_prod(tf.shape(approximation)[1:]), warped.dtype)
    total = 0.0
    for _ in range(levels):
        coefficients = _analyse(approximation)
        total += _absolute_sum(coefficients[..., 1:])
        approximation = coefficients[..., 0]
    return (total + _absolute_sum(approximation[..., tf.newaxis])) / voxels


def _absolute_sum(coefficients: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.abs(coefficients), axis=(1, 2, 3, 4))


def _analyse(volume: tf.Tensor) -> tf.Tensor:
    """One level, (batch, D, H, W) → (batch, ⌈D/2⌉, ⌈H/2⌉, ⌈W/2⌉, 8)."""
    odd = tf.shape(volume) % 2 * [0, 1, 1, 1]
    volume = tf.pad(volume, tf.stack([tf.zeros_like(odd), odd], axis=1), "SYMMETRIC")
    batch, depth, height, width = tf.unstack(tf.shape(volume))
    depth, height, width = depth // 2, height // 2, width // 2
    blocks = tf.reshape(volume, (batch, depth, 2, height, 2, width, 2))
    blocks = tf.transpose(blocks, (0, 1, 3, 5, 2, 4, 6))
    filters = tf.constant(_FILTERS_3D, volume.dtype)
    coefficients = tf.matmul(tf.reshape(blocks, (-1, 8)), filters, transpose_b=True)
    return tf.reshape(coefficients, (batch, depth, height, width, 8))
