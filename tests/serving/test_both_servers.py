"""What holds for the local server and for a container of TensorFlow Serving alike.

LUNGREG_SERVING=HOST:PORT names a container that serves saved_models/lungreg_pretrained as lungreg.
"""

import os
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tf_lungreg.errors import InputError
from tf_lungreg.export import load_model
from tf_lungreg.inference.default_model import pretrained_model
from tf_lungreg.serving import RemoteModel


@pytest.fixture(params=["local", "container"], scope="module")
def served(request):
    """Address and model of a server."""
    if request.param == "local":
        model = request.getfixturevalue("exported")
        return SimpleNamespace(address=request.getfixturevalue("address"), model=load_model(model))
    address = os.environ.get("LUNGREG_SERVING")
    if address is None:
        pytest.skip("no container: LUNGREG_SERVING=HOST:PORT is not set")
    return SimpleNamespace(address=address, model=load_model(pretrained_model()))


@pytest.fixture
def predict(served):
    """Predict with the stub alone: a function of changes of a good request."""
    with grpc.insecure_channel(served.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

        def call(pair, name="lungreg", signature="serving_default", version=None, timeout=120):
            request = predict_pb2.PredictRequest()
            request.model_spec.name, request.model_spec.signature_name = name, signature
            if version is not None:
                request.model_spec.version.value = version
            for key, value in pair.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
            return stub.Predict(request, timeout=timeout)

        yield call


def code(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def test_it_answers_as_the_saved_model_itself(served, pair):
    expected = served.model({name: tf.constant(value) for name, value in pair.items()})
    found = RemoteModel(served.address)(pair)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-4)


def test_it_says_what_it_serves(served):
    remote = RemoteModel(served.address)
    assert "AVAILABLE" in remote.status().values()
    assert {"serving_default", "warp", "warp_labels", "card"} <= set(remote.signatures())
    assert remote.card["settings"]["preset"] == served.model.card["settings"]["preset"]


def test_names_that_are_not_there(predict, pair):
    not_found = grpc.StatusCode.NOT_FOUND
    assert code(lambda: predict(pair, name="brain"))[0] == not_found
    assert code(lambda: predict(pair, version=987))[0] == not_found
    found, words = code(lambda: predict(pair, signature="other"))
    assert found == grpc.StatusCode.FAILED_PRECONDITION
    assert 'Serving signature key "other" not found' in words


def test_volumes_that_cannot_be_registered(predict, pair):
    moving, fixed = pair["moving"], pair["fixed"]
    nan = fixed.copy()
    nan[0, 1, 2, 3, 0] = np.nan
    for bad in (
        {"moving": moving, "fixed": fixed[:, :, :7]},
        {"moving": moving[..., 0], "fixed": fixed},
        {"moving": moving.astype(np.int32), "fixed": fixed},
        {"moving": moving, "fixed": nan},
        {"moving": moving},
    ):
        assert code(lambda bad=bad: predict(bad))[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert predict(pair).outputs  # it goes on


def test_a_deadline_is_kept(served, predict, pair):
    assert code(lambda: predict(pair, timeout=1e-4))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    with pytest.raises(InputError, match="no answer within"):
        RemoteModel(served.address, timeout=1e-4)
