"""The warm-up records, read back and run."""

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from tf_lungreg.export import load_model


def test_each_signature_is_warmed_up_by_a_request_that_runs(exported):
    version = exported.version
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    signatures, seen = load_model(version).signatures, []
    for record in tf.data.TFRecordDataset(str(file)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "chest"
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        for value in inputs.values():
            assert value.dtype != np.float32 or value.std() > 0.1  # a constant might be folded
        function = signatures[request.model_spec.signature_name]
        outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
        for value in outputs.values():
            assert value.dtype == tf.string or np.isfinite(value).all()
        seen.append(request.model_spec.signature_name)
    assert sorted(seen) == sorted(signatures)
