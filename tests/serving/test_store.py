"""Models that come and go while the server runs, and requests that wait."""

import shutil
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.serving import RemoteModel, server
from tf_lungreg.serving.store import ModelStore, models_of


@pytest.fixture
def base(exported, tmp_path):
    """A model's folder of its own, with version 3."""
    shutil.copytree(exported / "3", tmp_path / "models" / "lungreg" / "3")
    return tmp_path / "models" / "lungreg"


def add_version(base, number):
    """A copy of version 3 that appears at once, as an export does."""
    shutil.copytree(base / "3", base / "half")
    (base / "half").rename(base / str(number))


def eventually(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture
def arrival(monkeypatch):
    """A function from a server to an event: that a request has come and has its version."""

    def of(running):
        arrived, find = threading.Event(), running.store.find

        def watched(spec):
            try:
                return find(spec)
            finally:
                arrived.set()

        monkeypatch.setattr(running.store, "find", watched)
        return arrived

    return of


def call(address, pair, **options):
    """Predict with the stub alone, as another client would."""
    request = predict_pb2.PredictRequest(output_filter=["affine"])
    request.model_spec.name = "lungreg"
    for name, value in pair.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return stub.Predict(request, **{"timeout": 60, **options})


def test_a_newer_version_takes_the_place_of_the_old_one(base, start, pair, monkeypatch):
    monkeypatch.setattr(server, "_LOOK", 0.05)
    address = start(base).address
    old = RemoteModel(address)
    seen = []

    def ask():
        seen.append(call(address, pair).model_spec.version.value)
        return seen[-1] == 10

    add_version(base, 10)  # as a number it is above 3, as a word below
    eventually(ask)  # and no request fails meanwhile
    assert set(seen) <= {3, 10} and seen == sorted(seen)
    assert RemoteModel(address).status() == {10: "AVAILABLE"}
    with pytest.raises(InputError, match="Specific"):
        old(pair)


def test_a_request_keeps_the_version_that_it_began_with(base, start, pair, arrival):
    running = start(base)
    arrived = arrival(running)
    with futures.ThreadPoolExecutor(1) as pool:
        with running.store._turn:  # the request has its version, and waits for the network
            (before,) = running.store.versions
            waiting = pool.submit(call, running.address, pair)
            assert arrived.wait(60)
            add_version(base, 4)
            running.store.refresh()
            assert running.store.versions[0].number == 4
        assert waiting.result().model_spec.version.value == before.number == 3


def test_a_broken_version_is_named_once_and_the_old_one_stays(base, caplog):
    store = ModelStore({"lungreg": base})
    (base / "7").mkdir()
    (base / "7" / "saved_model.pb").write_bytes(b"nothing")
    for _ in range(2):
        store.refresh()
    assert [version.number for version in store.versions] == [3]
    (record,) = caplog.records
    assert record.levelname == "ERROR" and str(base / "7") in record.getMessage()
    shutil.rmtree(base / "7")
    add_version(base, 7)  # copied to its end
    store.refresh()
    assert [version.number for version in store.versions] == [7]


def test_a_second_reason_is_told_too(base, caplog):
    store = ModelStore({"lungreg": base})
    (base / "7").mkdir()
    (base / "7" / "saved_model.pb").write_bytes(b"nothing")
    store.refresh()
    shutil.rmtree(base / "7")
    add_version(base, 7)
    (base / "7" / "assets.extra" / "model_card.json").write_text("5", encoding="utf-8")
    card = (base / "7" / "saved_model.pb").read_bytes()
    store.refresh()
    (base / "7" / "assets.extra" / "model_card.json").write_text('{"settings": {}}')
    (base / "7" / "saved_model.pb").write_bytes(card[:100])
    for _ in range(2):
        store.refresh()
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records) == 2


def test_the_watcher_outlives_strange_folders_and_errors(base, monkeypatch):
    for name in ("²", "٣", "9" * 30):
        (base / name).mkdir()
    store = ModelStore({"lungreg": base})
    assert [version.number for version in store.versions] == [3]
    looks = []

    def refresh():
        looks.append(1)
        if len(looks) < 3:
            raise RuntimeError("any")

    monkeypatch.setattr(store, "refresh", refresh)
    store.watch(0.01)
    eventually(lambda: len(looks) > 3)
    store.stop()


def test_a_model_that_is_taken_away_is_served_on(base):
    store = ModelStore({"lungreg": base})
    shutil.rmtree(base)
    store.refresh()
    assert [version.number for version in store.versions] == [3]


def test_all_models_of_a_folder(base, tmp_path):
    folder = base.parent
    (folder / "README.md").write_text("words", encoding="utf-8")
    (folder / "empty").mkdir()
    shutil.copytree(base, folder / "chest")
    assert models_of(folder) == {"chest": folder / "chest", "lungreg": folder / "lungreg"}
    with pytest.raises(InputError, match="no model is in it"):
        models_of(folder / "empty")
    with pytest.raises(MissingFileError, match="nowhere"):
        models_of(tmp_path / "nowhere")


def test_requests_beyond_the_limit_are_refused(start, pair, monkeypatch, arrival):
    monkeypatch.setattr(server, "_REQUESTS", 1)
    running = start()
    arrived = arrival(running)
    with futures.ThreadPoolExecutor(1) as pool, running.store._turn:
        first = pool.submit(call, running.address, pair)
        assert arrived.wait(60)
        assert _is_exhausted(running.address, pair) and not first.done()
    eventually(lambda: not _is_exhausted(running.address, pair))


def _is_exhausted(address, pair):
    try:
        call(address, pair)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    return False


def test_what_is_under_way_is_finished(start, pair, arrival):
    running = start()
    arrived = arrival(running)
    with futures.ThreadPoolExecutor(1) as pool:
        with running.store._turn:
            waiting = pool.submit(call, running.address, pair)
            assert arrived.wait(60)
            running.stop(grace=60)
            eventually(lambda: _is_unavailable(running.address, pair))
        assert np.isfinite(tf.make_ndarray(waiting.result().outputs["affine"])).all()


def _is_unavailable(address, pair):
    """Whether a server refuses calls as gRPC's documentation says of one that shuts down.

    A connection that it accepts at the last moment ends with CANCELLED in gRPC 1.85.
    """
    try:
        call(address, pair, timeout=1)
    except grpc.RpcError as error:
        return error.code() == grpc.StatusCode.UNAVAILABLE
    return False


class Failing(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Fails with a code."""

    def __init__(self, code):
        self.code, self.calls = code, 0

    def Predict(self, request, context):
        self.calls += 1
        context.abort(self.code, "so it is")


def serve_with(servicer, port=0):
    """A server on a port, and the port."""
    other = grpc.server(futures.ThreadPoolExecutor(1), options=[("grpc.so_reuseport", 0)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, other)
    port = other.add_insecure_port(f"127.0.0.1:{port}")
    other.start()
    return other, port


@pytest.mark.parametrize(
    "code, word",
    [
        (grpc.StatusCode.UNAVAILABLE, "not sent again, as it may have begun"),
        (grpc.StatusCode.INTERNAL, "INTERNAL"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "no room"),
    ],
)
def test_what_a_server_took_is_not_sent_again(code, word):
    failing = Failing(code)
    other, port = serve_with(failing)
    with pytest.raises(InputError, match=word):
        RemoteModel(f"127.0.0.1:{port}")
    assert failing.calls == 1
    other.stop(grace=None).wait()


def test_a_server_that_comes_while_the_client_waits(monkeypatch):
    monkeypatch.setattr("tf_lungreg.serving.client._PATIENCE", 60)
    other, port = serve_with(Failing(grpc.StatusCode.NOT_FOUND))
    other.stop(grace=None).wait()  # nothing listens there
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(RemoteModel, f"127.0.0.1:{port}")
        time.sleep(1)
        assert not waiting.done()
        other, _ = serve_with(Failing(grpc.StatusCode.NOT_FOUND), port)
        with pytest.raises(InputError, match="does not serve"):
            waiting.result(timeout=60)
    other.stop(grace=None).wait()


def test_a_request_that_kills_its_server_does_not_kill_the_next_one(tmp_path):
    servers = []
    for _ in range(2):
        words = [sys.executable, "-c", FRAGILE]
        servers.append(subprocess.Popen(words, stdout=subprocess.PIPE, encoding="ascii"))
    ports = [server.stdout.readline().strip() for server in servers]
    try:
        with pytest.raises(InputError, match="not sent again"):
            RemoteModel("ipv4:" + ",".join(f"127.0.0.1:{port}" for port in ports), timeout=60)
        eventually(lambda: any(server.poll() is not None for server in servers))
        time.sleep(1)
        assert sorted(server.poll() is None for server in servers) == [False, True]
    finally:
        for server in servers:
            server.kill()
            server.communicate()


# Ends at the first request, as a server does whose memory is exceeded.
FRAGILE = """
import os, time
from concurrent import futures
import grpc
server = grpc.server(futures.ThreadPoolExecutor(1))
end = grpc.unary_unary_rpc_method_handler(lambda request, context: os._exit(9))
name = "tensorflow.serving.PredictionService"
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, {"Predict": end}),))
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
server.start()
time.sleep(300)
"""
