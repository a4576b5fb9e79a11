"""The exported model through TensorFlow's C API, which loads it as TensorFlow Serving does."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

PROGRAM = Path(__file__).with_name("c_session.py")


@pytest.fixture(scope="module")
def library():
    """The wheel's library that has the C API."""
    folder = Path(tf.__file__).parent
    for path in sorted(folder.glob("libtensorflow_cc.*")):
        if hasattr(ctypes.CDLL(str(path)), "TF_LoadSessionFromSavedModel"):
            return path
    pytest.skip("no library of this TensorFlow's wheel has TF_LoadSessionFromSavedModel")


def run(library, version, folder, **inputs):
    np.savez(folder / "inputs.npz", **inputs)
    files = [library, version, folder / "inputs.npz", folder / "outputs.npz"]
    # -I: without the working directory and its modules.
    command = [sys.executable, "-I", str(PROGRAM), *map(str, files)]
    return subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8", timeout=300)


def test_it_answers_as_in_python(exported, library, rng, tmp_path):
    shape = (2, 10, 12, 9, 1)
    pair = {name: rng.uniform(size=shape).astype(np.float32) for name in ("moving", "fixed")}
    done = run(library, exported.version, tmp_path, **pair)
    assert done.returncode == 0, done.stderr[-2000:]
    signature = tf.saved_model.load(str(exported.version)).signatures["serving_default"]
    expected = signature(**{name: tf.constant(value) for name, value in pair.items()})
    found = np.load(tmp_path / "outputs.npz")
    assert set(found) == set(expected) == {"warped", "grid", "affine", "spatial_gradients"}
    assert np.abs(expected["warped"] - pair["moving"]).max() > 0.1
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, err_msg=name)


def test_the_graph_itself_refuses_what_is_wrong(exported, library, rng, tmp_path):
    moving = rng.uniform(size=(1, 10, 12, 9, 1)).astype(np.float32)
    done = run(library, exported.version, tmp_path, moving=moving, fixed=moving[:, :8])
    assert done.returncode == 1 and "moving and fixed: one shape is needed" in done.stderr
