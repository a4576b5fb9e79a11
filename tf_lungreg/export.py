"""SavedModels: written in numbered versions for TensorFlow Serving, found and loaded again."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.files import write_json
from tf_lungreg.models.weights import named_weights

CARD = Path("assets.extra") / "model_card.json"

_VOLUME = tf.TensorSpec((None, None, None, None, 1), tf.float32)
_GRID = tf.TensorSpec((None, None, None, None, 3), tf.float32)


class RegistrationModule(tf.Module):
    """What is exported: the model, sampling for images and labels, and the weights by name.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`.
    """

    def __init__(self, model: tf.keras.Model):
        super().__init__()
        self.weights = {
            name: v if isinstance(v, tf.Variable) else v.value  # Keras 3 wraps the variable
            for name, v in named_weights(model).items()
        }
        self._model = model

    def signatures(self) -> dict:
        """The functions under the names that TensorFlow Serving knows them by."""

        @tf.function(input_signature=[_VOLUME, _VOLUME])
        def register(moving, fixed):
            return self._model({"moving": moving, "fixed": fixed}, training=False)

        @tf.function(input_signature=[_VOLUME, _GRID])
        def warp(volume, grid):
            return {"warped": ops.warp(volume, grid)}

        @tf.function(input_signature=[_VOLUME, _GRID])
        def warp_labels(volume, grid):
            return {"warped": ops.warp(volume, grid, "nearest")}

        return {"serving_default": register, "warp": warp, "warp_labels": warp_labels}


def export_model(model: tf.keras.Model, base: str | os.PathLike, card: dict) -> Path:
    """Writes the next version of a model; what is there stays as it is.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`.
        base: the model's folder, which holds its versions.
        card: what a user of the model must know of it, kept beside it as JSON.

    Returns:
        The version's folder.
    """
    base = Path(base)
    base.mkdir(parents=True, exist_ok=True)
    module = RegistrationModule(model)
    temporary = base / f".partial-{os.getpid()}"
    try:
        tf.saved_model.save(module, str(temporary), signatures=module.signatures())
        write_json(temporary / CARD, card)
        version = base / str(max(_versions(base), default=0) + 1)
        temporary.rename(version)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return version


def _versions(base: Path) -> list[int]:
    return [int(p.name) for p in base.iterdir() if p.is_dir() and p.name.isdigit()]


def find_model(path: str | os.PathLike) -> Path:
    """The version's folder of a model: the path itself, or the highest version below it.

    Raises:
        MissingFileError: there is no such folder.
        InputError: the folder holds no SavedModel.
    """
    path = Path(path)
    if not path.is_dir():
        raise MissingFileError(f"{path}: no such folder; a model that was exported is needed.")
    if (path / "saved_model.pb").is_file():
        return path
    for version in sorted(_versions(path), reverse=True):
        if (path / str(version) / "saved_model.pb").is_file():
            return path / str(version)
    raise InputError(f"{path}: no SavedModel is in it, nor in a numbered folder below it.")


@dataclass(frozen=True)
class ExportedModel:
    """A model read back.

    Attributes:
        path: the version's folder.
        card: its model card.
        weights: arrays under the names of :func:`tf_lungreg.models.weights.named_weights`.
        signatures: its functions by name.
    """

    path: Path
    card: dict
    weights: dict[str, np.ndarray]
    signatures: dict

    def __call__(self, inputs):
        """The four outputs for ``{"moving", "fixed"}``, as the Keras model gives them."""
        return self.signatures["serving_default"](**inputs)


def read_card(path: str | os.PathLike) -> dict:
    """The model card of an exported model.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no model of this package.
    """
    file = find_model(path) / CARD
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{file}: no model card can be read; a model exported by this package is needed."
        ) from error


def load_model(path: str | os.PathLike) -> ExportedModel:
    """Loads an exported model.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no model of this package.
    """
    version = find_model(path)
    card = read_card(version)
    try:
        loaded = tf.saved_model.load(str(version))
        weights = {name: variable.numpy() for name, variable in loaded.weights.items()}
    except (OSError, ValueError, AttributeError, KeyError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{version}: not a model of this package ({reason}).") from error
    return ExportedModel(version, card, weights, dict(loaded.signatures))
