"""Which devices a training runs on, and that their number does not change what is learnt."""

import importlib.metadata
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest

from tf_lungreg.cli import main
from tf_lungreg.errors import InputError
from tf_lungreg.training.strategy import check_strategy, choose_strategy

KERAS_2 = importlib.metadata.version("keras").startswith("2.")

# Three steps of the same batches, and a validation of three pairs, which two devices cannot share
# evenly; the devices must be set before TensorFlow starts. Biases before a normalization have no
# gradient but rounding, which Adam turns into steps of some 1e-3 of its rate.
THREE_STEPS = """
import dataclasses
import sys
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

from tf_lungreg.training.strategy import choose_strategy

strategy = choose_strategy(sys.argv[1], batch=2)

from tf_lungreg.cohorts.random_pairs import fixed_pairs, training_pairs
from tf_lungreg.models.registration import build_registration_model
from tf_lungreg.models import presets
from tf_lungreg.models.weights import named_weights
from tf_lungreg.training import compile_registration_model
from tf_lungreg.training.run import share_evenly

network = presets.EncoderDecoder(
    encoder=(2, 4, 4, 2, 2), dilations=(1, 1, 2, 3, 5), decoder=(4, 2), reduction=4
)
presets.PRESETS["tiny"] = dataclasses.replace(presets.PRESETS["small"], network=network)
images = tf.constant(np.random.default_rng(0).random((4, 8, 16, 8, 1), np.float32))
pairs = [(m, f) for m in range(4) for f in range(4) if m != f]
tf.keras.utils.set_random_seed(0)
with strategy.scope():
    model = build_registration_model("tiny", recompute="--recompute" in sys.argv)
    compile_registration_model(model, "mse", 1e-2, 1e-2, 0.5, learning_rate=1e-3)
    watched = fixed_pairs(images, *share_evenly([(0, 1), (1, 2), (2, 3)], 2))
before = {name: value.numpy() for name, value in named_weights(model).items()}
batches = training_pairs(images, pairs, 0, 2)
logs = model.fit(batches, steps_per_epoch=3, verbose=0, validation_data=watched).history
found = {name: value.numpy() for name, value in named_weights(model).items()}
assert max(np.abs(found[name] - before[name]).max() for name in before) > 1e-3

seen = []  # of each replica here, the first voxel of both images in each pair
shared = iter(strategy.experimental_distribute_dataset(batches))
for _ in range(20):
    inputs, _ = next(shared)
    local = [strategy.experimental_local_results(inputs[name]) for name in ("moving", "fixed")]
    seen.append([[[x[0, 0, 0, 0] for x in v.numpy()] for v in values] for values in local])
np.savez(sys.argv[2], seen=seen, val=logs["val_warped_loss"], **found)
"""


def wait_for(running):
    """Waits until all have ended well; one that fails ends the others, which would wait for it."""
    try:
        while any(process.poll() is None for process in running):
            assert not any(process.poll() for process in running)
            time.sleep(0.1)
        assert not any(process.returncode for process in running)
    finally:
        for process in running:
            process.kill()
            process.wait()


def learn(folder, name, cluster=(), *flags):
    """What each process of a strategy found; without a cluster there is one."""
    files = [folder / f"{name}-{n}.npz" for n in range(max(len(cluster), 1))]
    running = []
    for number, file in enumerate(files):
        task = {"cluster": {"worker": cluster}, "task": {"type": "worker", "index": number}}
        env = {**os.environ, **({"TF_CONFIG": json.dumps(task)} if cluster else {})}
        words = [sys.executable, "-c", THREE_STEPS, name, str(file), *flags]
        running.append(subprocess.Popen(words, env=env))
    wait_for(running)
    found = []
    for file in files:
        with np.load(file) as content:
            found.append(dict(content))
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one device learns."""
    return learn(tmp_path_factory.mktemp("alone"), "one")[0]


def assert_learnt_the_same(found, alone):
    weights = found.keys() - {"seen"}
    assert len(weights) > 10 and weights == alone.keys() - {"seen"}
    for name in weights:
        np.testing.assert_allclose(found[name], alone[name], atol=1e-5)


def assert_each_pair_on_one_replica(seen, alone):
    """``seen`` and ``alone`` are (steps, 2 images, replicas, pairs of each)."""
    assert seen.shape == (20, 2, 2, 1) and alone["seen"].shape == (20, 2, 1, 2)
    np.testing.assert_array_equal(seen[..., 0], alone["seen"][:, :, 0])


@pytest.mark.long
def test_two_devices_learn_what_one_does(tmp_path, alone):
    (found,) = learn(tmp_path, "mirrored")
    assert_learnt_the_same(found, alone)
    assert_each_pair_on_one_replica(found["seen"], alone)


@pytest.mark.long
def test_gradient_checkpointing_on_two_devices_learns_the_same(tmp_path, alone):
    assert_learnt_the_same(learn(tmp_path, "mirrored", (), "--recompute")[0], alone)


@pytest.mark.long
@pytest.mark.skipif(not KERAS_2, reason="Keras 3 does not train on several workers")
def test_two_workers_learn_what_one_device_does(tmp_path, alone, local_addresses):
    found = learn(tmp_path, "multiworker", local_addresses(2))
    for worker in found:
        assert_learnt_the_same(worker, alone)
    assert_each_pair_on_one_replica(np.concatenate([w["seen"] for w in found], axis=2), alone)


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
    if KERAS_2:
        check_strategy("multiworker")
    else:
        with pytest.raises(InputError, match="does not train on several workers"):
            check_strategy("multiworker")
