"""The services of a local server, as far as TensorFlow Serving has them: predict, describe, status.

The errors have the codes that TensorFlow Serving gives.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tf_lungreg.errors import InputError
from tf_lungreg.export import find_model, load_model
from tf_lungreg.serving.requests import read_inputs
from tf_lungreg.serving.wire import plain

_CODES = {code.value[0]: code for code in grpc.StatusCode}  # TensorFlow's numbers are gRPC's


@dataclass(frozen=True)
class ServedModel:
    """The model that is served, and the lock for its one pass at a time.

    A pass at the paper's size takes gigabytes, and all cores.

    Attributes:
        name: that clients ask for.
        version: its number.
        functions: signature → function.
        definitions: signature → names, types and shapes of its tensors.
        lock: held during a pass.
    """

    name: str
    version: int
    functions: dict
    definitions: dict[str, meta_graph_pb2.SignatureDef]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def spec(self, signature: str = "") -> model_pb2.ModelSpec:
        """What answers say of the model."""
        spec = model_pb2.ModelSpec(name=self.name, signature_name=signature)
        spec.version.value = self.version
        return spec

    def check(self, spec: model_pb2.ModelSpec, context: grpc.ServicerContext) -> None:
        """Ends the call if it asks for another model or version.

        Args:
            spec: of the request.
            context: of the call.
        """
        version, code = spec.version.value, grpc.StatusCode.NOT_FOUND
        if spec.name != self.name:
            context.abort(code, f"model {spec.name!r} is not served here, {self.name!r} is")
        if spec.HasField("version") and version != self.version:
            context.abort(code, f"version {version} is not served here, {self.version} is")
        if spec.version_label:
            found = f"label {spec.version_label!r} is unknown, this server has none"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, found)

    @contextmanager
    def turn(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Waits for the network, as long as the caller waits for the answer."""
        remaining = context.time_remaining()  # without a deadline None or infinite
        longest = threading.TIMEOUT_MAX
        if not self.lock.acquire(timeout=longest if remaining is None else min(remaining, longest)):
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "other requests took too long")
        try:
            if not context.is_active():
                context.abort(grpc.StatusCode.CANCELLED, "the caller has gone")
            yield
        finally:
            self.lock.release()


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Runs signatures and describes them."""

    def __init__(self, served: ServedModel):
        self._served = served

    def Predict(self, request, context):
        """Runs a signature."""
        self._served.check(request.model_spec, context)
        signature = request.model_spec.signature_name or "serving_default"
        definition = self._served.definitions.get(signature)
        try:
            inputs = read_inputs(request, signature, definition)
            with self._served.turn(context):
                outputs = self._served.functions[signature](**inputs)
        except InputError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except tf.errors.OpError as error:
            context.abort(_CODES[error.error_code], plain(error.message))
        response = predict_pb2.PredictResponse(model_spec=self._served.spec(signature))
        for name in request.output_filter or outputs:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name].numpy()))
        return response

    def GetModelMetadata(self, request, context):
        """Gives the signatures: names, types and shapes."""
        self._served.check(request.model_spec, context)
        if list(request.metadata_field) != ["signature_def"]:
            found = ", ".join(request.metadata_field) or "none"
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"metadata_field: signature_def is needed, found {found}",
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=self._served.spec())
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=self._served.definitions)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Says what is served."""

    def __init__(self, served: ServedModel):
        self._served = served

    def GetModelStatus(self, request, context):
        """Says that the one version is there."""
        self._served.check(request.model_spec, context)
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(
            version=self._served.version,
            state=get_model_status_pb2.ModelVersionStatus.AVAILABLE,
        )
        return response


def load_served(model: str | os.PathLike, name: str) -> ServedModel:
    """Loads a model to serve it.

    Args:
        model: folder of a version, or the one above it.
        name: that clients ask for.

    Raises:
        MissingFileError, InputError: it is no model of this package, or not in a version's folder.
    """
    version = find_model(model)
    if not version.name.isdecimal():
        raise InputError(f"{version}: the folder of a version, a number, is needed.")
    functions = load_model(version).signatures
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    return ServedModel(
        name, int(version.name), functions, {key: definitions[key] for key in functions}
    )
