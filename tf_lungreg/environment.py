"""What the process's environment offers, and what of it would mislead TensorFlow's Keras."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path


def available_cores() -> int:
    """How many cores this process may use, which in a container are fewer than the machine has."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only Linux knows affinities
        return os.cpu_count() or 1


def prepare_keras() -> None:
    """Makes ``tf.keras`` importable, and TensorFlow its backend, in this process.

    It takes effect only before Keras is imported. Variables that are meant for other programs
    would otherwise end in an ImportError:

    - ``TF_USE_LEGACY_KERAS`` asks for the package ``tf_keras``; it is ignored where that is not
      installed, because nothing could import ``tf.keras`` then.
    - ``KERAS_BACKEND``, or ``keras.json``, may name a backend that the layers of this package
      cannot run on.
    - Without a home directory Keras would write its settings to a folder named ``~``.
    """
    if os.environ.get("TF_USE_LEGACY_KERAS") and importlib.util.find_spec("tf_keras") is None:
        del os.environ["TF_USE_LEGACY_KERAS"]
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if not Path(os.path.expanduser("~")).is_absolute():
        import tempfile  # seldom needed, and what a command loads first should be quick

        os.environ.setdefault("KERAS_HOME", str(Path(tempfile.gettempdir(), ".keras")))
