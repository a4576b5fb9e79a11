"""Five models on the training patients, each without a fifth of them (paper Section 3.3)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from sklearn.model_selection import StratifiedKFold

from tf_lungreg.arrays import Array
from tf_lungreg.classification.features import mirrored
from tf_lungreg.classification.network import build_ild_classifier
from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.errors import InputError
from tf_lungreg.models.keras_state import keras_defaults

_CLIP = 1e-7  # keeps the logarithm of a probability finite


@dataclass(frozen=True, eq=False)
class Trained:
    """The models of a training.

    Attributes:
        models: one a fold.
        held_out: probability for each training patient from the model that did not see them, (N,),
            in the order of the arguments.
        class_weights: of a healthy and of an ill patient, over all training patients.
    """

    models: list[tf.keras.Model]
    held_out: Array
    class_weights: tuple[float, float]


def train_classifiers(
    names: Sequence[str], features: Array, labels: Array, settings: ClassifierSettings
) -> Trained:
    """Trains the models; the order of the patients does not matter.

    Args:
        names: of the N patients, each once.
        features: (N, D, H, W, 3).
        labels: (N,), 1 for ill, 0 for healthy.
        settings: see there.

    Raises:
        InputError: a class has fewer patients than there are folds.
    """
    check_classes(labels, settings.folds)
    order = np.argsort(names)
    x, y = np.asarray(features, np.float32)[order], np.asarray(labels)[order]
    splits = StratifiedKFold(settings.folds, shuffle=True, random_state=settings.seed)
    models, held_out = [], np.empty(len(y), np.float64)
    for fold, (seen, unseen) in enumerate(splits.split(names, y)):
        seed = settings.seed * settings.folds + fold
        models.append(train_one(x[seen], y[seen], settings, seed))
        held_out[order[unseen]] = respond(models[-1:], x[unseen])[:, 0]
    return Trained(models, held_out, class_weights(y))


def check_classes(labels: Array, folds: int) -> None:
    """Raises an InputError if a class has fewer patients than there are folds.

    Args:
        labels: (N,), 1 where ill.
        folds: of the cross-validation.
    """
    counts = [int(np.sum(np.asarray(labels) == label)) for label in (0, 1)]
    if min(counts) < folds:
        raise InputError(
            f"{counts[0]} healthy and {counts[1]} ill patients to train on; for {folds} folds "
            f"at least {folds} of each are needed."
        )


def class_weights(labels: Array) -> tuple[float, float]:
    """Weights of a healthy and of an ill patient: both classes have the same sum."""
    healthy, ill = (len(labels) / (2 * float(np.sum(labels == label))) for label in (0, 1))
    return healthy, ill


@keras_defaults()
def train_one(
    features: Array, labels: Array, settings: ClassifierSettings, seed: int
) -> tf.keras.Model:
    """One model: weighted binary cross entropy, Adam, a halving learning rate.

    Args:
        features: (N, D, H, W, 3).
        labels: (N,), 1 where ill.
        settings: of the training.
        seed: of the weights and the order.
    """
    model = build_ild_classifier(
        features.shape[1:4], settings.filters, settings.pooling, settings.hidden, seed
    )
    parts = math.ceil(len(labels) / settings.batch)
    rate = tf.keras.optimizers.schedules.ExponentialDecay(
        settings.learning_rate, settings.halve_every * parts, 0.5, staircase=True
    )
    step = _make_step(model, tf.keras.optimizers.Adam(rate), features.shape[1:])
    weights = np.array(class_weights(labels), np.float32)[labels.astype(int)]
    rng = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        for chosen in np.array_split(rng.permutation(len(labels)), parts):
            seen = features[chosen]
            if settings.mirror:
                turned = rng.random(len(chosen)) < 0.5
                seen = np.where(turned[:, None, None, None, None], mirrored(seen), seen)
            step(seen, labels[chosen].astype(np.float32), weights[chosen])
    return model


def respond(models: Sequence[tf.keras.Model], features: Array) -> Array:
    """Each model's probability for each patient, (N, models).

    Args:
        models: of :func:`train_one`.
        features: (N, D, H, W, 3).
    """
    x = tf.constant(features, tf.float32)
    return np.concatenate([model(x, training=False).numpy() for model in models], axis=1)


def settings_record(settings: ClassifierSettings) -> dict[str, Any]:
    """The settings as JSON."""
    return asdict(settings)


def _make_step(
    model: tf.keras.Model, optimizer: tf.keras.optimizers.Optimizer, shape: Sequence[int]
):
    optimizer.build(model.trainable_variables)
    numbers = tf.TensorSpec((None,), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.float32), numbers, numbers])
    def step(x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor):
        with tf.GradientTape() as tape:
            p = tf.clip_by_value(model(x, training=True)[:, 0], _CLIP, 1 - _CLIP)
            entropy = -(y * tf.math.log(p) + (1 - y) * tf.math.log(1 - p))
            loss = tf.reduce_mean(weight * entropy)
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))
        return loss

    return step
