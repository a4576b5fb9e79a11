"""The classifiers of a training as one SavedModel: written in versions, and loaded again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.export.operations import check_operations
from tf_lungreg.export.reading import CARD, find_model, read_card
from tf_lungreg.export.signatures import card_answers
from tf_lungreg.export.writing import add_version
from tf_lungreg.files import write_json

TASK = "classification of interstitial lung disease"

_ABOUT = {
    "task": TASK,
    "description": "Tells ill (ssc) from healthy patients by the deformation from inhale to "
    "exhale: the mean response of several small networks.",
    "intended_use": "A research tool. Its answer is not a diagnosis. Not a medical device.",
    "inputs": {
        "displacement": "(batch, D, H, W, 3), at the cell centres of the box around the fixed "
        "lungs, components along D, H, W, axes (P, I, L), less its mean, in settings.unit",
    },
    "outputs": {
        "probability": "of disease, (batch,); 0.5 and more is called ill",
        "responses": "of the single networks, (batch, networks)",
    },
}


@dataclass(frozen=True)
class ExportedClassifier:
    """A classifier read back.

    Attributes:
        path: the version's folder.
        card: its model card.
        classify: the signature.
        loaded: keeps the variables alive that the signature uses.
    """

    path: Path
    card: dict[str, Any]
    classify: Callable[..., dict[str, tf.Tensor]]
    loaded: object

    def __call__(self, features: Array) -> tuple[Array, Array]:
        """Probability, (N,), and the single networks' responses, (N, networks).

        Args:
            features: (N, D, H, W, 3), see :func:`tf_lungreg.classification.features.make_features`.
        """
        outputs = self.classify(displacement=tf.constant(features, tf.float32))
        return outputs["probability"].numpy(), outputs["responses"].numpy()


def export_classifiers(
    models: Sequence[tf.keras.Model], base: str | os.PathLike[str], card: dict[str, Any]
) -> Path:
    """Writes the next version with the signatures ``classify`` and ``card``.

    ``classify`` is also the default signature. It refuses values that are not finite.

    Args:
        models: with one input shape.
        base: the folder that holds the versions.
        card: what a user must know besides what is true of every classifier; kept as JSON.

    Returns:
        The version's folder.
    """
    card = {**_ABOUT, **card}
    module = _Classifiers(models, card)

    def write(folder: Path) -> None:
        tf.saved_model.save(module, str(folder), signatures=module.signatures())
        write_json(folder / CARD, card)

    return add_version(Path(base), write)


def load_classifier(path: str | os.PathLike[str]) -> ExportedClassifier:
    """Loads a version, or the newest below a folder.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no classifier of this package, or an operation that could reach files,
            the network or Python.
    """
    version = find_model(path)
    card = read_card(version)
    if card.get("task") != TASK or not {"settings", "registration", "patients"} <= set(card):
        raise InputError(f"{version}: not a classifier; one of tf-lungreg classify is needed.")
    check_operations(version)
    try:
        loaded = tf.saved_model.load(str(version))
        return ExportedClassifier(version, card, loaded.signatures["classify"], loaded)
    except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{version}: this classifier cannot be loaded, its files are damaged ({reason})."
        ) from error


class _Classifiers(tf.Module):
    """What is exported."""

    def __init__(self, models: Sequence[tf.keras.Model], card: dict[str, Any]):
        super().__init__()
        self._models = list(models)
        self._card = json.dumps(card)
        # Keras 3 wraps the variables; the module must own them to save them.
        self.weights = [
            v if isinstance(v, tf.Variable) else v.value for m in models for v in m.weights
        ]

    def signatures(self) -> dict[str, Any]:
        shape = (None, *self._models[0].input_shape[1:])

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="displacement")])
        def classify(displacement: tf.Tensor):
            x = tf.ensure_shape(displacement, shape)
            x = tf.debugging.assert_all_finite(x, "displacement: not all values are finite")
            responses = tf.concat([model(x, training=False) for model in self._models], axis=1)
            return {"probability": tf.reduce_mean(responses, axis=1), "responses": responses}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32, name="query")])
        def card(query: tf.Tensor):
            return {"card": card_answers(query, self._card)}

        return {"serving_default": classify, "classify": classify, "card": card}
