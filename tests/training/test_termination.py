"""A training that is terminated or killed, then started again, ends as one that was left alone."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tf_lungreg.training import TrainingSettings, callbacks, run_training
from tf_lungreg.training.termination import Terminated


def weights_of(run):
    with np.load(run / "last.npz") as file:
        return {name: file[name] for name in file if name != "progress"}


def assert_same_weights(one, other):
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys() and any(name.startswith("optimizer/") for name in one)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.long
@pytest.mark.parametrize("step", [2, 4])  # within the second epoch, and its last
def test_sigterm_leaves_a_checkpoint_of_the_step(cohort, tiny, tmp_path, monkeypatch, step):
    config = TrainingSettings(str(cohort), preset=tiny, epochs=3, steps=4, batch=1).resolved()

    def run(name):
        run_training(config, tmp_path / name, tmp_path / "model", tmp_path / "cache")

    class Terminating(callbacks.ProgressBar):
        def on_train_batch_begin(self, batch, logs=None):
            if self.model.optimizer.iterations.numpy() == 4 + step - 1:
                os.kill(os.getpid(), signal.SIGTERM)

    run("whole")
    with monkeypatch.context() as patch:
        patch.setattr("tf_lungreg.training.run.ProgressBar", Terminating)
        with pytest.raises(Terminated):
            run("parts")
    with np.load(tmp_path / "parts" / "last.npz") as file:
        progress = json.loads(str(file["progress"]))
    assert (progress["epoch"], progress["step"]) == ((1, 2) if step == 2 else (2, 0))
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    run("parts")
    assert_same_weights(tmp_path / "whole", tmp_path / "parts")


@pytest.fixture
def start(cohort, tmp_path):
    """A function that starts the command for a training of that name and number of epochs."""
    sizes = ["--preset", "small", "--shape", "16", "24", "24", "--spacing", "15", "20", "20"]
    counts = ["--steps", "30", "--batch", "1"]

    def begin(name, epochs=4):
        words = ["train", "--cohort", str(cohort), "--name", name, *sizes, *counts]
        return subprocess.Popen(
            [sys.executable, "-m", "tf_lungreg", *words, "--epochs", str(epochs)],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    return begin


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_command_started_again_ends_as_if_undisturbed(start, tmp_path, how):
    assert start("whole").wait() == 0
    disturbed = start("parts")
    while not (tmp_path / "runs" / "parts" / "last.npz").exists():
        assert disturbed.poll() is None
        time.sleep(0.05)
    time.sleep(random.Random(0).random())
    disturbed.send_signal(how)
    out = disturbed.communicate()[0]
    assert disturbed.returncode != 0
    assert how == signal.SIGKILL or "the same command goes on" in out
    assert start("parts").wait() == 0
    runs = tmp_path / "runs"
    assert_same_weights(runs / "whole", runs / "parts")


def epochs_done(run):
    """Those of the last checkpoint, at once written or not at all."""
    if not (run / "last.npz").exists():
        return 0
    with np.load(run / "last.npz") as file:
        return json.loads(str(file["progress"]))["epoch"]


@pytest.mark.slow
def test_five_kills_at_random_steps_change_nothing(start, tmp_path):
    draw, epochs, runs = random.Random(0), 8, tmp_path / "runs"
    assert start("whole", epochs).wait() == 0
    for number in range(5):
        disturbed = start("parts", epochs)
        # Once before the first epoch has ended, otherwise somewhere in what follows the next one.
        before = epochs_done(runs / "parts")
        while number and epochs_done(runs / "parts") == before:
            assert disturbed.poll() is None
            time.sleep(0.02)
        time.sleep(draw.uniform(0, 1))
        disturbed.kill()
        disturbed.communicate()
        found = epochs_done(runs / "parts")
        print(f"kill {number + 1}: {before} epochs before, {found} after")
        assert disturbed.returncode == -signal.SIGKILL and found < epochs
    assert start("parts", epochs).wait() == 0
    assert epochs_done(runs / "parts") == epochs_done(runs / "whole") == epochs
    history = [(runs / name / "history.csv").read_text() for name in ("parts", "whole")]
    assert history[0] == history[1]
    assert_same_weights(runs / "whole", runs / "parts")
