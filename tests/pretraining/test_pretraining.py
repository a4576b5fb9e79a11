import json

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.cli.main import main
from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import named_weights
from tf_lungreg.pretraining import coarse_level, fine_levels
from tf_lungreg.pretraining import loop as synthetic
from tf_lungreg.pretraining.loop import Course, train_on_examples
from tf_lungreg.pretraining.recipe import PretrainingConfig
from tf_lungreg.pretraining.supervision import supervised_errors, with_parts
from tf_lungreg.synthetic import draw_crop
from tf_lungreg.synthetic.bodies import IMAGE_STEP

SHAPE = (16, 24, 20)


def test_errors_are_distances_from_the_truth(rng):
    """Against a plain computation: A alone, Φ = 1, a displacement that is not integrated."""
    matrix = (np.eye(3, 4) + 0.05 * rng.normal(size=(1, 3, 4))).astype(np.float32)
    linear = ops.affine_grid(tf.constant(matrix), SHAPE).numpy()
    wanted = (0.3, -0.4, 1.2)  # voxels, length 1.3
    outputs = {
        "affine": tf.constant(matrix),
        "spatial_gradients": tf.ones((1, *SHAPE, 3)),
        "displacement": tf.ones((1, *SHAPE, 3)) * wanted,
        "affine_displacement": tf.zeros((1, 4, 6, 5, 3)),
    }
    weight = rng.uniform(0.1, 1, size=(1, *SHAPE)).astype(np.float32)
    truth = tf.constant(linear + np.float32(wanted))
    errors = supervised_errors(outputs, truth, tf.constant(weight), (0, 1, 0), "ends")
    far = np.sqrt(1.3**2 + 0.01) - 0.1
    assert float(errors["affine"]) == pytest.approx(far, rel=1e-4)
    assert float(errors["error"]) == pytest.approx(far, rel=1e-4)
    assert float(errors["displacement"]) == pytest.approx(0, abs=1e-4)
    assert float(errors["folding"]) == 0

    share = weight[..., None]
    motion = (truth - ops.identity_grid(SHAPE)).numpy() * share
    total, blocks = (np.zeros((4, 6, 5, n)) for n in (1, 3))
    for i in range(4):
        for j in range(6):
            for k in range(5):
                part = np.s_[0, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4, 4 * k : 4 * k + 4]
                total[i, j, k] = share[part].mean()
                blocks[i, j, k] = motion[part].mean(axis=(0, 1, 2)) / total[i, j, k] / 4
    expected = np.sum(np.linalg.norm(blocks, axis=-1) * total[..., 0]) / total.sum()
    assert float(errors["matches"]) == pytest.approx(expected, rel=1e-3)


def test_the_parts_are_the_models(rng):
    model = build_registration_model("general")
    pair = {name: rng.uniform(size=(1, *SHAPE, 1)).astype(np.float32) for name in model.input}
    parts, outputs = with_parts(model)(pair), model(pair)
    for name in ("affine", "spatial_gradients"):
        np.testing.assert_allclose(parts[name], outputs[name], atol=1e-6)
    assert parts["displacement"].shape == (1, *SHAPE, 3)
    assert parts["affine_displacement"].shape == (1, 4, 6, 5, 3)


@pytest.mark.long
def test_the_command_trains_both_parts_exports_and_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(synthetic, "_drawn_ahead", _drawn_here)
    monkeypatch.setattr(coarse_level, "draw_grid", lambda seed: (SHAPE, 6.0))
    monkeypatch.setattr(fine_levels, "draw_crop", lambda *args: draw_crop(*args, shape=(16,) * 3))
    monkeypatch.setattr(fine_levels, "FINE_STEP", IMAGE_STEP)  # fewer voxels to render
    command = ["pretrain", "--coarse-steps", "2", "--fine-steps", "3", "--bodies", "1"]
    command += ["--seed", "7", "--models", str(tmp_path / "models")]
    command += ["--runs", str(tmp_path / "runs")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "runs" / "pretraining-7"
    for part, steps, term in (("coarse", 2, "error"), ("fine", 3, "update_5")):
        lines = (folder / part / "log.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line)["step"] for line in lines] == [steps]
        assert np.isfinite(json.loads(lines[0])[term])
    model = load_model(tmp_path / "models")
    assert str(model.path) in printed and str(folder) in printed
    assert model.card["settings"]["margin"] == 8 and model.card["settings"]["seed"] == 7
    trained = {name: value.copy() for name, value in model.weights.items()}
    start = named_weights(build_registration_model("fine"))
    assert set(trained) == set(start)

    def never(*args):
        raise AssertionError("everything was trained")

    monkeypatch.setattr(synthetic, "_drawn_ahead", lambda *args: iter(()))
    monkeypatch.setattr(coarse_level, "draw_pair", never)
    assert main(command) == 0
    again = load_model(tmp_path / "models")
    assert again.path.name == "2"
    for name, value in again.weights.items():
        np.testing.assert_array_equal(value, trained[name])


def _drawn_here(draw, offset, first, last):
    """Without the second process."""
    return (draw(offset + number) for number in range(first, last))


@pytest.mark.parametrize(
    "wrong", [{"coarse_steps": -1}, {"bodies": 0}, {"learning_rate": -1}, {"seed": -1}]
)
def test_settings_that_cannot_be_used(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        PretrainingConfig(**wrong).check()


def test_a_state_that_belongs_to_another_seed_is_refused(tmp_path):
    variable = tf.Variable([1.0, 2.0])
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build([variable])
    _train(variable, optimizer, 3, tmp_path, seed=1)
    with pytest.raises(InputError, match="another training"):
        _train(variable, optimizer, 5, tmp_path, seed=2)


@pytest.mark.long
def test_an_interrupted_training_ends_as_if_undisturbed(tmp_path, monkeypatch):
    """Stopped after 5 of 9 steps, by the examples' end, and again from the state of step 4."""
    monkeypatch.setattr(synthetic, "_SAVED", 2)
    results = []
    for stops in ((), (5,)):
        folder = tmp_path / str(len(stops))
        for stop in (*stops, None):
            variable = tf.Variable([1.0, 2.0])
            optimizer = tf.keras.optimizers.Adam()
            optimizer.build([variable])
            _train(variable, optimizer, 9, folder, stop=stop)
        results.append(variable.numpy())
    np.testing.assert_array_equal(*results)
    steps = [json.loads(line)["step"] for line in (folder / "log.jsonl").open(encoding="utf-8")]
    assert steps == [9]


def _train(variable, optimizer, steps, folder, seed=1, stop=None):
    """Draws a variable to random places."""

    def step(number, place):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((variable - place) ** 2)
        optimizer.apply_gradients([(tape.gradient(loss, variable), variable)])
        return {"loss": loss}

    def draw(number):
        return np.random.default_rng(number).normal(size=2).astype(np.float32)

    def drawn(draw, offset, first, last):
        return (draw(offset + n) for n in range(first, last if stop is None else stop))

    before, synthetic._drawn_ahead = synthetic._drawn_ahead, drawn
    try:
        course = Course(steps, 0.1, 4, seed)
        train_on_examples([variable], optimizer, step, draw, course, folder)
    finally:
        synthetic._drawn_ahead = before


def test_the_rate_rises_stays_and_falls():
    course = Course(1000, 2.0, 400, 0)
    rates = [course.rate(number) for number in range(1000)]
    assert rates[0] == pytest.approx(0.04) and rates[49:600] == [2.0] * 551
    assert all(b < a for a, b in zip(rates[600:], rates[601:]))
    assert rates[800] == pytest.approx(2 * 0.505) and rates[-1] < 0.021


def test_grids_of_pairs_follow_from_the_field(rng):
    for seed in range(40):
        shape, spacing = coarse_level.draw_grid(seed)
        assert 5 <= spacing <= 9 and all(n % 4 == 0 for n in shape)
        assert np.prod(shape) < 500_000


def test_errors_of_the_updates_are_distances_from_the_truth(rng):
    truth = np.zeros((1, 8, 8, 8, 3), np.float32) + np.float32([0.6, -0.8, 0.0])
    weight = rng.uniform(0.1, 1, size=(1, 8, 8, 8)).astype(np.float32)
    half = tf.zeros((1, 4, 4, 4, 3))
    shifts = [half, half + [0.3, -0.4, 0], half, tf.zeros_like(truth), tf.constant(truth)]
    errors = fine_levels.correction_errors(half, shifts, tf.constant(truth), tf.constant(weight))
    far = np.sqrt(1.01) - 0.1
    expected = {"start": far, "update_1": far, "update_2": 0, "update_3": far}
    expected.update(update_4=far, update_5=0)
    for name, value in expected.items():
        assert float(errors[name]) == pytest.approx(value, abs=1e-5), name
