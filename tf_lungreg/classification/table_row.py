"""One row of Table 3: five models on the training patients' deformations, tested on the others."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lungreg.classification.accuracy import measure
from tf_lungreg.classification.deformations import TRUTH, find_box, sample_pairs
from tf_lungreg.classification.features import SHAPE, Sampled, make_features, sizes
from tf_lungreg.classification.fitting import (
    ClassifierSettings,
    respond,
    settings_record,
    train_classifiers,
)
from tf_lungreg.classification.patients import Patients
from tf_lungreg.errors import InputError
from tf_lungreg.images.preparation import Window
from tf_lungreg.reproduction.methods import Method, make_methods

Registrations = Mapping[str, "Method | None"]  # row → method; None for the truth


@dataclass(frozen=True, eq=False)
class Outcome:
    """A row, measured.

    Attributes:
        models: the classifiers.
        results: ``test`` and ``cross_validation``, see
            :func:`tf_lungreg.classification.accuracy.measure`; ``settings``; ``registration``.
        predictions: one row a patient: ``method``, ``participant``, ``part``, ``ill``,
            ``probability``; of a training patient from the model that did not see them.
    """

    models: list[tf.keras.Model]
    results: dict[str, Any]
    predictions: list[dict[str, Any]]


def find_registrations(
    names: Sequence[str], models: Mapping[str, str | os.PathLike[str]], window: Window = "auto"
) -> dict[str, Method | None]:
    """The methods by row, ``truth`` among them.

    Args:
        names: ``truth`` and those of :func:`tf_lungreg.reproduction.methods.make_methods`.
        models: row → exported model.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.

    Raises:
        InputError, MissingFileError: a method cannot be used, or there is none.
    """
    if TRUTH in models:
        raise InputError(f"--models: {TRUTH!r} is the cohort's own displacement; choose another.")
    others = [name for name in names if name != TRUTH]
    rows: dict[str, Method | None] = {TRUTH: None} if TRUTH in names else {}
    if others or models or not rows:
        rows.update({m.name: m for m in make_methods(others, models, window=window)})
    return rows


def run_row(
    name: str,
    method: Method | None,
    patients: Patients,
    settings: ClassifierSettings,
    folder: str | os.PathLike[str],
    unit: str = "mm",
    window: Window = "auto",
) -> Outcome:
    """Registers what is not there yet, trains, and measures.

    Args:
        name: of the row.
        method: None for the truth.
        patients: of both parts.
        settings: of the training.
        folder: where deformations are kept.
        unit: see :func:`tf_lungreg.classification.features.make_features`.
        window: what the method was made with.
    """
    box = find_box(patients.pairs)
    sampled = sample_pairs(method, patients.pairs, patients.root, folder, box, window)
    features = np.stack([make_features(one, unit) for one in sampled])
    seen = len(patients.train)
    names = [fixed.participant for fixed, _ in patients.pairs]
    labels = patients.labels_of(patients.pairs)
    trained = train_classifiers(names[:seen], features[:seen], labels[:seen], settings)
    response = respond(trained.models, features[seen:]).mean(axis=1)
    probabilities = np.concatenate([trained.held_out, response])
    results = {
        "test": measure(labels[seen:], response, settings.seed),
        "cross_validation": measure(labels[:seen], trained.held_out, settings.seed),
        "settings": {
            **settings_record(settings),
            "class_weights": trained.class_weights,
            "shape": list(SHAPE),
            "unit": unit,
            "box": box,
            "window": window if isinstance(window, str) else list(window),
        },
        "trained_on": _ranges(sampled[:seen]),
        "registration": {"method": name, **({} if method is None else method.identity)},
        "patients": {"train": names[:seen], "test": names[seen:]},
    }
    rows = zip(names, labels, probabilities)
    predictions = [
        {
            "method": name,
            "participant": participant,
            "part": "train" if number < seen else "test",
            "ill": int(label),
            "probability": round(float(probability), 6),
        }
        for number, (participant, label, probability) in enumerate(rows)
    ]
    return Outcome(trained.models, results, predictions)


def _ranges(sampled: Sequence[Sampled]) -> dict[str, list[float]]:
    """The smallest and the largest of each of :func:`sizes`, mm."""
    found = [sizes(one) for one in sampled]
    return {
        name: [round(limit(one[name] for one in found), 3) for limit in (min, max)]
        for name in found[0]
    }
