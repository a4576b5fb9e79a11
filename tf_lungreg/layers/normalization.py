"""Instance normalization on both stacks: the one place that knows which one is installed."""

from __future__ import annotations

import warnings
from typing import Any

import tensorflow as tf

InstanceNormalization: Any  # the layer's class
_groups: dict[str, int] = {}
try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its end-of-life notice, on every import
        from tensorflow_addons.layers import InstanceNormalization
except ImportError:  # tensorflow-addons has no release for Python 3.12 and later
    InstanceNormalization = tf.keras.layers.GroupNormalization
    _groups = {"groups": -1}


def instance_normalization(**kwargs: Any) -> tf.keras.layers.Layer:
    """A layer that brings each channel of each volume to mean 0 and variance 1, then scales it.

    ``tfa.layers.InstanceNormalization`` where it exists, else the same function as Keras' own
    group normalization with one group per channel. It is float32 in a model of mixed precision
    too: tensorflow-addons would sum a whole volume in bfloat16.
    """
    return InstanceNormalization(epsilon=1e-3, **_groups, **{"dtype": "float32", **kwargs})


def normalize(
    layer: tf.keras.layers.Layer, maps: tf.Tensor, mean: tf.Tensor, variance: tf.Tensor
) -> tf.Tensor:
    """What the layer does to maps, with the statistics of a volume that they are a part of.

    Args:
        layer: of :func:`instance_normalization`.
        maps: (batch, D, H, W, C).
        mean: of the volume, (batch, 1, 1, 1, C).
        variance: of the volume, of the same shape.
    """
    return tf.nn.batch_normalization(maps, mean, variance, layer.beta, layer.gamma, layer.epsilon)
