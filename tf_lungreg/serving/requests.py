"""Reading a request's tensors, checked against the signature that they are for."""

from __future__ import annotations

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from tf_lungreg.errors import InputError
from tf_lungreg.serving.wire import plain


def read_inputs(
    request: predict_pb2.PredictRequest,
    signature: str,
    definition: meta_graph_pb2.SignatureDef,
) -> dict[str, tf.Tensor]:
    """The tensors of a request, where they are those of the signature.

    Args:
        request: of PredictionService.
        signature: the name that is asked for, for messages.
        definition: the signature.

    Raises:
        InputError: a tensor is missing, unknown, broken or of another type or shape.
    """
    if set(request.inputs) != set(definition.inputs):
        needed, found = (", ".join(sorted(names)) for names in (definition.inputs, request.inputs))
        raise InputError(f"signature {signature!r}: inputs needed: {needed}; found: {found}")
    unknown = sorted(set(request.output_filter) - set(definition.outputs))
    if unknown:
        raise InputError(f"signature {signature!r} has no output {unknown[0]!r}")
    return {
        name: _read_tensor(name, request.inputs[name], needed)
        for name, needed in definition.inputs.items()
    }


def _read_tensor(
    name: str, proto: tensor_pb2.TensorProto, needed: meta_graph_pb2.TensorInfo
) -> tf.Tensor:
    try:
        found = tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not a tensor that can be read ({plain(str(error))})") from error
    shape, dtype = tf.TensorShape(needed.tensor_shape), tf.as_dtype(needed.dtype)
    if proto.dtype != needed.dtype or not shape.is_compatible_with(found.shape):
        raise InputError(
            f"{name}: {dtype.name} of shape {shape} is needed, found {found.dtype} of {found.shape}"
        )
    return tf.constant(found)
