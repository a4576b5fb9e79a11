"""Learnt linear and deformable registration of 3D lung images.

What users need is here by name and loaded when it is first asked for, so that importing the
package, or asking a command for help, does not wait for TensorFlow.
"""

from __future__ import annotations

from tf_lungreg.environment import prepare_keras
from tf_lungreg.lazy import lazy_names

prepare_keras()

__version__ = "0.1.0"

_PUBLIC = {
    "Image": "tf_lungreg.images.image",
    "RegistrationResult": "tf_lungreg.registration.result",
    "RegistrationSettings": "tf_lungreg.registration.settings",
    "TrainingSettings": "tf_lungreg.training.settings",
    "Transform": "tf_lungreg.transforms.transform",
    "build_registration_model": "tf_lungreg.models",
    "compile_registration_model": "tf_lungreg.training",
    "load_model": "tf_lungreg.export",
    "measure": "tf_lungreg.registration.pipeline",
    "read_mask": "tf_lungreg.images.image",
    "read_metrics": "tf_lungreg.registration.metrics_file",
    "register": "tf_lungreg.registration.pipeline",
    "register_pairs": "tf_lungreg.many_pairs",
    "save_result": "tf_lungreg.reporting.result_folder",
    "train": "tf_lungreg.training",
    "write_report": "tf_lungreg.reporting.registration_page",
}

__all__ = ["__version__", *_PUBLIC]

__getattr__ = lazy_names(__name__, _PUBLIC)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
