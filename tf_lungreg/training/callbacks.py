"""What happens around the epochs: checkpoints, schedule, history, progress bar."""

from __future__ import annotations

import csv
import io
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from tf_lungreg.files import write_text
from tf_lungreg.training.checkpoint import Progress, save_checkpoint
from tf_lungreg.training.workers import is_chief

MONITOR = "val_warped_loss"

_STATE = ("best", "wait", "cooldown_counter", "best_epoch")


def plateau_callbacks(lr_patience: int, stop_patience: int) -> list[tf.keras.callbacks.Callback]:
    """Divides the learning rate by 10, and stops, when the validation image term stays (2.3).

    Args:
        lr_patience: epochs without improvement before the rate falls.
        stop_patience: epochs without improvement before training stops.
    """
    reduce = tf.keras.callbacks.ReduceLROnPlateau(
        monitor=MONITOR, mode="min", factor=0.1, patience=lr_patience, min_delta=0
    )
    stop = tf.keras.callbacks.EarlyStopping(monitor=MONITOR, mode="min", patience=stop_patience)
    return [reduce, stop]


class Checkpoints(tf.keras.callbacks.Callback):
    """After every epoch writes ``last.npz``, ``history.csv`` and, at a new best, ``best.npz``.

    Of several workers only the chief writes; all of them keep count.

    Also gives the waiting callbacks their state back when a run is resumed: it must stand after
    them in the list, because they forget it when training begins.

    Args:
        folder: where the files go.
        waiting: the callbacks of :func:`plateau_callbacks`.
        progress: that of the run so far.
    """

    def __init__(
        self, folder: Path, waiting: Sequence[tf.keras.callbacks.Callback], progress: Progress
    ):
        super().__init__()
        self.folder, self.waiting, self.progress = Path(folder), waiting, progress

    def on_train_begin(self, logs: object = None) -> None:
        """Restores the state of the waiting callbacks."""
        for callback in self.waiting:
            for name, value in self.progress.callbacks.get(type(callback).__name__, {}).items():
                setattr(callback, name, value)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Writes the files."""
        row = {name: float(value) for name, value in sorted(logs.items())}
        row["learning_rate"] = float(self.model.optimizer.learning_rate.numpy())
        row.pop("lr", None)  # the name that Keras 2 logs it under
        best_before = min((r[MONITOR] for r in self.progress.history), default=float("inf"))
        self.progress.history.append(row)
        self.progress.epoch, self.progress.step = epoch + 1, 0
        self.progress.callbacks = {
            type(c).__name__: {n: float(getattr(c, n)) for n in _STATE if hasattr(c, n)}
            for c in self.waiting
        }
        if row[MONITOR] < best_before:
            save_checkpoint(self.folder / "best.npz", self.model, self.progress)
        save_checkpoint(self.folder / "last.npz", self.model, self.progress)
        if is_chief():
            write_text(self.folder / "history.csv", _history_csv(self.progress.history))


def _history_csv(history: Sequence[dict[str, float]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", *history[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows({"epoch": n, **row} for n, row in enumerate(history, start=1))
    return text.getvalue()


class Charts(tf.keras.callbacks.Callback):
    """Writes the losses for TensorBoard; training goes on without them where that fails.

    Keras' own callback ends the training when, say, the disk is full.

    Args:
        folder: where the files go.
    """

    def __init__(self, folder: Path):
        super().__init__()
        self._folder, self._working = folder, True
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Writes the losses of an epoch."""
        if not self._working:
            return
        try:
            self._write(epoch, logs)
        except (OSError, tf.errors.OpError) as error:
            self._working = False
            reason = str(error).split("\n")[0].rsplit("}} ", 1)[-1]  # no name of an operation
            warnings.warn(
                f"{self._folder}: the files for TensorBoard cannot be written ({reason}); training "
                "goes on without them.",
                stacklevel=1,
            )

    def _write(self, epoch: int, logs: Mapping[str, float]) -> None:
        rate = float(self.model.optimizer.learning_rate.numpy())
        for name, value in {**logs, "learning_rate": rate}.items():
            part = "validation" if name.startswith("val_") else "train"
            if part not in self._writers:
                self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
            with self._writers[part].as_default():
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
        for writer in self._writers.values():
            writer.flush()


class ProgressBar(tf.keras.callbacks.Callback):
    """One bar over all steps of the training, with the time left and the latest losses.

    Where standard error is no terminal it prints a line an epoch instead.

    Args:
        epochs: of the whole training.
        steps: of an epoch.
        first_epoch: how many epochs are done already.
    """

    bar: tqdm[Any]  # there is one once the training has begun

    def __init__(self, epochs: int, steps: int, first_epoch: int = 0):
        super().__init__()
        self.epochs, self.steps, self.first_epoch = epochs, steps, first_epoch

    def on_train_begin(self, logs: object = None) -> None:
        """Opens the bar."""
        self.bar = tqdm(
            total=self.epochs * self.steps,
            initial=self.first_epoch * self.steps,
            desc="Training",
            unit="step",
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        )

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Moves the bar."""
        self.bar.update()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float]) -> None:
        """Shows the losses."""
        losses = f"image {logs['warped_loss']:.5f}, validation {logs[MONITOR]:.5f}"
        if self.bar.disable:
            tqdm.write(f"epoch {epoch + 1}/{self.epochs}: {losses}", file=sys.stderr)
        self.bar.set_postfix_str(losses)

    def on_train_end(self, logs: object = None) -> None:
        """Closes the bar."""
        self.bar.close()
