"""The client against a real gRPC server, answers compared with the local model's."""

import json
import pickle
from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf

from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.export import load_model
from tf_lungreg.serving.client import RemoteModel, _is_local


def tensors(pair):
    return {name: tf.constant(value) for name, value in pair.items()}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-6)


def refused(call, *words):
    with pytest.raises(InputError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message and "{{" not in message, message
    for word in words:
        assert word in message, message


def test_it_answers_as_the_local_model(exported, address, pair):
    local, remote = load_model(exported), RemoteModel(address)
    assert remote.card == local.card and remote.path.endswith("/lungreg/3")
    expected = local(tensors(pair))
    assert np.abs(expected["warped"] - pair["moving"]).max() > 0.1
    assert_same(remote(tensors(pair)), expected)


def test_only_what_is_asked_for_comes_back(exported, address, pair):
    remote = RemoteModel(address, outputs=("affine", "warped"))
    expected = load_model(exported)(tensors(pair))
    assert_same(remote(tensors(pair)), {name: expected[name] for name in ("affine", "warped")})


def test_status_and_signatures(address):
    remote = RemoteModel(address)
    assert remote.status() == {3: "AVAILABLE"}
    assert set(remote.signatures()) == {"serving_default", "warp", "warp_labels", "card"}


def test_two_clients_at_once(exported, address, pair):
    local = load_model(exported)
    pairs = [{k: np.roll(v, n, axis=1) for k, v in pair.items()} for n in range(6)]

    def ask(both):
        return RemoteModel(address)(tensors(both))

    with futures.ThreadPoolExecutor(2) as pool:
        for found, both in zip(pool.map(ask, pairs), pairs):
            assert_same(found, local(tensors(both)))


def test_what_cannot_be_registered_is_refused_and_the_server_goes_on(address, pair):
    remote = RemoteModel(address)
    moving, fixed = pair["moving"], pair["fixed"]
    nan = fixed.copy()
    nan[0, 1, 2, 3, 0] = np.nan
    refused(lambda: remote({"moving": moving, "fixed": fixed[:, :, :7]}), "one shape is needed")
    refused(lambda: remote({"moving": moving[..., 0], "fixed": fixed}), "moving", "(1, 12, 20, 16)")
    refused(lambda: remote({"moving": moving, "fixed": nan}), "fixed: not all values are finite")
    refused(lambda: remote({"moving": moving}), "inputs needed: fixed, moving; found: moving")
    refused(lambda: remote({"moving": moving.astype(int), "fixed": fixed}), "float32", "int64")
    assert np.isfinite(remote(tensors(pair))["warped"]).all()


def test_messages_beyond_the_default_limit(exported, address, rng):
    remote = RemoteModel(address)
    volume = rng.uniform(size=(1, 96, 288, 288, 1)).astype(np.float32)
    assert volume.nbytes > 30e6
    grid = tf.constant(rng.uniform(0, 90, (1, 4, 5, 6, 3)).astype(np.float32))
    answer = remote._predict("warp", {"volume": volume, "grid": grid})  # large there
    local = load_model(exported).signatures["warp"](volume=tf.constant(volume), grid=grid)
    found = tf.make_ndarray(answer.outputs["warped"])
    np.testing.assert_allclose(found, local["warped"], atol=1e-6)
    grid = np.zeros((1, 60, 200, 216, 3), np.float32)  # and large back
    answer = remote._predict("warp", {"volume": volume[:, :4, :4, :4], "grid": grid})
    assert answer.ByteSize() > 10e6


def test_another_model_or_version(start):
    address = start(name="chest").address
    refused(lambda: RemoteModel(address), "does not serve", "Latest(lungreg)")
    refused(lambda: RemoteModel(address, "chest", 9), "version 9", "Specific(chest, 9)")
    refused(lambda: RemoteModel(address, "chest", "canary"), "servable version label: canary")
    assert RemoteModel(address, "chest", 3).path == f"{address}/chest/3"


def test_the_version_that_gave_its_card_is_kept(address, pair, monkeypatch):
    remote = RemoteModel(address)
    seen = []
    stub = remote._stub

    class Watching:
        def Predict(self, request, timeout):
            seen.append(request.model_spec.version.value)
            return stub.Predict(request, timeout=timeout)

    monkeypatch.setattr(remote, "_stub", Watching())
    remote(tensors(pair))
    assert seen == [3]


def test_another_process_gets_a_connection_of_its_own(exported, address, pair):
    remote = pickle.loads(pickle.dumps(RemoteModel(address)))
    assert remote.path == f"{address}/lungreg/3"
    assert_same(remote(tensors(pair)), load_model(exported)(tensors(pair)))


def test_no_server_and_no_address(start):
    server = start()
    remote = RemoteModel(server.address)
    server.stop()
    server.wait()
    refused(lambda: RemoteModel(server.address), server.address, "no server answers")
    refused(lambda: remote({}), "no server answers")
    for address in ("localhost", "localhost:", ":8500", "localhost:http"):
        refused(lambda a=address: RemoteModel(a), "HOST:PORT")


def test_a_deadline(address):
    refused(lambda: RemoteModel(address, timeout=1e-4), "no answer within 0.0001 s")


def test_tls(exported, address, start, certificate, pair):
    files, plain = (certificate.certificate, certificate.key), address
    address = start(tls=files).address
    remote = RemoteModel(address, tls=certificate.certificate)
    assert_same(remote(tensors(pair)), load_model(exported)(tensors(pair)))
    refused(lambda: RemoteModel(address, timeout=10), "no server answers")  # not encrypted
    refused(lambda: RemoteModel(plain, tls=files[0], timeout=10), "no server answers")
    with pytest.raises(MissingFileError, match="nowhere.pem"):
        RemoteModel(address, tls="nowhere.pem")
    refused(lambda: RemoteModel(address, tls=exported / "3" / "saved_model.pb"), "not a PEM file")


def test_a_pem_file_that_is_broken(address, start, certificate, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----\n")
    refused(lambda: start(tls=(broken, certificate.key)), "broken.pem", "its own key")
    refused(lambda: start(tls=(certificate.certificate, broken)), "broken.pem", "its own key")
    refused(lambda: RemoteModel(address, tls=broken), "broken.pem: no certificate can be read")


def test_a_place_that_is_taken(address, start):
    port = int(address.rpartition(":")[2])
    refused(lambda: start(port=port), "cannot listen there")


def test_a_model_outside_a_versions_folder(exported, start, tmp_path):
    (tmp_path / "copy").symlink_to(exported / "3")
    refused(lambda: start(tmp_path / "copy"), "copy: the folder of a version")


def test_the_card_says_how_to_use_it(address):
    card = RemoteModel(address).card
    assert card["settings"]["spacing"] == [7.5, 6.42, 6.42]
    assert json.loads(json.dumps(card)) == card


@pytest.mark.parametrize(
    ("address", "more", "message"),
    [
        ("localhost:74135", {}, "PORT 1 to 65535"),
        ("localhost:0", {}, "PORT 1 to 65535"),
        ("localhost:1", {"name": ""}, "model-name"),
        ("localhost:1", {"version": 10**30}, "model-version"),
        ("localhost:1", {"timeout": float("nan")}, "timeout"),
        ("localhost:1", {"timeout": -1}, "timeout"),
    ],
)
def test_what_no_server_could_answer(address, more, message):
    with pytest.raises(InputError, match=message):
        RemoteModel(address, **more)


@pytest.mark.parametrize("name", ["http_proxy", "grpc_proxy", "https_proxy"])
def test_a_proxy_is_not_asked_for_this_machine(address, monkeypatch, local_addresses, name):
    for other in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, f"http://{local_addresses(1)[0]}")  # where nothing listens
    port = address.rpartition(":")[2]
    for host in ("localhost", "127.0.0.1", "dns:///localhost"):
        assert RemoteModel(f"{host}:{port}", timeout=20).status() == {3: "AVAILABLE"}


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *[(host, True) for host in ("LOCALHOST", "127.3.2.1", "[::1]", "dns:///127.0.0.1")],
        *[(host, False) for host in ("example.org", "10.0.0.1", "dns:///localhost.example.org")],
    ],
)
def test_which_hosts_are_this_machine(host, local):
    assert _is_local(host) is local
