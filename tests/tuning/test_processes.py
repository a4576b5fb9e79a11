"""A search by a chief and two workers, as processes of this machine with Keras Tuner's protocol."""

import csv
import json
import os
import subprocess
import sys
import time

import pytest

# The command with a network that trains in seconds.
COMMAND = """
import dataclasses
import sys
from tf_lungreg.cli import main
from tf_lungreg.models import presets

network = presets.EncoderDecoder(
    encoder=(2, 4, 4, 2, 2), dilations=(1, 1, 2, 3, 5), decoder=(4, 2), reduction=4
)
sizes = {"spacing": (15.0, 20.0, 20.0), "shape": (16, 24, 24), "batch": 1}
presets.PRESETS["tiny"] = dataclasses.replace(presets.PRESETS["small"], network=network, **sizes)
sys.exit(main(sys.argv[1:]))
"""

TRIALS = 4


@pytest.fixture
def start(cohort, tmp_path, local_addresses, running):
    """A function that starts the chief or a worker; all end with the test."""
    (address,) = local_addresses(1)
    port = address.rpartition(":")[2]
    words = ["tune", "--cohort", str(cohort), "--preset", "tiny", "--out", str(tmp_path / "out")]
    words += ["--tuner", "random", "--trials", str(TRIALS), "--epochs", "1", "--steps", "2"]

    def begin(name):
        oracle = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": port}
        env = {**os.environ, **oracle, "KERASTUNER_TUNER_ID": name}
        with open(tmp_path / f"{name}.log", "w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *words], env=env, stdout=log, stderr=log
            )
        running.append(process)
        return process

    return begin


@pytest.mark.slow
def test_a_chief_and_two_workers_search_together(start, tmp_path):
    names = ["chief", "worker0", "worker1"]
    running = [start(name) for name in reversed(names)]  # the workers must wait for the chief
    until = time.monotonic() + 500
    while any(process.poll() is None for process in running):
        assert time.monotonic() < until and not any(process.poll() for process in running)
        time.sleep(0.1)
    logs = {name: (tmp_path / f"{name}.log").read_text(encoding="utf-8") for name in names}
    assert [process.returncode for process in running] == [0] * 3, logs

    with open(tmp_path / "out" / "trials.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == [str(n) for n in range(TRIALS)]
    assert all(row["status"] in ("completed", "penalised") for row in rows)
    assert len({row["alpha"] for row in rows}) == TRIALS
    best = json.loads((tmp_path / "out" / "best.json").read_text(encoding="utf-8"))
    assert best["score"] == max(float(row["score"]) for row in rows)
    assert (tmp_path / "out" / "report.html").exists() and "best     trial" in logs["chief"]

    ran = {name: logs[name].count("trial ") for name in names[1:]}
    assert sum(ran.values()) == TRIALS and min(ran.values()) >= 1  # both had a part in it
    for number in range(TRIALS):
        assert (tmp_path / "out" / "search" / f"trial_{number}" / "best.npz").exists()
