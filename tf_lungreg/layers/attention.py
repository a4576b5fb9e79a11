"""Squeeze and excitation for volumes (Hu et al. 2018), which weighs the merged features."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="tf_lungreg")
class SqueezeExcitation3D(tf.keras.layers.Layer):
    """Scales each channel by a weight in [0, 1] that depends on the means of all channels.

    Args:
        reduction: by how much the hidden layer is narrower than the input.
        **kwargs: of the Keras layer.
    """

    def __init__(self, reduction: int = 16, **kwargs: Any):
        super().__init__(**kwargs)
        self.reduction = reduction

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes the two dense layers for the number of channels that came."""
        channels = int(input_shape[-1])
        hidden = max(channels // self.reduction, 1)
        dense, policy = tf.keras.layers.Dense, self.dtype_policy
        self.squeeze = dense(hidden, activation="relu", dtype=policy)
        self.excite = dense(channels, activation="sigmoid", dtype=policy)
        self.squeeze.build((None, channels))
        self.excite.build((None, hidden))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, C) to the same shape."""
        weights = self.channel_weights(tf.reduce_mean(inputs, axis=(1, 2, 3)))
        return inputs * weights[:, tf.newaxis, tf.newaxis, tf.newaxis, :]

    def channel_weights(self, means: tf.Tensor) -> tf.Tensor:
        """What each channel is scaled by, (batch, C), from the means of all, (batch, C)."""
        return self.excite(self.squeeze(means))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "reduction": self.reduction}
