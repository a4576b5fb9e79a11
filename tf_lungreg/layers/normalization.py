"""Instance normalization on both stacks: the one place that knows which one is installed."""

from __future__ import annotations

import warnings

import tensorflow as tf

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its end-of-life notice, on every import
        from tensorflow_addons.layers import InstanceNormalization as _InstanceNormalization
except ImportError:  # tensorflow-addons has no release for Python 3.12 and later
    _InstanceNormalization = None


def instance_normalization(**kwargs) -> tf.keras.layers.Layer:
    """A layer that brings each channel of each volume to mean 0 and variance 1, then scales it.

    ``tfa.layers.InstanceNormalization`` where it exists, else the same function as Keras' own
    group normalization with one group per channel. It is float32 in a model of mixed precision
    too: tensorflow-addons would sum a whole volume in bfloat16.
    """
    kwargs = {"dtype": "float32", **kwargs}
    if _InstanceNormalization is not None:
        return _InstanceNormalization(epsilon=1e-3, **kwargs)
    return tf.keras.layers.GroupNormalization(groups=-1, epsilon=1e-3, **kwargs)
