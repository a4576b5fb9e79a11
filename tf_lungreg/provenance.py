"""The software that a result depends on."""

from __future__ import annotations

import platform
import sys

import numpy as np
import tensorflow as tf

from tf_lungreg import __version__


def software() -> dict[str, str]:
    """Versions of what a result's numbers depend on, by name."""
    return {
        "tf_lungreg": __version__,
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
    }
