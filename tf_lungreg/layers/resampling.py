"""Layers between resolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_lungreg import ops

_register = tf.keras.utils.register_keras_serializable(package="tf_lungreg")


@_register
class LinearUpsampling3D(tf.keras.layers.Layer):
    """Doubles the resolution of maps, cut to the size of a volume; see :func:`ops.upsample`.

    Args:
        scale: what the values are multiplied by; 2 for displacements in voxels.
        **kwargs: of the Keras layer.
    """

    def __init__(self, scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [maps (batch, d, h, w, C), volume (batch, D, H, W, any)] to (batch, D, H, W, C)."""
        maps, volume = inputs
        size = tf.shape(volume)
        larger = self.scale * ops.upsample(maps)[:, : size[1], : size[2], : size[3], :]
        return tf.ensure_shape(larger, (*volume.shape[:4], maps.shape[-1]))

    def compute_output_shape(self, input_shape: Sequence[tf.TensorShape]) -> tuple[Any, ...]:
        """The volume's size with the maps' channels."""
        maps, volume = input_shape
        return (*volume[:4], maps[-1])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "scale": self.scale}


@_register
class BorderContinuation3D(tf.keras.layers.Layer):
    """Extends maps on every side by their outermost values.

    Args:
        margin: voxels on each side.
        **kwargs: of the Keras layer.
    """

    def __init__(self, margin: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, C) to (batch, D + 2 margin, H + 2 margin, W + 2 margin, C)."""
        for axis in (1, 2, 3):
            size = tf.shape(inputs)[axis]
            index = tf.range(-self.margin, size + self.margin)
            inputs = tf.gather(inputs, tf.clip_by_value(index, 0, size - 1), axis=axis)
        return inputs

    def compute_output_shape(self, input_shape: Sequence[Any]) -> tuple[Any, ...]:
        """Larger by the margins."""
        larger = [n if n is None else n + 2 * self.margin for n in input_shape[1:4]]
        return (input_shape[0], *larger, input_shape[4])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "margin": self.margin}
