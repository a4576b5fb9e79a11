"""Learnt linear and deformable registration of 3D lung images.

The public names are loaded on first use, so that importing the package, or printing a command's
help, does not load TensorFlow.
"""

from __future__ import annotations

from tf_lungreg.environment import prepare_keras
from tf_lungreg.lazy import lazy_names

prepare_keras()

__version__ = "0.1.0"

_PUBLIC = {
    "Image": "tf_lungreg.images.image",
    "InputError": "tf_lungreg.errors",
    "RegistrationClient": "tf_lungreg.serving.registration_client",
    "RegistrationResult": "tf_lungreg.registration.result",
    "RegistrationSettings": "tf_lungreg.registration.settings",
    "RemoteModel": "tf_lungreg.serving.client",
    "TrainingSettings": "tf_lungreg.training.settings",
    "Transform": "tf_lungreg.transforms.transform",
    "TuningSettings": "tf_lungreg.tuning.settings",
    "build_registration_model": "tf_lungreg.models",
    "compile_registration_model": "tf_lungreg.training",
    "jacobian_figure": "tf_lungreg.reporting.figures",
    "load_model": "tf_lungreg.export",
    "measure": "tf_lungreg.registration.measuring",
    "network_inputs": "tf_lungreg.inference.network_pass",
    "pretrained_model": "tf_lungreg.inference.default_model",
    "read_mask": "tf_lungreg.images.image",
    "read_metrics": "tf_lungreg.registration.metrics_file",
    "register": "tf_lungreg.registration.pipeline",
    "register_pairs": "tf_lungreg.many_pairs",
    "registration_figure": "tf_lungreg.reporting.figures",
    "result_views": "tf_lungreg.reporting.registration_page",
    "save_result": "tf_lungreg.reporting.result_folder",
    "train": "tf_lungreg.training",
    "tune": "tf_lungreg.tuning",
    "write_report": "tf_lungreg.reporting.registration_page",
}

_PUBLIC_MODULES = ("ops",)  # used as lr.ops.warp

__all__ = ["__version__", *_PUBLIC, *_PUBLIC_MODULES]

__getattr__ = lazy_names(__name__, _PUBLIC, _PUBLIC_MODULES)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
