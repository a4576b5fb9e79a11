"""Search for the weights of the loss, and what else is asked for, with Keras Tuner (paper 2.3)."""

from tf_lungreg.lazy import lazy_names

_PUBLIC = {
    "TuningSettings": "tf_lungreg.tuning.settings",
    "read_best": "tf_lungreg.tuning.results",
    "tune": "tf_lungreg.tuning.search",
}

__all__ = [*_PUBLIC]
__getattr__ = lazy_names(__name__, _PUBLIC)  # the settings are needed where TensorFlow is not
