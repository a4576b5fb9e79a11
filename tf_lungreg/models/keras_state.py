"""Keras' global defaults, which a user's ``keras.json`` or notebook may have changed.

Keras layers, losses, metrics and optimizers read three globals when they are created: the float
type, the data format and the dtype policy. This package's networks need the values below, whatever
the user has chosen for other models. Pinning them here covers every layer at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator

import tensorflow as tf

FLOAT = "float32"

_FORMAT = "channels_last"


@contextlib.contextmanager
def keras_defaults(policy: str = FLOAT) -> Generator[None]:
    """Pins Keras' globals to float32 and channels last, then restores the user's values.

    It also works as a decorator, ``@keras_defaults()``, of a function that builds or trains a
    model.

    Args:
        policy: dtype policy of layers that state none; ``"mixed_bfloat16"`` for mixed precision.
    """
    backend = tf.keras.backend
    before = backend.floatx(), backend.image_data_format(), _policy()
    _set(FLOAT, _FORMAT, policy)
    try:
        yield
    finally:
        _set(*before)


def _policy() -> str:
    return tf.keras.mixed_precision.global_policy().name


def _set(floatx: str, data_format: str, policy: str) -> None:
    tf.keras.backend.set_floatx(floatx)
    tf.keras.backend.set_image_data_format(data_format)
    if _policy() != policy:  # a policy that nobody has set keeps following the float type
        tf.keras.mixed_precision.set_global_policy(policy)
