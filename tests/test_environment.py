"""What a user's environment, meant for other programs, must not change."""

import os
import pwd
import subprocess
import sys

import pytest

from tf_lungreg import environment

KERAS = "import tf_lungreg, tensorflow as tf; print(tf.keras.layers.Dense(1).name)"


def run(tmp_path, **variables):
    kept = {name: value for name, value in os.environ.items() if "KERAS" not in name}
    return subprocess.run(
        [sys.executable, "-c", KERAS],
        env={**kept, "PYTHONPATH": os.getcwd(), "TF_CPP_MIN_LOG_LEVEL": "3", **variables},
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )


def test_variables_for_another_keras_do_no_harm(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax", "floatx": "float32"}')
    done = run(tmp_path, TF_USE_LEGACY_KERAS="1", KERAS_BACKEND="torch", KERAS_HOME=str(tmp_path))
    assert done.stdout.startswith("dense"), done.stderr


def test_a_legacy_keras_that_is_there_is_used(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: name)
    environment.prepare_keras()
    assert os.environ["TF_USE_LEGACY_KERAS"] == "1"


def test_without_a_home_no_folder_of_that_name_appears(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("KERAS_HOME", raising=False)
    environment.prepare_keras()
    assert os.path.isabs(os.environ["KERAS_HOME"])
    monkeypatch.setenv("KERAS_HOME", "/chosen")
    environment.prepare_keras()
    assert os.environ["KERAS_HOME"] == "/chosen"


def test_with_a_home_keras_keeps_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    environment.prepare_keras()
    assert "KERAS_HOME" not in os.environ


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux knows affinities")
def test_the_cores_are_those_of_this_process():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert environment.available_cores() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_cores_where_affinities_are_unknown(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert environment.available_cores() == 1
