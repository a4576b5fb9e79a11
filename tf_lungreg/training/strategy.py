"""Which devices a training runs on."""

from __future__ import annotations

import importlib.metadata
import os

import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.files import parse_json

STRATEGIES = ("auto", "one", "mirrored", "multiworker")


def choose_strategy(name: str = "auto", batch: int = 1) -> tf.distribute.Strategy:
    """The ``tf.distribute`` strategy of that name.

    It must be made before TensorFlow has computed anything.

    Args:
        name: ``"one"`` device; ``"mirrored"``, a copy of the model on each graphics processor,
            or on each logical device of the processor where there is none; ``"multiworker"``, one
            on each machine that ``TF_CONFIG`` names; or ``"auto"``: several workers where
            ``TF_CONFIG`` names them, all graphics processors where there are several and they
            share a batch evenly, otherwise the one device there is.
        batch: pairs a batch, over all devices.

    Raises:
        InputError: there is no such strategy, it cannot work here, or the devices do not share the
            batch evenly.
    """
    check_strategy(name)
    if name == "multiworker" or (name == "auto" and os.environ.get("TF_CONFIG")):
        # Before anything that starts TensorFlow's runtime, and listing its devices does.
        return _sharing(tf.distribute.MultiWorkerMirroredStrategy(), batch)
    gpus = [device.name for device in tf.config.list_logical_devices("GPU")]
    if name == "mirrored":
        cpus = [device.name for device in tf.config.list_logical_devices("CPU")]
        return _sharing(tf.distribute.MirroredStrategy(gpus or cpus), batch)
    if name == "auto" and len(gpus) > 1 and batch % len(gpus) == 0:
        return tf.distribute.MirroredStrategy(gpus)
    return tf.distribute.get_strategy()


def _sharing(strategy: tf.distribute.Strategy, batch: int) -> tf.distribute.Strategy:
    """The strategy, if its devices share a batch evenly."""
    count = strategy.num_replicas_in_sync
    if batch % count:
        raise InputError(f"batch: {count} devices need a multiple of {count} pairs, not {batch}.")
    return strategy


def check_strategy(name: str) -> None:
    """Refuses a strategy that cannot work here, before any work is done for it.

    Raises:
        InputError: there is no such strategy, or several workers are asked for and ``TF_CONFIG``
            names none, or this version of Keras does not train on several.
    """
    if name not in STRATEGIES:
        raise InputError(f"strategy: one of {', '.join(STRATEGIES)} is needed, not {name!r}.")
    if name == "multiworker" and not os.environ.get("TF_CONFIG"):
        raise InputError("strategy: multiworker needs TF_CONFIG, which names the workers.")
    if name in ("auto", "multiworker") and os.environ.get("TF_CONFIG"):
        _check_workers()


def _check_workers():
    try:
        parse_json(os.environ["TF_CONFIG"])["cluster"]["worker"]
    except (ValueError, KeyError, TypeError):
        raise InputError("TF_CONFIG: JSON with a cluster's workers is needed.") from None
    version = importlib.metadata.version("keras")
    if not version.startswith("2."):
        raise InputError(
            f"strategy: Keras {version} does not train on several workers "
            "(keras-team/keras#20585); TensorFlow 2.15 does, or --strategy one without TF_CONFIG."
        )
