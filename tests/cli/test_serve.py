"""``tf-lungreg serve`` in a process of its own, until it is told to end."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import tf_lungreg
from tf_lungreg.cli import main
from tf_lungreg.errors import InputError


@pytest.fixture
def model(exported_small):
    return exported_small


@pytest.fixture
def process(model, tmp_path, running):
    """The server, and the first line that it prints."""
    models = model.parent.parent
    words = [sys.executable, "-m", "tf_lungreg", "serve", "--models", models, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])}
    server = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    )
    running.append(server)
    yield server, server.stdout.readline()
    server.stdout.close()


@pytest.fixture
def volumes(rng):
    """A pair of the paper's size."""
    shape = (1, 64, 192, 192, 1)
    return {name: rng.random(shape, np.float32) for name in ("moving", "fixed")}


@pytest.mark.long
def test_it_serves_until_it_is_terminated(process, model, volumes):
    from tf_lungreg.export import load_model
    from tf_lungreg.serving import RemoteModel

    server, line = process
    assert line.startswith(f"serving lungreg, {model}, at 127.0.0.1:")
    remote = RemoteModel(line.split()[-1])
    assert remote.card["intended_use"].startswith("Research")
    found, expected = remote(volumes), load_model(model)(volumes)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)  # bit for bit
    server.send_signal(signal.SIGTERM)
    assert server.wait(timeout=60) == 0


@pytest.mark.long
def test_a_server_that_dies_meanwhile_is_one_line(process, volumes):
    from tf_lungreg.serving import RemoteModel

    server, line = process
    remote = RemoteModel(line.split()[-1], timeout=60)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(remote, volumes)
        time.sleep(0.5)  # of the seconds that the first pass takes
        assert not answer.done()
        server.kill()
        with pytest.raises(InputError, match="not sent again") as caught:
            answer.result(timeout=70)
    assert "\n" not in str(caught.value)


@pytest.mark.long
def test_ctrl_c_leaves_no_caller_waiting(process, volumes):
    from tf_lungreg.serving import RemoteModel

    server, line = process
    remote = RemoteModel(line.split()[-1], timeout=300)
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(remote, volumes) for _ in range(4)]
        time.sleep(0.5)
        server.send_signal(signal.SIGINT)
        ended = time.monotonic()
        for answer in answers[1:]:
            with pytest.raises(InputError, match="the server (ended|is ending)|no server"):
                answer.result(timeout=60)
        assert time.monotonic() - ended < 30
        assert server.wait(timeout=60) == 130


@pytest.mark.parametrize(
    "flags, word",
    [
        (["--model", "nowhere"], "nowhere: no such folder"),
        (["--tls-key", "key.pem"], "both are needed"),
        (["--port", "70000"], "--port: 0 to 65535"),
        (["--models", "."], "no model is in it"),
        (["--models", ".", "--name", "a"], "--name: belongs to --model"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, capsys, flags, word):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *flags]) == 2
    error = capsys.readouterr().err.strip()
    assert word in error and "\n" not in error
