"""Which devices a training runs on."""

from __future__ import annotations

import os

import tensorflow as tf


def choose_strategy() -> tf.distribute.Strategy:
    """The ``tf.distribute`` strategy that fits the machine.

    Several workers where ``TF_CONFIG`` names them, all graphics processors where there are
    several, otherwise the one device there is.
    """
    if os.environ.get("TF_CONFIG"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()
