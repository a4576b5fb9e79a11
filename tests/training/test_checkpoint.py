import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.cohorts.random_pairs import stack_images, training_pairs
from tf_lungreg.errors import InputError
from tf_lungreg.models import build_registration_model
from tf_lungreg.training import compile_registration_model
from tf_lungreg.training.checkpoint import Progress, load_checkpoint, save_checkpoint

PAIRS = [(0, 1), (1, 2), (2, 0), (1, 0)]


def new_model(tiny):
    return compile_registration_model(build_registration_model(tiny))


@pytest.mark.long
def test_a_checkpoint_restores_weights_optimiser_and_progress(tiny, rng, tmp_path):
    images = stack_images([rng.uniform(size=(12, 12, 12)).astype(np.float32) for _ in range(3)])
    model = new_model(tiny)
    model.fit(training_pairs(images, PAIRS, 0, 1), steps_per_epoch=3, shuffle=False, verbose=0)
    progress = Progress(3, [{"loss": 0.5}], {"EarlyStopping": {"best": 0.1}})
    save_checkpoint(tmp_path / "last.npz", model, progress)

    tf.keras.utils.set_random_seed(7)
    other = new_model(tiny)
    assert load_checkpoint(tmp_path / "last.npz", other) == progress
    assert int(other.optimizer.iterations.numpy()) == 3
    for a, b in zip(model.weights, other.weights):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for net in (model, other):  # the next steps agree only if the moments do
        data = training_pairs(images, PAIRS, 0, 1, first_step=3)
        net.fit(data, steps_per_epoch=2, shuffle=False, verbose=0)
    for a, b in zip(model.weights, other.weights):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert [p.name for p in tmp_path.iterdir()] == ["last.npz"]


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 half"])
def test_a_damaged_checkpoint_is_named(tiny, tmp_path, content):
    path = tmp_path / "last.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="last.npz"):
        load_checkpoint(path, new_model(tiny))


@pytest.mark.parametrize(("place", "byte"), [(8, 1), (10, 99)])
def test_an_archive_that_is_not_read_is_named(tiny, tmp_path, place, byte):
    """Of an encrypted one, and one of an unknown compression, zipfile raises other errors."""
    path = tmp_path / "last.npz"
    np.savez(path, progress="{}")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + place] = byte
    path.write_bytes(content)
    with pytest.raises(InputError, match="last.npz"):
        load_checkpoint(path, new_model(tiny))


def test_a_full_disk_leaves_the_old_checkpoint_and_says_so(tiny, tmp_path, monkeypatch):
    path = tmp_path / "last.npz"
    model = new_model(tiny)
    save_checkpoint(path, model, Progress(epoch=1))

    def break_off(file, **arrays):
        file.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", break_off)
    with pytest.raises(InputError, match="last.npz: cannot be written .No space left"):
        save_checkpoint(path, model, Progress(epoch=2))
    assert load_checkpoint(path, model).epoch == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.npz"]


# A file may grow to a half of the first checkpoint: the system itself breaks the second one off.
LIMITED = """
import resource, signal, sys
import tensorflow as tf
from pathlib import Path
from tf_lungreg.errors import InputError
from tf_lungreg.training.checkpoint import Progress, load_checkpoint, save_checkpoint

path = Path(sys.argv[1])
model = tf.keras.Sequential([tf.keras.Input((64,)), tf.keras.layers.Dense(256)])
model.compile("adam", "mse")
save_checkpoint(path, model, Progress(epoch=1))
before = path.read_bytes()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, resource.RLIM_INFINITY))
try:
    save_checkpoint(path, model, Progress(epoch=2))
except InputError as error:
    assert str(path) in str(error)
else:
    raise AssertionError
assert path.read_bytes() == before and load_checkpoint(path, model).epoch == 1
"""


def test_a_write_that_the_system_breaks_off_leaves_the_old_checkpoint(tmp_path):
    words = [sys.executable, "-c", LIMITED, str(tmp_path / "last.npz")]
    subprocess.run(words, check=True, timeout=200)
    assert [p.name for p in tmp_path.iterdir()] == ["last.npz"]


def test_no_checkpoint_is_the_beginning(tiny, tmp_path):
    assert load_checkpoint(tmp_path / "last.npz", new_model(tiny)) == Progress()
