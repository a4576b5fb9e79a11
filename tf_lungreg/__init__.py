"""Learnt linear and deformable registration of 3D lung images.

What users need is here by name and loaded when it is first asked for, so that importing the
package, or asking a command for help, does not wait for TensorFlow.
"""

from __future__ import annotations

import importlib

from tf_lungreg.environment import prepare_keras

prepare_keras()

__version__ = "0.1.0"

_PUBLIC = {
    "build_registration_model": "tf_lungreg.models",
    "compile_registration_model": "tf_lungreg.training",
    "Image": "tf_lungreg.images.image",
    "Transform": "tf_lungreg.transforms.transform",
    "load_model": "tf_lungreg.export",
    "register": "tf_lungreg.registration.pipeline",
    "save_result": "tf_lungreg.reporting.result_folder",
    "RegistrationResult": "tf_lungreg.registration.result",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    """Loads a public name from its module."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
