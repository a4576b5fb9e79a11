"""The Keras model of an exported one, from its card and its weights by name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.models import model_of_settings
from tf_lungreg.models.weights import assign_weights


def rebuild_model(card: Mapping, weights: Mapping[str, np.ndarray], source: str) -> tf.keras.Model:
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
