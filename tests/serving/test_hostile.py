"""Clients that mean no good, or know no better: the local server stays there for the others."""

import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tf_lungreg.errors import InputError
from tf_lungreg.serving.services import status_of

PREDICT = "/tensorflow.serving.PredictionService/Predict"


@pytest.fixture
def predict(prediction):
    return prediction.Predict


def request_of(signature="serving_default", **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "lungreg", signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def resize(proto, *sizes):
    del proto.tensor_shape.dim[:]
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)


def refuse(predict, request, code=grpc.StatusCode.INVALID_ARGUMENT):
    started = time.monotonic()
    with pytest.raises(grpc.RpcError) as caught:
        predict(request, timeout=30)
    assert caught.value.code() == code, caught.value
    words = caught.value.details()
    assert words and "Traceback" not in words and "\n" not in words and len(words) < 1100
    assert time.monotonic() - started < 10
    return words


@pytest.mark.parametrize("sizes", [(1, 320, 320, 320, 1), (1, 2**40, 2**20, 2**20, 1)])
def test_a_few_bytes_do_not_stand_for_gigabytes(predict, pair, sizes):
    request = request_of(**{name: np.full((1, 1, 1, 1, 1), 0.5, np.float32) for name in pair})
    for proto in request.inputs.values():
        resize(proto, *sizes)
    assert request.ByteSize() < 200
    words = refuse(predict, request)
    assert "values are needed" in words and "found 1; send each" in words
    assert predict(request_of(**pair), timeout=60).outputs


@pytest.mark.parametrize("sizes", [(2**31 - 1,), (10**6,), (-1,), (2, 2), ()])
def test_a_query_that_is_none(predict, sizes):
    request = request_of("card", query=np.zeros(1, np.int32))
    resize(request.inputs["query"], *sizes)
    refuse(predict, request)


def test_a_short_query_may_be_abbreviated(predict):
    request = request_of("card", query=np.zeros(1, np.int32))
    resize(request.inputs["query"], 3)
    assert len(tf.make_ndarray(predict(request, timeout=60).outputs["card"])) == 3


def unknown_rank(request):
    request.inputs["moving"].tensor_shape.unknown_rank = True


def resource(request):
    request.inputs["moving"].dtype = types_pb2.DT_RESOURCE


def unknown_type(request):
    request.inputs["moving"].dtype = 99


def negative(request):
    resize(request.inputs["moving"], 1, -12, 20, 16, 1)


def too_short(request):
    request.inputs["moving"].tensor_content = request.inputs["moving"].tensor_content[:-4]


def doubled(request):
    request.output_filter.extend(["warped"] * 1000)


def many_names(request):
    for number in range(3000):
        request.inputs[f"input {number}"].dtype = types_pb2.DT_FLOAT


@pytest.mark.parametrize(
    "change", [unknown_rank, resource, unknown_type, negative, too_short, doubled, many_names]
)
def test_a_request_that_is_none(predict, pair, change):
    request = request_of(**pair)
    change(request)
    refuse(predict, request)


def test_bytes_that_are_no_request(channel):
    words = refuse(channel.unary_unary(PREDICT), b"\xff" * 40)
    assert words == "the request cannot be read"


@pytest.mark.parametrize(
    "error, code, words",
    [
        (MemoryError(), "RESOURCE_EXHAUSTED", "the memory is not enough"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM [[{{node a}}]]"), None, "OOM"),
        (ZeroDivisionError("by\nzero"), "INTERNAL", "ZeroDivisionError: by zero"),
        (InputError("x" * 5000), "INVALID_ARGUMENT", "x ..."),
    ],
)
def test_every_error_has_a_status_and_a_sentence(error, code, words, start, pair, monkeypatch):
    code = getattr(grpc.StatusCode, code or "RESOURCE_EXHAUSTED")
    assert status_of(error)[0] == code and words in status_of(error)[1]
    running = start()
    (served,) = running.store.versions

    def fail(**_):
        raise error

    monkeypatch.setitem(served.functions, "serving_default", fail)
    with grpc.insecure_channel(running.address) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        assert words in refuse(stub.Predict, request_of(**pair), code)


def call_later(method, *args):
    try:
        return method(*args, timeout=60)
    except grpc.RpcError as error:
        return error.code()


def test_health_and_status_under_callers_and_half_open_calls(start, pair):
    running = start()
    request, released = request_of(**pair), threading.Event()
    request.output_filter.append("affine")

    def nothing():
        released.wait(60)
        yield from ()

    with grpc.insecure_channel(running.address) as channel, futures.ThreadPoolExecutor(40) as pool:
        half_open = [channel.stream_unary(PREDICT).future(nothing()) for _ in range(32)]
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        status = model_service_pb2_grpc.ModelServiceStub(channel).GetModelStatus
        wanted = get_model_status_pb2.GetModelStatusRequest()
        wanted.model_spec.name = "lungreg"
        with running.store._turn:  # nobody is answered
            calls = [pool.submit(call_later, predict, request) for _ in range(40)]
            done, _ = futures.wait(calls, timeout=60, return_when=futures.FIRST_COMPLETED)
            refused = next(iter(done)).result()
            for service in ("", "tensorflow.serving.PredictionService"):
                started = time.monotonic()
                check = health_pb2_grpc.HealthStub(channel).Check
                answer = check(health_pb2.HealthCheckRequest(service=service), timeout=30)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
                assert status(wanted, timeout=30).model_version_status[0].version == 3
                # 5 ms on a quiet machine; this one may be busy.
                assert time.monotonic() - started < 5
        assert refused == grpc.StatusCode.RESOURCE_EXHAUSTED
        results = [each.result() for each in calls]
        answered = [each for each in results if not isinstance(each, grpc.StatusCode)]
        assert len(answered) == 32  # as many as may wait: half-open calls take nobody's place
        for call in half_open:
            call.cancel()
        released.set()


def test_a_caller_that_has_gone_gives_its_place_back(start, pair, monkeypatch):
    monkeypatch.setattr("tf_lungreg.serving.server._REQUESTS", 1)
    running = start()
    with grpc.insecure_channel(running.address) as channel:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        with running.store._turn:
            with pytest.raises(grpc.RpcError):
                predict(request_of(**pair), timeout=2)
        assert predict(request_of(**pair), timeout=60).outputs


def test_no_caller_hangs_when_the_server_ends(start, pair):
    running = start()
    with grpc.insecure_channel(running.address) as channel, futures.ThreadPoolExecutor(1) as pool:
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        with running.store._turn:
            waiting = pool.submit(call_later, predict, request_of(**pair))
            time.sleep(1)
            running.stop()
            running.wait()
            ended = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
            assert waiting.result(timeout=30) in ended
            assert call_later(predict, request_of(**pair)) in ended


def test_reflection_names_the_services(channel):
    pytest.importorskip("grpc_reflection")
    from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
        ProtoReflectionDescriptorDatabase,
    )

    names = ProtoReflectionDescriptorDatabase(channel).get_services()
    wanted = {"tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
    assert wanted | {"grpc.health.v1.Health"} <= set(names)
