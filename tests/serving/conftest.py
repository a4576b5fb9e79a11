"""A tiny model, exported, and servers on free ports of this machine."""

import subprocess
from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def exported(exported_small):
    """Folder of the model's versions."""
    return exported_small.parent


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate for this machine, as serving/README.md makes one."""
    folder = tmp_path_factory.mktemp("tls")
    files = SimpleNamespace(certificate=folder / "server.crt", key=folder / "server.key")
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    words += ["-keyout", str(files.key), "-out", str(files.certificate)]
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
    return files


@pytest.fixture(scope="session")
def address(exported):
    """A server that no test stops."""
    from tf_lungreg.serving.server import start_server

    server = start_server({"lungreg": exported}, port=0)
    yield server.address
    server.stop()
    server.wait()


@pytest.fixture
def channel(address):
    import grpc

    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def prediction(channel):
    """Its PredictionService, as other clients call it."""
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture
def start(exported):
    """Starts servers that are stopped when the test ends."""
    from tf_lungreg.serving.server import start_server

    running = []

    def start(model=exported, name="lungreg", **kwargs):
        running.append(start_server({name: model}, **{"port": 0, **kwargs}))
        return running[-1]

    yield start
    for server in running:
        server.stop()
        server.wait()


@pytest.fixture
def pair(rng):
    return {n: rng.uniform(size=(1, 12, 20, 16, 1)).astype(np.float32) for n in ("moving", "fixed")}
