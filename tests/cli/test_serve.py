"""``tf-lungreg serve`` in a process of its own, until it is told to end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import tf_lungreg
from tf_lungreg.cli import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    from tf_lungreg.export import export_model
    from tf_lungreg.models import build_registration_model

    network = build_registration_model("small")
    return export_model(network, tmp_path_factory.mktemp("models") / "lungreg", {"settings": {}})


def test_it_serves_until_it_is_terminated(model, tmp_path):
    models = model.parent.parent
    words = [sys.executable, "-m", "tf_lungreg", "serve", "--models", models, "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(Path(tf_lungreg.__file__).parents[1])}
    with subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, encoding="utf-8"
    ) as server:
        line = server.stdout.readline()
        assert line.startswith(f"serving lungreg, {model}, at 127.0.0.1:")
        from tf_lungreg.serving.client import RemoteModel

        assert RemoteModel(line.split()[-1]).card["intended_use"].startswith("Research")
        server.send_signal(signal.SIGTERM)
        assert server.wait(timeout=60) == 0


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
