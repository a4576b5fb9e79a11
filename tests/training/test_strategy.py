"""Which devices a training runs on, and that their number does not change what is learnt."""

import importlib.metadata
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from tf_lungreg.cli import main
from tf_lungreg.errors import InputError
from tf_lungreg.training.strategy import check_strategy, choose_strategy

# Three steps of the same batches; the devices must be set before TensorFlow starts. Biases before a
# normalization have no gradient but rounding, which Adam turns into steps of some 1e-3 of its rate.
THREE_STEPS = """
import dataclasses
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tf_lungreg.data.pairs import training_pairs
from tf_lungreg.models.registration import build_registration_model
from tf_lungreg.models import presets
from tf_lungreg.models.weights import named_weights
from tf_lungreg.training import compile_registration_model
from tf_lungreg.training.strategy import choose_strategy

network = presets.EncoderDecoder(
    encoder=(2, 4, 4, 2, 2), dilations=(1, 1, 2, 3, 5), decoder=(4, 2), reduction=4
)
presets.PRESETS["tiny"] = dataclasses.replace(presets.PRESETS["small"], network=network)
images = np.random.default_rng(0).random((4, 8, 16, 8, 1), np.float32)
pairs = [(m, f) for m in range(4) for f in range(4) if m != f]
weights = []
for name, count in (("one", 1), ("mirrored", 2)):
    tf.keras.utils.set_random_seed(0)
    strategy = choose_strategy(name, batch=2)
    assert strategy.num_replicas_in_sync == count
    with strategy.scope():
        model = build_registration_model("tiny")
        compile_registration_model(model, "mse", 1e-2, 1e-2, 0.5, learning_rate=1e-3)
    before = {name: value.numpy() for name, value in named_weights(model).items()}
    model.fit(training_pairs(tf.constant(images), pairs, 0, 2), steps_per_epoch=3, verbose=0)
    weights.append({name: value.numpy() for name, value in named_weights(model).items()})
    assert max(np.abs(weights[-1][name] - before[name]).max() for name in before) > 1e-3
np.savez(sys.argv[1], **{f"{i}/{name}": w[name] for i, w in enumerate(weights) for name in w})
"""


def test_two_devices_learn_what_one_does(tmp_path):
    subprocess.run([sys.executable, "-c", THREE_STEPS, str(tmp_path / "w.npz")], check=True)
    with np.load(tmp_path / "w.npz") as file:
        weights = dict(file)
    names = [name[2:] for name in weights if name.startswith("0/")]
    assert len(names) > 10
    for name in names:
        np.testing.assert_allclose(weights[f"1/{name}"], weights[f"0/{name}"], atol=1e-5)


def test_one_device_is_the_default():
    for name in ("auto", "one"):
        assert choose_strategy(name).num_replicas_in_sync == 1


def test_a_strategy_that_cannot_work_is_one_line(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for name, word in (("all", "auto, one, mirrored, multiworker"), ("multiworker", "TF_CONFIG")):
        assert main(["train", "--strategy", name]) == 2
        error = capsys.readouterr().err.strip()
        assert word in error and "\n" not in error
    assert not os.listdir(tmp_path)


def test_workers_are_refused_where_keras_does_not_train_on_them(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{")
    with pytest.raises(InputError, match="TF_CONFIG: JSON"):
        check_strategy("auto")
    cluster = {"cluster": {"worker": ["localhost:1"]}, "task": {"type": "worker", "index": 0}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    check_strategy("one")
    if importlib.metadata.version("keras").startswith("2."):
        check_strategy("multiworker")
    else:
        with pytest.raises(InputError, match="does not train on several workers"):
            check_strategy("multiworker")
