"""A run that has ended, exported once more, for example on another stack."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.export import export_model
from tf_lungreg.files import check_folder, read_json
from tf_lungreg.models import model_of_settings
from tf_lungreg.training.checkpoint import load_weights
from tf_lungreg.training.folder import METRICS

_NOT_MEASURED = ("settings", "software", "seconds", "model", "pairs")  # in a run's metrics


def best_model(run: Path, settings: Mapping[str, Any]) -> tf.keras.Model:
    """The network of a run with the weights of its best epoch, in float32 however it was trained.

    Args:
        run: folder of the run.
        settings: of its training.

    Raises:
        InputError: the weights cannot be read or are of another network.
    """
    model = model_of_settings(settings)
    load_weights(run / "best.npz", model)
    return model


def export_run(
    run: str | os.PathLike[str], models: str | os.PathLike[str], voxels: int | None = None
) -> Path:
    """Exports the best epoch of a training.

    Args:
        run: folder of a run that has ended.
        models: folder of the model, in which it takes the next version.
        voxels: that the graph takes at most, see :func:`tf_lungreg.export.export_model`.

    Returns:
        The version's folder.

    Raises:
        MissingFileError: there is no such run, or it has not ended.
        InputError: its files cannot be read, or no folder can be at ``models``.
    """
    check_folder(models)
    metrics = _read_metrics(Path(run))
    settings = metrics["settings"]
    model = best_model(Path(run), settings)
    measured = {key: value for key, value in metrics.items() if key not in _NOT_MEASURED}
    card = {"settings": settings, "software": metrics["software"], "metrics": measured}
    return export_model(model, models, card, voxels)


def _read_metrics(run: Path) -> dict[str, Any]:
    file = run / METRICS
    if not file.is_file():
        raise MissingFileError(f"{file}: no such file; the folder of a run that ended is needed.")
    try:
        metrics = read_json(file)
        _ = metrics["settings"]["preset"], metrics["software"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: not the metrics of a training ({error}).") from error
    return metrics
