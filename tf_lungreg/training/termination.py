"""SIGTERM, by which a batch system or a machine that shuts down ends a training, loses no step."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Generator
from pathlib import Path

import tensorflow as tf

from tf_lungreg.interruption import Interrupted
from tf_lungreg.training.checkpoint import Progress, save_checkpoint
from tf_lungreg.training.workers import is_chief


class Terminated(Interrupted):
    """The training was asked to end and has written a checkpoint."""

    def __init__(self):
        super().__init__(signal.SIGTERM)


class Termination(tf.keras.callbacks.Callback):
    """Once asked, writes ``last.npz`` after the step that runs, and ends the training.

    Of several workers only the chief listens: all get the signal, at different steps, and those
    that ended first would leave it without the step it is in. They end for want of it.

    It must stand after :class:`tf_lungreg.training.callbacks.Checkpoints`, which writes the same
    file at the end of an epoch.

    Args:
        folder: of the checkpoint.
        progress: that of the run so far.
        steps: batches that are left of the first epoch.
    """

    def __init__(self, folder: Path, progress: Progress, steps: int):
        super().__init__()
        self.folder, self.progress, self.steps = Path(folder), progress, steps
        self.asked = False

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """Takes SIGTERM as the question; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGTERM, self._ask if is_chief() else signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Ends the training unless the epoch has just ended, and with it the step."""
        if self.asked and batch + 1 < self.steps:
            self.progress.step += batch + 1
            save_checkpoint(self.folder / "last.npz", self.model, self.progress)
            raise Terminated

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        """Ends the training if it was asked in the last step or in the validation."""
        if self.asked:
            raise Terminated

    def _ask(self, *_: object) -> None:
        self.asked = True
