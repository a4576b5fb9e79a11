"""An exported model that runs slab by slab, where its graph would not fit into the memory."""

from __future__ import annotations

import dataclasses
import math

from tf_lungreg.errors import InputError
from tf_lungreg.export import ExportedModel
from tf_lungreg.export.rebuilding import rebuild_model
from tf_lungreg.models.slabs import run_in_slabs


def check_memory(memory: float | None) -> None:
    """Raises an InputError if this is neither None nor a number of GB."""
    number = isinstance(memory, (int, float)) and not isinstance(memory, bool)
    if memory is not None and not (number and 0 < memory < math.inf):
        raise InputError(f"memory: GB, a number above 0, is needed, not {memory!r}.")


def in_slabs(model: ExportedModel, memory: float) -> ExportedModel:
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

    def register(moving, fixed):
        return run_in_slabs(network, {"moving": moving, "fixed": fixed}, memory * 1e9)

    return dataclasses.replace(model, signatures={"serving_default": register})
