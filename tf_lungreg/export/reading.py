"""Finding a model's newest version and loading it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError, MissingFileError

CARD = Path("assets.extra") / "model_card.json"


def list_versions(base: Path) -> list[int]:
    """The numbers of the versions in a model's folder, in no order."""
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
    for version in sorted(list_versions(path), reverse=True):
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
