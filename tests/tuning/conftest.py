import math

import pytest

from tf_lungreg.training import TrainingSettings
from tf_lungreg.training.data import TrainingData
from tf_lungreg.tuning import TuningSettings, search, space

PEAK = {"alpha": 1e-4, "beta": 1e-3}  # where the closed form below is highest


@pytest.fixture
def make_search(tiny):
    """A function that makes the settings of a search."""

    def make(training=None, cohort="cohort", **settings):
        training = {"epochs": 1, "steps": 1, "batch": 1, **(training or {})}
        config = TrainingSettings(str(cohort), preset=tiny, **training).resolved()
        return TuningSettings(config, **{"tuner": "random", "trials": 3, **settings})

    return make


@pytest.fixture
def measured(monkeypatch):
    """Trials measured by a closed form instead of a training; the list of their settings.

    The form falls with the distance from ``PEAK`` in decades. Folding begins where β is small.
    """
    settings = []

    def fit(self, hp, model, data, folder):
        values = self.settings(hp)
        settings.append(values)
        before = (folder / "last.npz").read_text() if (folder / "last.npz").exists() else ""
        for name in ("best.npz", "last.npz"):
            (folder / name).write_text(f"{before}{values.epochs} ")
        away = [math.log10(getattr(values, name) / peak) for name, peak in PEAK.items()]
        dice = 0.9 - 0.02 * math.hypot(*away)
        folds = 0.0 if values.beta > 1e-4 else 0.01
        measures = {"val_dice": dice, "folds_lung": folds, "dice_before": 0.6}
        score = space.score(dice, folds, self.config.max_folds)
        return {"score": score, **measures, "seconds": 1.0}

    monkeypatch.setattr(space.RegistrationHyperModel, "fit", fit)
    monkeypatch.setattr(space, "compiled_model", lambda settings: None)
    monkeypatch.setattr(
        search, "load_training_data", lambda *_: TrainingData([], [], [], shared=False)
    )
    return settings
