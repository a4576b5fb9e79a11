"""Requests that TensorFlow Serving runs while it loads a model, before anyone waits for it.

The first call of a graph is slow: it is optimised and its memory is claimed. TensorFlow Serving
reads the records from ``assets.extra/tf_serving_warmup_requests`` inside the version's folder.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tf_lungreg.arrays import Array

WARMUP = Path("assets.extra") / "tf_serving_warmup_requests"

_SHAPE = (1, 16, 16, 16)  # every operation runs once; a whole volume would take gigabytes
WARMUP_VOXELS = math.prod(_SHAPE)


def write_warmup(version: Path, name: str) -> None:
    """Writes one request for each signature.

    Args:
        version: the version's folder.
        name: of the model.
    """
    rng = np.random.default_rng(0)
    volumes = [rng.uniform(size=(*_SHAPE, 1)).astype(np.float32) for _ in range(2)]
    grid = rng.uniform(0, _SHAPE[1] - 1, (*_SHAPE, 3)).astype(np.float32)
    requests = {
        "serving_default": {"moving": volumes[0], "fixed": volumes[1]},
        "warp": {"volume": volumes[0], "grid": grid},
        "warp_labels": {"volume": np.zeros((*_SHAPE, 1), np.int64), "grid": grid},
        "card": {"query": np.zeros(1, np.int32)},
    }
    with tf.io.TFRecordWriter(str(version / WARMUP)) as writer:
        for signature, inputs in requests.items():
            writer.write(_record(name, signature, inputs))


def _record(name: str, signature: str, inputs: dict[str, Array]) -> bytes:
    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    request.model_spec.signature_name = signature
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    log = prediction_log_pb2.PredictLog(request=request)
    return prediction_log_pb2.PredictionLog(predict_log=log).SerializeToString()
