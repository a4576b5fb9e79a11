"""Keras' globals, set by ``keras.json`` or in a notebook, change no network of this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.classification.network import build_ild_classifier
from tf_lungreg.models import PRESETS, build_registration_model
from tf_lungreg.models.keras_state import keras_defaults

# Types of all weights and activations, then the result of a training step, as JSON.
SCRIPT = """
import json, sys
import numpy as np, tensorflow as tf
from tf_lungreg import build_registration_model, compile_registration_model
from tf_lungreg.cohorts.random_pairs import pair_inputs
from tf_lungreg.classification.network import build_ild_classifier

def types(model):
    weights = {tf.as_dtype(w.dtype).name for w in model.weights}
    return sorted(weights | {layer.compute_dtype for layer in model.layers})

tf.keras.utils.set_random_seed(0)
found = {name: types(build_registration_model(name)) for name in ("fast", "general")}
ild = build_ild_classifier((8, 9, 10))
found["ild"] = types(ild)
volumes = np.random.default_rng(0).uniform(size=(2, 8, 9, 10, 3)).astype(np.float32)
found["probability"] = np.array(ild(volumes)).ravel().tolist()

tf.keras.utils.set_random_seed(0)
model = compile_registration_model(build_registration_model("small"), gamma=1.0)
found["small"] = types(model)
inputs, targets = pair_inputs(tf.constant(volumes[..., :1]), tf.constant([[0, 1]]))
logs = model.fit(inputs, targets, epochs=2, batch_size=1, verbose=0).history
found["warped"] = [float(v) for v in logs["warped_loss"]]
found["affine"] = np.array(model(inputs)["affine"]).ravel().tolist()
print(json.dumps(found))
"""


def run_with(settings, home):
    """What the script finds where ``keras.json`` has these settings."""
    home.mkdir()
    defaults = {"floatx": "float32", "epsilon": 1e-7, "backend": "tensorflow"}
    text = json.dumps({**defaults, "image_data_format": "channels_last", **settings})
    (home / "keras.json").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "KERAS_HOME": str(home), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run_with({}, tmp_path_factory.mktemp("keras") / "plain")


@pytest.mark.long
@pytest.mark.parametrize(
    "settings", [{"floatx": "float16"}, {"image_data_format": "channels_first"}]
)
def test_a_keras_file_changes_nothing(plain, tmp_path, settings):
    found = run_with(settings, tmp_path / "home")
    for name in ("fast", "general", "small", "ild"):
        assert found[name] == ["float32"], name
    for name in ("probability", "affine"):
        np.testing.assert_allclose(found[name], plain[name], atol=1e-5)
    # The log itself is a mean that Keras keeps in its global type.
    np.testing.assert_allclose(found["warped"], plain["warped"], rtol=2e-3)


@pytest.fixture
def policy():
    """A function that sets the global policy for the test."""
    before = tf.keras.mixed_precision.global_policy()
    yield tf.keras.mixed_precision.set_global_policy
    tf.keras.mixed_precision.set_global_policy(before)


@pytest.mark.parametrize("name", ["mixed_float16", "float64"])
def test_a_global_policy_changes_nothing_and_stays(policy, name):
    policy(name)
    models = [build_registration_model(preset) for preset in PRESETS]
    models.append(build_ild_classifier((8, 9, 10)))
    for model in models:
        assert {layer.compute_dtype for layer in model.layers} == {"float32"}
        assert {tf.as_dtype(weight.dtype) for weight in model.weights} == {tf.float32}
    mixed = build_registration_model("small", mixed_precision=True)
    assert mixed.get_layer("encoder_1").compute_dtype == "bfloat16"
    assert {tf.as_dtype(weight.dtype) for weight in mixed.weights} == {tf.float32}
    assert tf.keras.mixed_precision.global_policy().name == name


def test_the_users_values_come_back_after_an_error():
    backend = tf.keras.backend
    before = backend.floatx(), backend.image_data_format()
    try:
        backend.set_floatx("float64")
        backend.set_image_data_format("channels_first")
        with pytest.raises(ZeroDivisionError), keras_defaults():
            assert (backend.floatx(), backend.image_data_format()) == ("float32", "channels_last")
            raise ZeroDivisionError
        assert (backend.floatx(), backend.image_data_format()) == ("float64", "channels_first")
    finally:
        backend.set_floatx(before[0])
        backend.set_image_data_format(before[1])
