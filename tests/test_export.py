import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.export import export_model, find_model, load_model
from tf_lungreg.models import build_registration_model
from tf_lungreg.models.weights import named_weights

# Runs where nothing but TensorFlow can be imported.
ELSEWHERE = """
import sys
import numpy as np, tensorflow as tf
assert not any(name.startswith("tf_lungreg") for name in sys.modules)
model = tf.saved_model.load(sys.argv[1])
pair = np.load(sys.argv[2])
out = model.signatures["serving_default"](**{k: tf.constant(pair[k]) for k in pair})
np.savez(sys.argv[3], **{k: v.numpy() for k, v in out.items()})
"""


@pytest.fixture
def model(tiny):
    model = build_registration_model(tiny)
    for name in ("gradient_logits", "affine_parameters"):
        kernel = model.get_layer(name).kernel
        kernel.assign(tf.random.stateless_normal(kernel.shape, (1, 2), stddev=0.3))
    return model


@pytest.mark.parametrize("shape", [(16, 24, 20), (9, 17, 33)])
def test_it_runs_elsewhere_with_the_same_numbers(model, rng, tmp_path, shape):
    version = export_model(model, tmp_path / "model", {})
    pair = {n: rng.uniform(size=(2, *shape, 1)).astype(np.float32) for n in ("moving", "fixed")}
    np.savez(tmp_path / "pair.npz", **pair)
    (tmp_path / "elsewhere").mkdir()
    files = [version, tmp_path / "pair.npz", tmp_path / "out.npz"]
    command = [sys.executable, "-c", ELSEWHERE, *map(str, files)]
    subprocess.run(command, check=True, cwd=tmp_path / "elsewhere", timeout=300)
    expected = model({k: tf.constant(v) for k, v in pair.items()})
    assert np.abs(expected["warped"] - pair["moving"]).max() > 0.1  # it moves something
    with np.load(tmp_path / "out.npz") as found:
        assert set(found) == {"warped", "grid", "affine", "spatial_gradients"}
        for name in found:
            np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5)


def test_each_export_takes_the_next_version_and_carries_card_and_weights(model, tmp_path):
    base = tmp_path / "model"
    (base / "7").mkdir(parents=True)
    card = {"settings": {"preset": "tiny"}}
    assert export_model(model, base, card) == base / "8"
    assert export_model(model, base, card) == base / "9"
    assert sorted(p.name for p in base.iterdir()) == ["7", "8", "9"]
    loaded = load_model(base)
    assert loaded.path == base / "9" and loaded.card == card
    assert set(loaded.weights) == set(named_weights(model))
    for name, variable in named_weights(model).items():
        np.testing.assert_array_equal(loaded.weights[name], variable.numpy())
    assert json.loads((base / "8" / "assets.extra" / "model_card.json").read_text()) == card


def test_the_sampling_signatures(model, rng, tmp_path):
    loaded = load_model(export_model(model, tmp_path, {}))
    volume = tf.constant(rng.integers(0, 5, (1, 8, 9, 10, 1)).astype(np.float32))
    grid = tf.constant(rng.uniform(0, 7, (1, 6, 5, 4, 3)).astype(np.float32))
    for name, interpolation in (("warp", "linear"), ("warp_labels", "nearest")):
        found = loaded.signatures[name](volume=volume, grid=grid)["warped"]
        np.testing.assert_allclose(found, ops.warp(volume, grid, interpolation), atol=1e-5)


def test_a_failed_export_leaves_nothing(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tf_lungreg.export.write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export_model(model, tmp_path / "model", {})
    assert list((tmp_path / "model").iterdir()) == []


def test_no_model_there(tmp_path):
    with pytest.raises(MissingFileError, match="nowhere"):
        find_model(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no SavedModel"):
        find_model(tmp_path)
    foreign = tf.Module()
    tf.saved_model.save(foreign, str(tmp_path / "foreign"))
    with pytest.raises(InputError, match="model_card"):
        load_model(tmp_path / "foreign")
