"""Search for the weights of the loss, and what else is asked for, with Keras Tuner (paper 2.3)."""

from tf_lungreg.tuning.results import read_best
from tf_lungreg.tuning.search import tune
from tf_lungreg.tuning.settings import TuningSettings

__all__ = ["TuningSettings", "read_best", "tune"]
