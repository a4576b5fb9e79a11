"""Layers that read from two images themselves, not from learnt features, how well they match."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_lungreg import ops

_register = tf.keras.utils.register_keras_serializable(package="tf_lungreg")


@_register
class LocalNormalization3D(tf.keras.layers.Layer):
    """Brings the cube around each voxel to mean 0, variance 1; see :func:`ops.normalize_locally`.

    Unlike instance normalization it does not depend on what else is in the volume, so that a
    network trained on crops sees the same in a whole image.

    Args:
        radius: of the cube, voxels.
        floor: standard deviation below which contrast counts for little.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, floor: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius
        self.floor = floor

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, C) to the same shape."""
        return ops.normalize_locally(inputs, self.radius, self.floor)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius, "floor": self.floor}


@_register
class LocalDeviation3D(tf.keras.layers.Layer):
    """How each voxel differs from the mean of the cube around it.

    Args:
        radius: of the cube, voxels.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, C) to the same shape."""
        return inputs - ops.box_mean(inputs, self.radius)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius}


@_register
class MatchingStep3D(tf.keras.layers.Layer):
    """The step that brings a warped image closer to the fixed one; see :func:`ops.matching_step`.

    Args:
        radius: of the cube around each voxel that is compared, voxels.
        floor: standard deviation below which contrast counts for little.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, floor: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius
        self.floor = floor

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [fixed, warped], both (batch, D, H, W, 1), to (batch, D, H, W, 4).

        The first three channels are the step in voxels, the last is the local correlation.
        """
        fixed, warped = inputs
        return tf.concat(ops.matching_step(fixed, warped, self.radius, self.floor), axis=-1)

    def compute_output_shape(self, input_shape: Sequence[tf.TensorShape]) -> tuple[Any, ...]:
        """Four channels."""
        return (*input_shape[0][:4], 4)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius, "floor": self.floor}
