"""Reading a request's tensors, checked against the signature that they are for."""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import predict_pb2

from tf_lungreg.errors import InputError
from tf_lungreg.serving.wire import plain

# Where a message holds the values of each type that a signature takes, and the bytes of one.
_VALUES = {tf.float32: ("float_val", 4), tf.int32: ("int_val", 4), tf.int64: ("int64_val", 8)}

# TensorFlow repeats the last value up to the shape, so that a few bytes can stand for gigabytes.
# A client that says a short tensor like that is understood.
_REPEATED = 64


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
        InputError: a tensor is missing, unknown, broken, of another type or shape, or has not as
            many values as its shape.
    """
    if set(request.inputs) != set(definition.inputs):
        needed, found = (", ".join(sorted(names)) for names in (definition.inputs, request.inputs))
        raise InputError(f"signature {signature!r}: inputs needed: {needed}; found: {found}")
    unknown = sorted(set(request.output_filter) - set(definition.outputs))
    if unknown:
        raise InputError(f"signature {signature!r} has no output {unknown[0]!r}")
    if len(set(request.output_filter)) < len(request.output_filter):
        raise InputError("output_filter: an output is named twice; name each once")
    return {
        name: _read_tensor(name, request.inputs[name], needed)
        for name, needed in definition.inputs.items()
    }


def _read_tensor(
    name: str, proto: tensor_pb2.TensorProto, needed: meta_graph_pb2.TensorInfo
) -> tf.Tensor:
    shape, dtype = tf.TensorShape(needed.tensor_shape), tf.as_dtype(needed.dtype)
    sizes = tuple(axis.size for axis in proto.tensor_shape.dim)
    rank = "unknown shape" if proto.tensor_shape.unknown_rank else f"{sizes}"
    right = not proto.tensor_shape.unknown_rank and shape.is_compatible_with(
        [max(size, 0) for size in sizes]
    )
    if proto.dtype != needed.dtype or not right:
        raise InputError(
            f"{name}: {dtype.name} of shape {shape} is needed, found {_name(proto)} of {rank}"
        )
    if min(sizes, default=0) < 0:
        raise InputError(f"{name}: no axis can be negative, found {rank}")
    field, width = _VALUES[dtype]
    found = len(proto.tensor_content) // width or len(getattr(proto, field))
    if found != math.prod(sizes) > _REPEATED:
        raise InputError(
            f"{name}: {math.prod(sizes)} values are needed for {rank}, found {found}; send each"
        )
    try:
        return tf.constant(tf.make_ndarray(proto))
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: not a tensor that can be read ({plain(str(error))})") from error


def _name(proto: tensor_pb2.TensorProto) -> str:
    """The type's name; a newer TensorFlow may know more types than this one."""
    try:
        return tf.as_dtype(proto.dtype).name
    except TypeError:
        return f"type {proto.dtype}"
