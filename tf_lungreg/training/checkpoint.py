"""Checkpoints: everything that a training needs to go on as if it had not stopped, in one file."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.files import replacing
from tf_lungreg.models.weights import assign_weights, named_weights
from tf_lungreg.training.workers import from_chief, is_chief


@dataclass
class Progress:
    """How far a training came, besides its weights and optimiser.

    Attributes:
        epoch: epochs completed.
        history: the logs of each of them.
        callbacks: state of the callbacks that wait for an improvement, by class name.
        step: batches completed of the epoch after those, where the training was terminated in it.
    """

    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    callbacks: dict[str, dict[str, float]] = field(default_factory=dict)
    step: int = 0


def save_checkpoint(path: Path, model: tf.keras.Model, progress: Progress) -> None:
    """Writes weights, optimiser and progress to one ``.npz`` file, at once or not at all.

    Of several workers only the chief writes.

    Args:
        path: of the file.
        model: compiled.
        progress: how far the training came.

    Raises:
        InputError: the file cannot be written; the one before it stays.
    """
    if not is_chief():
        return
    arrays = {f"weight/{name}": v.numpy() for name, v in named_weights(model).items()}
    for number, variable in enumerate(_optimizer_variables(model)):
        arrays[f"optimizer/{number}"] = variable.numpy()
    try:
        with replacing(path) as temporary:
            np.savez(temporary, progress=json.dumps(vars(progress)), **arrays)
    except InputError as error:
        raise InputError(
            f"{error} The checkpoint before it is left, from which the same command resumes."
        ) from error


def load_checkpoint(path: Path, model: tf.keras.Model) -> Progress:
    """Brings the compiled model to the state of a checkpoint, if there is one.

    Several workers all take that of the chief.

    Args:
        path: of the file.
        model: compiled, of the same network.

    Returns:
        How far it came; without a file, no epoch.

    Raises:
        InputError: the file cannot be read or is of another network.
    """
    stored = from_chief(path.read_bytes() if is_chief() and path.exists() else None)
    if stored is None:
        return Progress()
    content, progress = _parse(io.BytesIO(stored), path)
    assign_weights(model, _weights(content), str(path))
    for number, variable in enumerate(_optimizer_variables(model)):
        variable.assign(content[f"optimizer/{number}"])
    return progress


def load_weights(path: Path, model: tf.keras.Model) -> None:
    """Sets the weights of a model, compiled or not, to those of a checkpoint.

    Args:
        path: of the file.
        model: of the same network.

    Raises:
        InputError: the file cannot be read or is of another network.
    """
    assign_weights(model, _weights(_parse(path, path)[0]), str(path))


def _parse(stored: Path | io.BytesIO, path: Path) -> tuple[dict[str, Array], Progress]:
    try:
        with np.load(stored) as file:
            content = dict(file)
        return content, Progress(**json.loads(str(content.pop("progress"))))
    except Exception as error:  # zipfile and numpy raise anything on a damaged file
        raise InputError(f"{path}: not a checkpoint that can be read ({error}).") from error


def _weights(content: dict[str, Array]) -> dict[str, Array]:
    return {n[len("weight/") :]: v for n, v in content.items() if n.startswith("weight/")}


def _optimizer_variables(model: tf.keras.Model) -> list[tf.Variable]:
    """The optimiser's step count, learning rate and moments, made if training has not begun."""
    model.optimizer.build(model.trainable_variables)
    return list(model.optimizer.variables)
