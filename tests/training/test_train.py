import csv
import json

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.export import export_model, load_model
from tf_lungreg.files import locked
from tf_lungreg.models.weights import assign_weights, named_weights
from tf_lungreg.training import TrainingSettings, callbacks, run_training
from tf_lungreg.training.run import compiled_model


def train(cohort, folder, cache, **settings):
    config = TrainingSettings(cohort=str(cohort), preset="tiny", **settings).resolved()
    return run_training(config, folder / "run", folder / "model", cache)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def read_history(folder):
    with open(folder / "run" / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def test_a_training_writes_everything_and_the_same_seed_the_same_losses(
    cohort, tiny, tmp_path, cache
):
    metrics = train(cohort, tmp_path / "a", cache)
    run = tmp_path / "a" / "run"
    assert json.loads((run / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert 0 < metrics["dice_before"] < 1 and 0 < metrics["dice_after"] < 1
    assert metrics["folds_lung"] >= 0 and metrics["epochs"] == 2
    assert not metrics["validated_on_training_set"]
    settings = json.loads((run / "config.json").read_text())["settings"]
    assert settings["seed"] == 0 and settings["gamma"] == 0.5
    assert list((run / "tensorboard").rglob("events*"))
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5 and "http" not in page

    history = read_history(tmp_path / "a")
    assert [row["epoch"] for row in history] == [1, 2]
    for term in ("warped", "affine", "spatial_gradients", "grid"):
        assert {f"{term}_loss", f"val_{term}_loss"} <= set(history[0])
    assert history[0]["learning_rate"] == pytest.approx(1e-3)

    again = train(cohort, tmp_path / "b", cache)
    assert read_history(tmp_path / "b") == history
    assert again["dice_after"] == metrics["dice_after"]


@pytest.mark.long
def test_an_interrupted_training_goes_on_as_if_it_had_not_stopped(
    cohort, tiny, tmp_path, cache, monkeypatch
):
    whole = train(cohort, tmp_path / "whole", cache, epochs=4)

    class Interrupting(callbacks.ProgressBar):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tf_lungreg.training.run.ProgressBar", Interrupting)
        with pytest.raises(KeyboardInterrupt):
            train(cohort, tmp_path / "parts", cache, epochs=4)
    assert not (tmp_path / "parts" / "run" / "metrics.json").exists()
    assert len(read_history(tmp_path / "parts")) == 2
    resumed = train(cohort, tmp_path / "parts", cache, epochs=4)

    assert read_history(tmp_path / "parts") == read_history(tmp_path / "whole")
    one, other = load_model(whole["model"]).weights, load_model(resumed["model"]).weights
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.long
def test_training_starts_from_an_exported_model(cohort, tiny, tmp_path, cache):
    first = train(cohort, tmp_path, cache)
    still = {"epochs": 1, "steps": 1, "learning_rate": 1e-12}
    second = train(cohort, tmp_path / "on", cache, init_from=first["model"], **still)
    assert second["mse_after"] == pytest.approx(first["mse_after"], rel=1e-4)


@pytest.mark.long
@pytest.mark.parametrize("branch", ["affine", "deformable"])
def test_a_training_without_a_branch_takes_the_weights_of_the_other(cohort, tiny, tmp_path, branch):
    settings = {"cohort": str(cohort), "preset": "tiny"}
    whole = compiled_model(TrainingSettings(**settings).resolved())
    weights = {n: np.random.rand(*v.shape) for n, v in named_weights(whole).items()}
    assign_weights(whole, weights, "")
    start = str(export_model(whole, tmp_path / "model", {"settings": settings}))

    part = compiled_model(
        TrainingSettings(**settings, init_from=start, **{branch: False}).resolved()
    )
    found = named_weights(part)
    assert 0 < len(found) < len(weights)
    for name, variable in found.items():
        np.testing.assert_allclose(variable.numpy(), weights[name], rtol=1e-6)


@pytest.mark.long
def test_the_rate_falls_and_training_stops_without_improvement(cohort, tiny, tmp_path, cache):
    hopeless = {"learning_rate": 10.0, "steps": 1, "lr_patience": 1, "stop_patience": 2}
    metrics = train(cohort, tmp_path, cache, epochs=9, **hopeless)
    assert metrics["epochs"] < 9
    rates = [row["learning_rate"] for row in read_history(tmp_path)]
    assert rates == pytest.approx([10 / 10**n for n in range(len(rates))])


def test_a_training_that_goes_astray_says_so(cohort, tiny, tmp_path, cache):
    with pytest.raises(InputError, match="--learning-rate"):
        train(cohort, tmp_path, cache, learning_rate=1e30)
    assert not (tmp_path / "model").exists()


def test_waiting_callbacks_get_their_state_back(tmp_path):
    progress = callbacks.Progress(
        epoch=7, callbacks={"EarlyStopping": {"best": 0.5, "wait": 6.0, "best_epoch": 0.0}}
    )
    waiting = callbacks.plateau_callbacks(50, 100)
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    stop = waiting[1]
    stop.set_model(model)
    stop.on_train_begin()
    callbacks.Checkpoints(tmp_path, waiting, progress).on_train_begin()
    assert (stop.best, stop.wait) == (0.5, 6)


def test_two_trainings_do_not_share_a_folder(cohort, tiny, tmp_path, cache):
    with locked(tmp_path / "run"), pytest.raises(InputError, match="run: another process"):
        train(cohort, tmp_path, cache)
    assert not (tmp_path / "run").exists() and not (tmp_path / "model").exists()


def test_a_disk_that_is_full_for_tensorboard_does_not_end_a_training(tmp_path):
    (tmp_path / "file").write_text("no folder")
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    charts = callbacks.Charts(tmp_path / "file" / "tensorboard")
    with pytest.warns(UserWarning, match="training goes on without them") as told:
        history = model.fit(np.ones((4, 1)), np.ones((4, 1)), epochs=3, verbose=0, callbacks=charts)
    assert len(history.epoch) == 3
    assert sum("TensorBoard" in str(each.message) for each in told) == 1
