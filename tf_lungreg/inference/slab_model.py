"""An exported model that runs slab by slab, where its graph would not fit into the memory."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.export import ExportedModel
from tf_lungreg.export.rebuilding import rebuild_model
from tf_lungreg.inference.network_pass import RegistrationModel
from tf_lungreg.models.slabs import run_in_slabs


def in_slabs(model: RegistrationModel, memory: float) -> RegistrationModel:
    """The same model, whose pass is :func:`tf_lungreg.models.slabs.run_in_slabs`.

    Args:
        model: of :func:`tf_lungreg.export.load_model`.
        memory: GB for the work on a slab.

    Raises:
        InputError: the model is none of files, or its card does not say which network it is.
    """
    if not (isinstance(model, ExportedModel) and model.weights):
        raise InputError("memory: goes with an exported model, not with 'none' or a server's.")
    network = rebuild_model(model.card, model.weights, str(model.path))

    def register(moving: tf.Tensor, fixed: tf.Tensor) -> dict[str, tf.Tensor]:
        return run_in_slabs(network, {"moving": moving, "fixed": fixed}, memory * 1e9)

    return dataclasses.replace(model, signatures={"serving_default": register})
