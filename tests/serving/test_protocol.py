"""The local server as other clients of TensorFlow Serving see it: health, status, metadata."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
)


def code(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code()


def sampling(rng):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "lungreg", "warp_labels"
    values = {
        "volume": rng.integers(2**31, 2**32, (1, 5, 6, 7, 1)),
        "grid": rng.integers(0, 4, (1, 3, 4, 2, 3)).astype(np.float32),
    }
    for name, value in values.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    at = values["grid"].astype(int)[0]
    return request, values["volume"][0, at[..., 0], at[..., 1], at[..., 2]]


def test_health(channel):
    checks = health_pb2_grpc.HealthStub(channel)
    answer = checks.Check(health_pb2.HealthCheckRequest(), timeout=30)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    unknown = health_pb2.HealthCheckRequest(service="other")
    assert code(lambda: checks.Check(unknown, timeout=30)) == grpc.StatusCode.NOT_FOUND


def test_status(channel):
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = "lungreg"
    (found,) = models.GetModelStatus(request, timeout=30).model_version_status
    assert found.version == 3 and found.state == found.AVAILABLE
    request.model_spec.name = "other"
    assert code(lambda: models.GetModelStatus(request)) == grpc.StatusCode.NOT_FOUND


def test_metadata(prediction):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "lungreg"
    answer = prediction.GetModelMetadata(request, timeout=30)
    assert answer.model_spec.version.value == 3
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert set(found.signature_def) == {"serving_default", "warp", "warp_labels", "card"}
    fixed = found.signature_def["serving_default"].inputs["fixed"]
    assert tf.TensorShape(fixed.tensor_shape).as_list() == [None] * 4 + [1]
    del request.metadata_field[:]
    refused = code(lambda: prediction.GetModelMetadata(request))
    assert refused == grpc.StatusCode.INVALID_ARGUMENT


def test_labels_are_sampled_by_hand(prediction, rng):
    request, expected = sampling(rng)
    answer = prediction.Predict(request)  # without a deadline
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["warped"])[0], expected)
    assert answer.model_spec.signature_name == "warp_labels"


def test_a_filter_of_the_outputs(prediction, pair):
    request = predict_pb2.PredictRequest(output_filter=["affine"])
    request.model_spec.name = "lungreg"  # and no signature, which means serving_default
    for name, value in pair.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    assert set(prediction.Predict(request, timeout=60).outputs) == {"affine"}
    request.output_filter.append("flow")
    assert code(lambda: prediction.Predict(request)) == grpc.StatusCode.INVALID_ARGUMENT


def test_the_codes_of_what_is_refused(prediction, rng):
    request, _ = sampling(rng)
    request.model_spec.signature_name = "other"
    assert code(lambda: prediction.Predict(request)) == grpc.StatusCode.FAILED_PRECONDITION
    request, _ = sampling(rng)
    request.inputs["grid"].tensor_content = b"not floats"
    assert code(lambda: prediction.Predict(request)) == grpc.StatusCode.INVALID_ARGUMENT
    request, _ = sampling(rng)
    request.model_spec.version_label = "stable"
    assert code(lambda: prediction.Predict(request)) == grpc.StatusCode.INVALID_ARGUMENT
    classify = classification_pb2.ClassificationRequest()
    assert code(lambda: prediction.Classify(classify)) == grpc.StatusCode.UNIMPLEMENTED
