"""SavedModels: written in numbered versions for TensorFlow Serving, found and loaded again."""

from tf_lungreg.export.reading import (
    ExportedModel,
    find_model,
    load_model,
    model_checksum,
    read_card,
    read_weights,
    shared_model,
)
from tf_lungreg.export.writing import export_model

__all__ = [
    "ExportedModel",
    "export_model",
    "find_model",
    "load_model",
    "model_checksum",
    "read_card",
    "read_weights",
    "shared_model",
]
