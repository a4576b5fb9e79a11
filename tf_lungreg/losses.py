"""The terms of the loss, Eq. 4: similarity of the images, and the regularisation of A and Φ.

Each function takes ``(true, predicted)``, as Keras calls it, and returns one value a pair,
``(batch,)``; Keras takes their mean.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError

_VOXELS = (1, 2, 3, 4)

FOLDING_MARGIN = 0.1


def mse(fixed: tf.Tensor, warped: tf.Tensor) -> tf.Tensor:
    """``‖R - W(S, G)‖²`` divided by the number of voxels; volumes (batch, D, H, W, 1)."""
    return tf.reduce_mean(tf.math.squared_difference(fixed, warped), axis=_VOXELS)


def affine_l1(identity: tf.Tensor, affine: tf.Tensor) -> tf.Tensor:
    """``‖A - A_I‖₁``, the sum of the twelve absolute differences; matrices (batch, 3, 4)."""
    return tf.reduce_sum(tf.abs(affine - identity), axis=(1, 2))


def spatial_gradients_l1(ones: tf.Tensor, spatial_gradients: tf.Tensor) -> tf.Tensor:
    """``‖Φ - Φ_I‖₁`` divided by the number of voxels; Φ is (batch, D, H, W, 3).

    The same reduction as the image term's, the sum over the three axes and the mean over voxels,
    so that the ratio of the two does not depend on the size of the volume.
    """
    return 3 * tf.reduce_mean(tf.abs(spatial_gradients - ones), axis=_VOXELS)


def folding(_, grid: tf.Tensor) -> tf.Tensor:
    """Mean shortfall of the grid's Jacobian determinant below a margin; not in the paper.

    Steps that are positive along each axis do not alone forbid folding: shear between
    neighbouring lines can.
    """
    shortfall = tf.nn.relu(FOLDING_MARGIN - ops.jacobian_determinant(grid))
    return tf.reduce_mean(shortfall, axis=(1, 2, 3)) / FOLDING_MARGIN


SIMILARITIES: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {"mse": mse}


def find_similarity(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """The image term of that name.

    Raises:
        InputError: there is none; the message lists those there are.
    """
    if name not in SIMILARITIES:
        raise InputError(f"similarity: one of {', '.join(SIMILARITIES)} is needed, not {name!r}.")
    return SIMILARITIES[name]
