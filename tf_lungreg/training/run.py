"""A whole training: data, network, fit, evaluation, export, report."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import tensorflow as tf

from tf_lungreg.cohorts.cache import PreparedPair
from tf_lungreg.cohorts.random_pairs import fixed_pairs, stack_images, training_pairs
from tf_lungreg.errors import InputError
from tf_lungreg.export import export_model, read_weights
from tf_lungreg.files import check_folder, write_json
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.keras_state import keras_defaults
from tf_lungreg.models.weights import assign_weights, named_weights
from tf_lungreg.provenance import software
from tf_lungreg.reporting.training_page import write_training_report
from tf_lungreg.training.callbacks import (
    MONITOR,
    Charts,
    Checkpoints,
    ProgressBar,
    plateau_callbacks,
)
from tf_lungreg.training.checkpoint import Progress, load_checkpoint
from tf_lungreg.training.compilation import compile_registration_model
from tf_lungreg.training.data import TrainingData, fit_shape, load_training_data
from tf_lungreg.training.folder import CONFIG, METRICS, claimed_run, find_run_folder
from tf_lungreg.training.run_export import best_model
from tf_lungreg.training.settings import TrainingSettings, filled
from tf_lungreg.training.strategy import choose_strategy
from tf_lungreg.training.termination import Termination
from tf_lungreg.training.validation import evaluate_pairs, summarise
from tf_lungreg.training.workers import is_chief

_Pair = TypeVar("_Pair")


def train(
    settings: TrainingSettings,
    *,
    runs: str | os.PathLike[str] = "runs",
    name: str | None = None,
    models: str | os.PathLike[str] = "saved_models/lungreg",
    cache: str | os.PathLike[str] | None = None,
    strategy: str = "auto",
    overwrite: bool = False,
) -> Path:
    """Trains a model on a cohort, or resumes the same training; does what the command does.

    Args:
        settings: only the cohort is needed; the rest has defaults, see
            :meth:`~tf_lungreg.training.settings.TrainingSettings.resolved`.
        runs: folder of all runs.
        name: of the run; by default the cohort's and the preset's.
        models: folder of the exported model, in which it takes the next version.
        cache: folder for prepared scans; by default ``cache`` in ``runs``.
        strategy: which devices, see :func:`tf_lungreg.training.strategy.choose_strategy`.
        overwrite: replace a run of that name.

    Returns:
        The run's folder: settings, checkpoints, history, ``metrics.json``, report.

    Raises:
        InputError, MissingFileError: a setting, the cohort, the model to start from or a folder
            cannot be used; or the training came to nothing.
    """
    config, folder = plan_training(settings, Path(runs), name, overwrite)
    run_training(config, folder, Path(models), Path(cache or Path(runs) / "cache"), strategy)
    return folder


def plan_training(
    settings: TrainingSettings, runs: Path, name: str | None = None, overwrite: bool = False
) -> tuple[TrainingSettings, Path]:
    """The resolved settings of a training and the folder of its run, which is not made yet.

    Without a shape, the network's grid is no larger than the cohort's images need.

    Args:
        settings: of the training.
        runs: folder of all runs.
        name: see :func:`tf_lungreg.training.folder.find_run_folder`.
        overwrite: see there.
    """
    config = settings.resolved()
    if settings.shape is None:
        config = fit_shape(config)
    return config, find_run_folder(runs, config, name, overwrite)


def run_training(
    config: TrainingSettings,
    run: Path,
    models: Path,
    cache: Path | None = None,
    strategy: str = "auto",
) -> dict[str, Any] | None:
    """Trains a model, or resumes an interrupted run in the same folder.

    Args:
        config: resolved settings.
        run: folder of the run: settings, checkpoints, history, metrics, report.
        models: folder of the exported model, in which it takes the next version.
        cache: folder for prepared scans.
        strategy: which devices, see :func:`tf_lungreg.training.strategy.choose_strategy`.

    Returns:
        What was written to ``metrics.json``; None in a worker that is not the chief.

    Raises:
        InputError, MissingFileError: the cohort, the model to start from, the strategy or a folder
            cannot be used, and nothing was written; or the training came to nothing.
    """
    started = time.monotonic()
    for folder in (run, models):
        check_folder(folder)
    devices = choose_strategy(strategy, filled(config.batch))
    data = load_training_data(config, cache)
    with devices.scope():
        claim = claimed_run(run, config) if is_chief() else contextlib.nullcontext()
    with claim:
        return _train(config, data, run, models, devices, started)


def _train(
    config: TrainingSettings,
    data: TrainingData,
    run: Path,
    models: Path,
    devices: tf.distribute.Strategy,
    started: float,
) -> dict[str, Any] | None:
    record = {"settings": dataclasses.asdict(config), "software": software()}
    tf.keras.utils.set_random_seed(config.seed)
    with devices.scope():
        model = compiled_model(config)
        if is_chief():
            check_folder(run, checkpoints_size(model))
            write_json(run / CONFIG, record)
        try:
            progress = fit(model, config, data, run)
        except tf.errors.UnavailableError as error:
            raise InputError(
                "another worker was lost; end all that are left and start all by the same command."
            ) from error
        if not is_chief():
            return None

    model = best_model(run, dataclasses.asdict(config))
    rows = evaluate_pairs(model, data.validation)
    summary = {
        **summarise(rows),
        "epochs": progress.epoch,
        "train_scans": len(data.train),
        "validation_pairs": len(rows),
        "validated_on_training_set": data.shared,
    }
    version = export_model(model, models, {**record, "metrics": summary})
    metrics = {
        **summary,
        "seconds": round(time.monotonic() - started, 1),
        "model": str(version),
        **record,
        "pairs": rows,
    }
    write_training_report(run / "report.html", model, data.validation, progress.history, metrics)
    write_json(run / METRICS, metrics)  # last: its presence says that the run has ended
    return metrics


@keras_defaults()
def fit(model: tf.keras.Model, config: TrainingSettings, data: TrainingData, run: Path) -> Progress:
    """Trains a compiled model, or goes on with it; the best epoch is in ``run / "best.npz"``.

    Args:
        model: of :func:`compiled_model`.
        config: resolved settings.
        data: of :func:`tf_lungreg.training.data.load_training_data`.
        run: folder of checkpoints and history; what is there is taken up.

    Raises:
        InputError: the loss is not a number.
    """
    progress = load_checkpoint(run / "last.npz", model)
    _fit(model, config, data, run, progress)
    if not any(math.isfinite(row[MONITOR]) for row in progress.history):
        raise InputError(f"{run}: the loss is not a number; a lower --learning-rate is needed.")
    return progress


def checkpoints_size(model: tf.keras.Model) -> int:
    """Bytes of three checkpoints: the last, the best, and one that is being written."""
    numbers = sum(math.prod(weight.shape) for weight in model.weights)
    return 3 * 3 * 4 * numbers  # weights and Adam's two moments, float32


def compiled_model(config: TrainingSettings) -> tf.keras.Model:
    """The network of the settings with their loss, and with the weights that training begins with.

    Raises:
        InputError, MissingFileError: the model to start from cannot be used.
    """
    model = build_registration_model(
        filled(config.preset),
        filled(config.affine),
        filled(config.deformable),
        filled(config.anchor),
        config.mixed_precision,
        config.recompute,
    )
    if config.init_from:
        stored, wanted = read_weights(config.init_from), named_weights(model)
        # Those of a branch that this training leaves out are not needed.
        known = {name: values for name, values in stored.items() if name in wanted}
        assign_weights(model, known, config.init_from)
    return compile_registration_model(
        model,
        config.similarity,
        filled(config.alpha),
        filled(config.beta),
        filled(config.gamma),
        filled(config.learning_rate),
    )


def _fit(
    model: tf.keras.Model,
    config: TrainingSettings,
    data: TrainingData,
    run: Path,
    progress: Progress,
) -> None:
    """Trains from ``progress`` on, which is kept up to date."""
    images = stack_images([scan.image for scan in data.train])
    batch, steps, last = filled(config.batch), filled(config.steps), filled(config.epochs)
    patience = filled(config.stop_patience)
    watched, watched_pairs = _stack_pairs(data.validation)
    watched_pairs, watched_batch = share_evenly(watched_pairs, batch)
    waiting = plateau_callbacks(filled(config.lr_patience), patience)
    stopped = progress.callbacks.get("EarlyStopping", {}).get("wait", 0) >= patience
    if stopped or progress.epoch >= last:
        return
    first = progress.epoch * steps + progress.step
    # What is left of an epoch that was terminated in a step is a fit of its own; its logs of the
    # training are of these steps alone.
    left = steps - progress.step
    epochs = last if left == steps else progress.epoch + 1
    termination = Termination(run, progress, left)
    with termination.listening():
        model.fit(
            training_pairs(images, data.pairs, config.seed, batch, first),
            epochs=epochs,
            initial_epoch=progress.epoch,
            steps_per_epoch=left,
            validation_data=fixed_pairs(watched, watched_pairs, watched_batch),
            shuffle=False,
            verbose=0,
            callbacks=[
                tf.keras.callbacks.TerminateOnNaN(),
                *waiting,
                Checkpoints(run, waiting, progress),
                *(_display(config, run, progress.epoch) if is_chief() else ()),
                termination,
            ],
        )
    if left < steps:
        _fit(model, config, data, run, progress)


def _display(config: TrainingSettings, run: Path, epoch: int) -> tuple[ProgressBar, Charts]:
    bar = ProgressBar(filled(config.epochs), filled(config.steps), epoch)
    return bar, Charts(run / "tensorboard")


def share_evenly(pairs: list[_Pair], batch: int) -> tuple[list[_Pair], int]:
    """Pairs and their batch such that all batches are full and the devices share each evenly.

    A device that is left without a pair fails, and Keras 3 would weigh a last batch that is
    smaller as much as the others. Where pairs are repeated, all are alike, so that the means over
    them stay. To be called within the scope of the strategy.
    """
    devices = tf.distribute.get_strategy().num_replicas_in_sync
    pairs = pairs * (devices // math.gcd(devices, len(pairs)))
    return pairs, devices * math.gcd(len(pairs) // devices, batch // devices)


def _stack_pairs(pairs: Sequence[PreparedPair]) -> tuple[tf.Tensor, list[tuple[int, int]]]:
    """The images of the pairs, each once, and the pairs as (moving, fixed) numbers."""
    scans = list(dict.fromkeys(scan for pair in pairs for scan in pair))
    place = {scan: number for number, scan in enumerate(scans)}
    numbered = [(place[moving], place[fixed]) for fixed, moving in pairs]
    return stack_images([scan.image for scan in scans]), numbered
