"""Two workers of one training as processes of this machine, one of which is killed."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tf_lungreg.training.workers import from_chief, is_chief

EPOCHS = 4


def test_a_process_alone_is_the_chief():
    assert is_chief()
    for content in (None, b"", b"weights"):
        assert from_chief(content) == content


@pytest.fixture
def start(cohort, tmp_path, local_addresses, running):
    """A function that starts a worker each in a folder of its own; they end with the test."""
    sizes = ["--preset", "small", "--shape", "16", "24", "24", "--spacing", "15", "20", "20"]
    counts = ["--epochs", str(EPOCHS), "--steps", "20", "--batch", "2"]
    words = ["train", "--cohort", str(cohort), "--name", "job", *sizes, *counts]

    def begin(folders):
        workers, started = local_addresses(len(folders)), []
        for number, name in enumerate(folders):
            task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": number}}
            (tmp_path / name).mkdir(exist_ok=True)
            with open(tmp_path / name / "log", "w", encoding="utf-8") as log:
                started.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "tf_lungreg", *words],
                        cwd=tmp_path / name,
                        env={**os.environ, "TF_CONFIG": json.dumps(task)},
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        running.extend(started)
        return started

    return begin


def checkpoint(path):
    with np.load(path) as file:
        content = dict(file)
    return json.loads(str(content.pop("progress"))), content


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.metadata.version("keras").startswith("2."),
    reason="Keras 3 does not train on several workers",
)
@pytest.mark.parametrize("victim", [0, 1])
def test_a_job_that_lost_a_worker_goes_on_when_all_are_started_again(start, tmp_path, victim):
    assert [worker.wait(timeout=500) for worker in start(["a0", "a1"])] == [0, 0]
    whole, parts = (tmp_path / name / "runs" / "job" for name in ("a0", "b0"))

    workers = start(["b0", "b1"])
    while not (parts / "last.npz").exists():
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.05)
    workers[victim].send_signal(signal.SIGKILL)
    # The one that is left notices, or at the latest when it is ended.
    assert workers[1 - victim].wait(timeout=300) != 0
    if victim == 1:
        log = (tmp_path / "b0" / "log").read_text(encoding="utf-8")
        assert "another worker was lost" in log and "Traceback" not in log
    before = checkpoint(parts / "last.npz")[0]["epoch"]
    assert 1 <= before < EPOCHS

    assert [worker.wait(timeout=500) for worker in start(["b0", "b1"])] == [0, 0]
    log = (tmp_path / "b0" / "log").read_text(encoding="utf-8")
    done = [n for n in range(1, EPOCHS + 1) if f"epoch {n}/{EPOCHS}" in log]
    assert done == list(range(before + 1, EPOCHS + 1))
    assert (parts / "metrics.json").exists()
    assert not (tmp_path / "b1" / "runs" / "job").exists()  # the chief alone writes

    progress, found = checkpoint(parts / "last.npz")
    undisturbed, expected = checkpoint(whole / "last.npz")
    assert progress["epoch"] == undisturbed["epoch"] == EPOCHS
    assert found.keys() == expected.keys()
    for name in found:
        np.testing.assert_array_equal(found[name], expected[name])
