"""The search: Keras Tuner's oracles, its project folder, and one training a trial."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras_tuner as kt
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.files import locked
from tf_lungreg.training.data import TrainingData, load_training_data
from tf_lungreg.training.settings import filled
from tf_lungreg.tuning.results import best_row, trial_rows, write_results
from tf_lungreg.tuning.settings import (
    CACHE,
    PROJECT,
    TuningSettings,
    await_search,
    check_search,
    open_search,
)
from tf_lungreg.tuning.space import RegistrationHyperModel
from tf_lungreg.tuning.trials_page import write_tuning_report

_log = logging.getLogger(__name__)

_GIVE_UP = 3  # failed trials in a row, after which something else than their settings is wrong


def tune(
    config: TuningSettings, out: Path, cache: Path | None = None, overwrite: bool = False
) -> list[dict[str, Any]]:
    """Searches, or goes on where a search in the same folder stopped.

    Where Keras Tuner's environment variables name a chief, this process is the chief, which
    hands out the trials and writes the results, or one of the workers, which run them; ``out`` is
    then a folder that all of them share.

    Args:
        config: what to search.
        out: folder of the results.
        cache: folder for prepared scans, by default one in ``out``.
        overwrite: begin anew if the folder holds a search.

    Returns:
        The rows of the trials as in ``trials.csv``; none in a worker.

    Raises:
        InputError, MissingFileError: the settings, the folder or the cohort cannot be used; or
            several trials in a row failed, or all.
    """
    hypermodel = RegistrationHyperModel(config)
    if not _is_worker():
        check_search(out, config, overwrite)
    data = load_training_data(config.training, cache or out / CACHE)
    _check_masks(config, data)
    if _is_worker():
        await_search(out, config)
        _Search(hypermodel, out).search(data, verbose=0)
        return []
    with locked(out):
        check_search(out, config, overwrite)  # again: reading the cohort took a while
        open_search(out, config, overwrite)
        return _search(hypermodel, out, data)


def _search(
    hypermodel: RegistrationHyperModel, out: Path, data: TrainingData
) -> list[dict[str, Any]]:
    config, search = hypermodel.config, _Search(hypermodel, out)
    search.search(data, verbose=0)
    rows = search.rows()
    write_results(out, rows, config)
    if best_row(rows) is None:
        raise InputError(f"{out}: no trial ended well; the last: {rows[-1]['message']}")
    write_tuning_report(out / "report.html", rows, config)
    return rows


def make_oracle(config: TuningSettings) -> kt.Oracle:
    """Keras Tuner's part that chooses the values of the next trial."""
    settings: dict[str, Any] = {
        "objective": kt.Objective("score", "max"),
        "seed": config.training.seed + 1,  # it takes a seed of 0 for none
        "max_consecutive_failed_trials": config.trials + 1,  # counted here, after the table
    }
    if config.tuner == "hyperband":
        oracle = kt.oracles.HyperbandOracle(
            max_epochs=filled(config.training.epochs),
            hyperband_iterations=config.trials,
            **settings,
        )
        oracle.max_trials = config.trials
        return oracle
    kinds = {
        "bayesian": kt.oracles.BayesianOptimizationOracle,
        "random": kt.oracles.RandomSearchOracle,
        "grid": kt.oracles.GridSearchOracle,
    }
    return kinds[config.tuner](max_trials=config.trials, **settings)


class _Search(kt.Tuner):
    """Runs the trials, and keeps the table of them up to date."""

    def __init__(self, hypermodel: RegistrationHyperModel, out: Path):
        self.config, self.out, self.network = hypermodel.config, Path(out), hypermodel
        self.failed: list[str] = []
        super().__init__(
            make_oracle(self.config), hypermodel, directory=str(out), project_name=PROJECT
        )

    def on_search_begin(self) -> None:
        """Leaves a project that can be taken up even before its first trial has ended."""
        self.save()

    def run_trial(self, trial: kt.engine.trial.Trial, data: TrainingData, **_: Any) -> Any:
        """Trains one model; ``_`` is what Keras Tuner passes on to its own way of doing so.

        Returns:
            The measures; Keras Tuner's own method gives a list of them, but takes either.
        """
        tf.keras.backend.clear_session()
        tf.keras.utils.set_random_seed(self.config.training.seed)
        folder = Path(self.get_trial_dir(trial.trial_id))
        earlier = trial.hyperparameters.values.get("tuner/trial_id")
        if earlier is not None:  # Hyperband goes on with a trial that did well in few epochs
            _take_over(Path(self.get_trial_dir(earlier)), folder)
        model = self.network.build(trial.hyperparameters)
        return self.network.fit(trial.hyperparameters, model, data, folder)

    def on_trial_end(self, trial: kt.engine.trial.Trial) -> None:
        """Writes the table and logs how the trial ended.

        Raises:
            InputError: too many failed in a row.
        """
        super().on_trial_end(trial)
        if not _is_worker():
            write_results(self.out, self.rows(), self.config)
        row = self._rows([self.oracle.get_trial(trial.trial_id)])[0]
        _log.info("%s", _line(row, self.config))
        self.failed = [*self.failed, row["message"]] if row["status"] == "failed" else []
        if len(self.failed) == _GIVE_UP:
            raise InputError(f"{_GIVE_UP} trials in a row failed; the last: {self.failed[-1]}")

    def rows(self) -> list[dict[str, Any]]:
        """The rows of all trials."""
        return self._rows(self.oracle.trials.values())

    def _rows(self, trials: Iterable[kt.engine.trial.Trial]) -> list[dict[str, Any]]:
        return trial_rows(trials, self.config.searched, self.config.max_folds)


def _take_over(earlier: Path, folder: Path) -> None:
    """Gives a trial the checkpoints of another, unless it was interrupted and has its own."""
    for name in ("best.npz", "last.npz"):
        if not (folder / name).exists():
            shutil.copyfile(earlier / name, folder / name)


def _line(row: dict[str, Any], config: TuningSettings) -> str:
    values = ", ".join(
        f"{name} {row[name]:.3g}" if isinstance(row[name], float) else f"{name} {row[name]}"
        for name in config.searched
    )
    # Keras Tuner counts from 0, in its folders and so in the table and the report.
    start = f"trial {row['trial']} ({row['trial'] + 1} of {config.trials}): {values}: "
    if row["status"] == "failed":
        return f"{start}failed: {row['message']}"
    return (
        f"{start}Dice {100 * row['val_dice']:.2f} %, {100 * row['folds_lung']:.4f} % folded "
        f"in the lung, {row['seconds']:.0f} s, {row['status']}"
    )


def _check_masks(config: TuningSettings, data: TrainingData) -> None:
    if any(scan.mask is None for pair in data.validation for scan in pair):
        raise InputError(
            f"{config.training.cohort}: a validation image has no mask; the search compares Dice "
            "of lung masks, and they are needed."
        )


def _is_worker() -> bool:
    """Whether another process, Keras Tuner's chief, hands out the trials."""
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return False
    return "chief" not in os.environ.get("KERASTUNER_TUNER_ID", "")
