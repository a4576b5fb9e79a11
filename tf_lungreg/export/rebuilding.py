"""An exported model as a Keras model again, and exported once more with a graph of today."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.export.reading import find_model, read_card, read_weights
from tf_lungreg.export.writing import export_model
from tf_lungreg.models import model_of_settings
from tf_lungreg.models.weights import assign_weights


def rebuild_model(
    card: Mapping[str, Any], weights: Mapping[str, Array], source: str
) -> tf.keras.Model:
    """Builds the network that the card names and gives it the weights.

    Args:
        card: of the exported model.
        weights: of the exported model.
        source: the model's folder, for the message.

    Raises:
        InputError: the card does not say which network it is, or the weights are of another.
    """
    try:
        model = model_of_settings(card["settings"])
    except KeyError as error:
        raise InputError(
            f"{source}: its card does not say which network it is, {error} is missing; a model "
            "that this package trained is needed."
        ) from error
    assign_weights(model, weights, source)
    return model


def renew_model(
    path: str | os.PathLike[str], base: str | os.PathLike[str], voxels: int | None = None
) -> Path:
    """Exports a model's weights again: the same function, whatever made its graph.

    Args:
        path: an exported model.
        base: the model's folder, in which it takes the next version; it may be the same.
        voxels: that the new graph takes at most, see :func:`tf_lungreg.export.export_model`.

    Returns:
        The version's folder, with the same card but for that limit.

    Raises:
        MissingFileError, InputError: there is no such model, or its weights do not fit its preset.
    """
    version = find_model(path)
    card = read_card(version)
    model = rebuild_model(card, read_weights(version), str(version))
    return export_model(model, base, card, voxels)
