import json

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.cli.main import main
from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.models import build_registration_model
from tf_lungreg.training import pretraining
from tf_lungreg.training.pretraining import PretrainingConfig
from tf_lungreg.training.supervision import supervised_errors, with_parts

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


def test_the_command_trains_exports_and_logs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pretraining, "_LOGGED", 2)
    monkeypatch.setattr(pretraining, "synthetic_pairs", _pairs)
    command = ["pretrain", "--steps", "4", "--bodies", "1", "--seed", "7"]
    command += ["--runs", str(tmp_path / "runs"), "--models", str(tmp_path / "models")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    log = tmp_path / "runs" / "pretraining-4-7.jsonl"
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [line["step"] for line in lines] == [2, 4]
    assert all(np.isfinite(line["error"]) for line in lines)
    model = load_model(tmp_path / "models")
    assert str(model.path) in printed
    assert model.card["settings"]["margin"] == 4 and model.card["settings"]["seed"] == 7
    start = build_registration_model("general").get_weights()
    assert sum(w.size for w in model.weights.values()) == sum(w.size for w in start)

    assert main(command) == 2  # the log is there
    assert "already exists" in capsys.readouterr().err


def _pairs(config, cache):
    """Without the second process."""
    pretraining._load(config.bodies, cache)
    for step in range(config.steps):
        yield pretraining.draw_pair(pretraining._loaded["bodies"], step, SHAPE)


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"bodies": 0}, {"learning_rate": -1}, {"seed": -1}]
)
def test_settings_that_cannot_be_used(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        PretrainingConfig(**wrong).check()
