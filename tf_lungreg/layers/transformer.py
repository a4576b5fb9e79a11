"""Thin Keras layers over :mod:`tf_lungreg.ops`: the 3D transformer of the paper's section 2.1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_lungreg import ops

_register = tf.keras.utils.register_keras_serializable(package="tf_lungreg")


@_register
class SpatialGradients(tf.keras.layers.Layer):
    """``Φ = 2 sigmoid(x)``: steps in [0, 2], 1 where the input is 0 (paper 2.2)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps logits (batch, D, H, W, 3) to Φ of the same shape."""
        return 2 * tf.sigmoid(inputs)


@_register
class UnitSpatialGradients(tf.keras.layers.Layer):
    """``Φ_I``: the spatial gradients of a network without a deformable branch."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes a volume (batch, D, H, W, C), gives ones (batch, D, H, W, 3)."""
        return tf.ones_like(inputs[..., :1]) * tf.ones((3,), inputs.dtype)


@_register
class CumulativeIntegration(tf.keras.layers.Layer):
    """Spatial gradients to the deformable grid, ``G_N``; see :func:`tf_lungreg.ops.integrate`.

    Args:
        anchor: what each line keeps in place.
        **kwargs: of the Keras layer.
    """

    def __init__(self, anchor: str = "ends", **kwargs: Any):
        super().__init__(**kwargs)
        ops.check_anchor(anchor)
        self.anchor = anchor

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps Φ (batch, D, H, W, 3) to a grid of the same shape."""
        return ops.integrate(inputs, self.anchor)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "anchor": self.anchor}


@_register
class AffineMatrix(tf.keras.layers.Layer):
    """Twelve numbers to a matrix near the identity: ``A = [I | 0] + scale x``.

    Args:
        scale: how far a unit of input moves an entry; below 1 it steadies the first steps.
        **kwargs: of the Keras layer.
    """

    def __init__(self, scale: float = 0.1, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, 12) to (batch, 3, 4)."""
        matrix = tf.reshape(inputs, (-1, 3, 4))
        return ops.identity_affine(1, matrix.dtype) + self.scale * matrix

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "scale": self.scale}


@_register
class IdentityAffine(tf.keras.layers.Layer):
    """``A_I``: the affine matrix of a network without an affine branch."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Takes a volume (batch, D, H, W, C), gives matrices (batch, 3, 4)."""
        return ops.identity_affine(tf.shape(inputs)[0], inputs.dtype)


@_register
class AffineGrid(tf.keras.layers.Layer):
    """The grid of an affine matrix, ``G_A``; see :func:`tf_lungreg.ops.affine_grid`."""

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [affine (batch, 3, 4), any volume (batch, D, H, W, C)] to (batch, D, H, W, 3)."""
        affine, volume = inputs
        return ops.affine_grid(affine, tf.shape(volume)[1:4])


@_register
class GridComposition(tf.keras.layers.Layer):
    """``G(p) = second(first(p))``, Eq. 3; see :func:`tf_lungreg.ops.compose`."""

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [first, second], both (batch, D, H, W, 3), to a grid of that shape."""
        first, second = inputs
        return ops.compose(first, second)


@_register
class SpatialTransformer3D(tf.keras.layers.Layer):
    """``warped(p) = volume(G(p))``, Eq. 2; see :func:`tf_lungreg.ops.warp`.

    Args:
        interpolation: ``"linear"`` or ``"nearest"``.
        outside: ``"border"`` or a number.
        **kwargs: of the Keras layer.
    """

    def __init__(
        self, interpolation: str = "linear", outside: str | float = "border", **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.interpolation = interpolation
        self.outside = outside

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [volume (batch, D, H, W, C), grid (batch, D, H, W, 3)] to a volume."""
        volume, grid = inputs
        return ops.warp(volume, grid, self.interpolation, self.outside)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = {"interpolation": self.interpolation, "outside": self.outside}
        return {**super().get_config(), **config}
