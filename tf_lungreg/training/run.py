"""A whole training: data, network, fit, evaluation, export, report."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import tensorflow as tf

from tf_lungreg.data.pairs import fixed_pairs, stack_images, training_pairs
from tf_lungreg.errors import InputError
from tf_lungreg.evaluation import evaluate_pairs, summarise
from tf_lungreg.export import export_model, load_model
from tf_lungreg.files import check_folder, write_json
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import assign_weights
from tf_lungreg.report import write_training_report
from tf_lungreg.training.callbacks import Checkpoints, ProgressBar, plateau_callbacks
from tf_lungreg.training.checkpoint import Progress, load_checkpoint
from tf_lungreg.training.compilation import compile_registration_model
from tf_lungreg.training.config import TrainingConfig
from tf_lungreg.training.data import TrainingData, load_training_data
from tf_lungreg.training.folder import CONFIG, METRICS
from tf_lungreg.training.strategy import choose_strategy
from tf_lungreg.training.termination import Termination
from tf_lungreg.versions import software


def train(
    config: TrainingConfig,
    run: Path,
    models: Path,
    cache: Path | None = None,
    strategy: str = "auto",
) -> dict:
    """Trains a model, or goes on where an interrupted run in the same folder stopped.

    Args:
        config: resolved settings.
        run: folder of the run: settings, checkpoints, history, metrics, report.
        models: folder of the exported model, in which it takes the next version.
        cache: folder for prepared volumes.
        strategy: which devices, see :func:`tf_lungreg.training.strategy.choose_strategy`.

    Returns:
        What was written to ``metrics.json``.

    Raises:
        InputError, MissingFileError: the cohort, the model to start from or the strategy cannot be
            used, and nothing was written; or the training came to nothing.
    """
    started = time.monotonic()
    check_folder(models)
    devices = choose_strategy(strategy, config.batch)
    data = load_training_data(config, cache)
    start_weights = load_model(config.init_from) if config.init_from else None
    record = {"settings": dataclasses.asdict(config), "software": software()}

    tf.keras.utils.set_random_seed(config.seed)
    with devices.scope():
        model = compiled_model(config)
        if start_weights:
            assign_weights(model, start_weights.weights, str(start_weights.path))
        write_json(run / CONFIG, record)
        progress = fit_best(model, config, data, run)

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


def fit_best(model, config: TrainingConfig, data: TrainingData, run: Path) -> Progress:
    """Trains a compiled model, or goes on with it, and gives it the weights of its best epoch.

    Args:
        model: of :func:`compiled_model`.
        config: resolved settings.
        data: of :func:`tf_lungreg.training.data.load_training_data`.
        run: folder of checkpoints and history; what is there is taken up.

    Raises:
        InputError: the loss is not a number.
    """
    last = run / "last.npz"
    progress = load_checkpoint(last, model) if last.exists() else Progress()
    _fit(model, config, data, run, progress)
    best = run / "best.npz"
    if not best.exists():
        raise InputError(f"{run}: the loss is not a number; a lower --learning-rate is needed.")
    load_checkpoint(best, model)
    return progress


def compiled_model(config: TrainingConfig) -> tf.keras.Model:
    """The network of the settings with their loss."""
    model = build_registration_model(config.preset, config.affine, config.deformable, config.anchor)
    return compile_registration_model(
        model,
        config.similarity,
        config.alpha,
        config.beta,
        config.gamma,
        config.learning_rate,
    )


def _fit(model, config: TrainingConfig, data: TrainingData, run: Path, progress: Progress) -> None:
    """Trains from ``progress`` on, which is kept up to date."""
    images = stack_images([scan.image for scan in data.train])
    watched, watched_pairs = _stack_pairs(data.validation)
    waiting = plateau_callbacks(config.lr_patience, config.stop_patience)
    stopped = progress.callbacks.get("EarlyStopping", {}).get("wait", 0) >= config.stop_patience
    if stopped or progress.epoch >= config.epochs:
        return
    first = progress.epoch * config.steps + progress.step
    # What is left of an epoch that was terminated in a step is a fit of its own; its logs of the
    # training are of these steps alone.
    left = config.steps - progress.step
    epochs = config.epochs if left == config.steps else progress.epoch + 1
    termination = Termination(run, progress, left)
    with termination.listening():
        model.fit(
            training_pairs(images, data.pairs, config.seed, config.batch, first),
            epochs=epochs,
            initial_epoch=progress.epoch,
            steps_per_epoch=left,
            validation_data=fixed_pairs(watched, watched_pairs, config.batch),
            shuffle=False,
            verbose=0,
            callbacks=[
                tf.keras.callbacks.TerminateOnNaN(),
                *waiting,
                Checkpoints(run, waiting, progress),
                ProgressBar(config.epochs, config.steps, progress.epoch),
                tf.keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
                termination,
            ],
        )
    if left < config.steps:
        _fit(model, config, data, run, progress)


def _stack_pairs(pairs):
    """The images of the pairs, each once, and the pairs as (moving, fixed) numbers."""
    scans = list(dict.fromkeys(scan for pair in pairs for scan in pair))
    place = {scan: number for number, scan in enumerate(scans)}
    numbered = [(place[moving], place[fixed]) for fixed, moving in pairs]
    return stack_images([scan.image for scan in scans]), numbered
