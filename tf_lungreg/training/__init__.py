"""Training of the registration network (paper 2.3)."""

from tf_lungreg.lazy import lazy_names

_PUBLIC = {
    "TrainingSettings": "tf_lungreg.training.settings",
    "compile_registration_model": "tf_lungreg.training.compilation",
    "find_run_folder": "tf_lungreg.training.folder",
    "fit_shape": "tf_lungreg.training.data",
    "plan_training": "tf_lungreg.training.run",
    "run_training": "tf_lungreg.training.run",
    "train": "tf_lungreg.training.run",
}

__all__ = [*_PUBLIC]
__getattr__ = lazy_names(__name__, _PUBLIC)  # the settings are needed where TensorFlow is not
