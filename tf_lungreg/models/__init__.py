"""The networks."""

from tf_lungreg.models.presets import PRESETS, Preset, find_preset
from tf_lungreg.models.registration import build_registration_model, model_of_settings

__all__ = ["PRESETS", "Preset", "build_registration_model", "find_preset", "model_of_settings"]
