"""What a search varies, and how one trial is trained and measured: a Keras Tuner hypermodel."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import keras_tuner as kt
import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.files import write_json
from tf_lungreg.losses import SIMILARITIES
from tf_lungreg.training.data import TrainingData
from tf_lungreg.training.folder import CONFIG
from tf_lungreg.training.run import compiled_model, fit
from tf_lungreg.training.run_export import best_model
from tf_lungreg.training.settings import TrainingSettings
from tf_lungreg.training.validation import evaluate_pairs, summarise
from tf_lungreg.tuning.settings import TuningSettings

# Searched on logarithmic axes; the paper's 1e-6 lies within both of the first.
RANGES = {"alpha": (1e-7, 1e-1), "beta": (1e-6, 1e-1), "learning_rate": (1e-4, 1e-2)}

PENALTY = 10.0  # of Dice, for a share of 1 of the lung's voxels that fold above the bound


class RegistrationHyperModel(kt.HyperModel):
    """The registration network, compiled with the weights of a trial.

    Args:
        config: of the search.
    """

    def __init__(self, config: TuningSettings):
        super().__init__()
        self.config = config
        self._points = grid_points(config) if config.tuner == "grid" else None

    def settings(self, hp: kt.HyperParameters) -> TrainingSettings:
        """The settings of a trial's training; what is searched is declared here."""
        values = {name: self._declare(hp, name) for name in self.config.searched}
        if "tuner/epochs" in hp.values:  # Hyperband's own
            values["epochs"] = hp.values["tuner/epochs"]
        return dataclasses.replace(self.config.training, **values)

    def build(self, hp: kt.HyperParameters) -> tf.keras.Model:
        """The compiled model of a trial."""
        return compiled_model(self.settings(hp))

    def fit(
        self, hp: kt.HyperParameters, model: tf.keras.Model, data: TrainingData, folder: Path
    ) -> dict[str, float]:
        """Trains the model of a trial, or goes on with it, and measures its best epoch.

        Args:
            hp: of the trial.
            model: as built.
            data: what all trials learn from and are measured on.
            folder: of the trial; checkpoints as those of a training.

        Returns:
            ``val_dice`` and ``folds_lung``, means over the validation pairs, ``dice_before``,
            ``seconds``, and ``score``, what the search maximises.

        Raises:
            InputError: the loss is not a number.
        """
        started = time.monotonic()
        settings = self.settings(hp)
        write_json(folder / CONFIG, {"settings": dataclasses.asdict(settings)})
        fit(model, settings, data, folder)
        best = best_model(folder, dataclasses.asdict(settings))
        measures = summarise(evaluate_pairs(best, data.validation))
        dice, folds = measures["dice_after"], measures["folds_lung"]
        return {
            "score": score(dice, folds, self.config.max_folds),
            "val_dice": dice,
            "folds_lung": folds,
            "dice_before": measures["dice_before"],
            "seconds": time.monotonic() - started,
        }

    def _declare(self, hp: kt.HyperParameters, name: str) -> Any:
        if name == "similarity":
            return hp.Choice(name, list(SIMILARITIES))
        low, high = RANGES[name]
        if self._points is None:
            return hp.Float(name, low, high, sampling="log")
        values = np.geomspace(low, high, self._points)
        return hp.Choice(name, [float(f"{value:.6g}") for value in values])


def score(dice: float, folds: float, max_folds: float) -> float:
    """Dice less 0.1 for every percent of the lung's voxels that fold above the bound, at most 1.

    The loss itself is no measure of a trial: the search changes its scale.

    Args:
        dice: of the lung masks, 0 to 1.
        folds: share of the lung's voxels that fold.
        max_folds: the bound.
    """
    return dice - min(1.0, PENALTY * max(0.0, folds - max_folds))


def grid_points(config: TuningSettings) -> int:
    """How many points along each logarithmic axis a grid of that many trials can have.

    Raises:
        InputError: fewer than two.
    """
    axes = sum(name in RANGES for name in config.searched)
    others = len(SIMILARITIES) if "similarity" in config.searched else 1
    points = math.floor((config.trials / others) ** (1 / axes) + 1e-9)
    if points < 2:
        raise InputError(
            f"trials: a grid of {', '.join(config.searched)} needs at least {others * 2**axes}, "
            f"not {config.trials}."
        )
    return points
