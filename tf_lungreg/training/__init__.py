"""Training of the registration network (paper 2.3)."""

from tf_lungreg.training.compilation import compile_registration_model
from tf_lungreg.training.data import fit_shape
from tf_lungreg.training.folder import find_run_folder
from tf_lungreg.training.run import plan_training, run_training, train
from tf_lungreg.training.settings import TrainingSettings

__all__ = [
    "TrainingSettings",
    "compile_registration_model",
    "fit_shape",
    "find_run_folder",
    "plan_training",
    "run_training",
    "train",
]
