"""Weights by name, the same names on both stacks, so that a model of one loads on the other."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError


def named_weights(model: tf.keras.Model) -> dict[str, tf.Variable]:
    """The model's variables as ``layer.number``, in the order in which each layer lists its own.

    The names that Keras itself gives differ between Keras 2 and Keras 3.
    """
    return {
        f"{layer.name}.{number}": variable
        for layer in model.layers
        for number, variable in enumerate(layer.weights)
    }


def assign_weights(model: tf.keras.Model, values: Mapping[str, Array], source: str) -> None:
    """Sets every variable of the model.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`.
        values: arrays under the names of :func:`named_weights`.
        source: the file they come from, for the message.

    Raises:
        InputError: a name or a shape is not the model's.
    """
    variables = named_weights(model)
    unknown = sorted(set(values) ^ set(variables))
    wrong = [n for n in variables if n in values and values[n].shape != tuple(variables[n].shape)]
    if unknown or wrong:
        raise InputError(
            f"{source}: its weights are of another network ({(unknown + wrong)[0]} does not fit); "
            "use the preset and branches it was trained with."
        )
    for name, variable in variables.items():
        variable.assign(values[name])
