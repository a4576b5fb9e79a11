import contextlib
import os
import socket

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # several processes share the cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def seeds():
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def memory():
    """Gives back what the models of a module hold: graphs of all modules would be gigabytes."""
    yield
    import gc

    import tensorflow as tf

    tf.keras.backend.clear_session()
    gc.collect()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def cohort(tmp_path_factory):
    """A phantom cohort of four patients, small enough to train on in seconds."""
    from tf_lungreg.data.phantom import write_phantom_cohort

    folder = tmp_path_factory.mktemp("cohort") / "phantom"
    return write_phantom_cohort(folder, subjects=4, shape=(16, 32, 32), seed=1, progress=False)


@pytest.fixture
def tiny(monkeypatch):
    """A preset of the full topology that trains in seconds; its name."""
    from tf_lungreg.models import presets

    preset = presets.Preset(
        network=presets.EncoderDecoder(
            encoder=(2, 4, 4, 2, 2), dilations=(1, 1, 2, 3, 5), decoder=(4, 2), reduction=4
        ),
        spacing=(15.0, 20.0, 20.0),
        shape=(16, 24, 24),
        margin=0,
        voxels=None,
        alpha=1e-6,
        beta=1e-3,
        gamma=0.5,
        learning_rate=1e-3,
        epochs=2,
        steps=3,
        batch=2,
        lr_patience=50,
        stop_patience=100,
    )
    monkeypatch.setitem(presets.PRESETS, "tiny", preset)
    return "tiny"


@pytest.fixture
def share_weights(rng):
    """A function that gives networks the first one's weights, random where they begin at zero.

    With those at zero every network is the identity.
    """
    from tf_lungreg.models.weights import assign_weights, named_weights

    def share(models, scale):
        values = {name: variable.numpy() for name, variable in named_weights(models[0]).items()}
        for name, value in values.items():
            if "logits" in name or "parameters" in name:
                values[name] = rng.normal(scale=scale, size=value.shape).astype(np.float32)
        for model in models:
            assign_weights(model, values, "test")

    return share


@pytest.fixture
def local_addresses():
    """A function that finds addresses on this machine which nothing listens at."""

    def find(count):
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
            for each in sockets:
                each.bind(("127.0.0.1", 0))
            return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]

    return find


@pytest.fixture
def running():
    """A list of processes, which end with the test."""
    processes = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()
