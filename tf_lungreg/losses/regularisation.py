"""The regularisation of A and Φ in Eq. 4, and the folding term."""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg import ops

FOLDING_MARGIN = 0.1


def affine_l1(identity: tf.Tensor, affine: tf.Tensor) -> tf.Tensor:
    """``‖A - A_I‖₁``, the sum of the twelve absolute differences; matrices (batch, 3, 4).

    Args:
        identity: ``A_I``, (batch, 3, 4).
        affine: A, (batch, 3, 4).
    """
    return tf.reduce_sum(tf.abs(affine - identity), axis=(1, 2))


def spatial_gradients_l1(ones: tf.Tensor, spatial_gradients: tf.Tensor) -> tf.Tensor:
    """``‖Φ - Φ_I‖₁`` divided by the number of voxels; Φ is (batch, D, H, W, 3).

    The same reduction as the image term's, the sum over the three axes and the mean over voxels,
    so that the ratio of the two does not depend on the size of the volume.

    Args:
        ones: ``Φ_I``, of Φ's shape.
        spatial_gradients: Φ, (batch, D, H, W, 3).
    """
    return 3 * tf.reduce_mean(tf.abs(spatial_gradients - ones), axis=(1, 2, 3, 4))


def folding(_: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    """Mean shortfall of the grid's Jacobian determinant below a margin; not in the paper.

    Steps that are positive along each axis do not alone forbid folding: shear between
    neighbouring lines can.
    """
    shortfall = tf.nn.relu(FOLDING_MARGIN - ops.jacobian_determinant(grid))
    return tf.reduce_mean(shortfall, axis=(1, 2, 3)) / FOLDING_MARGIN
