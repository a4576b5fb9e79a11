"""The services of a local server, as far as TensorFlow Serving has them: predict, describe, status.

The errors have the codes that TensorFlow Serving gives, and its words where a name is not found.
"""

from __future__ import annotations

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tf_lungreg.errors import InputError
from tf_lungreg.serving.requests import read_inputs
from tf_lungreg.serving.store import ModelStore, NotServed, ServedVersion
from tf_lungreg.serving.wire import plain

_CODES = {code.value[0]: code for code in grpc.StatusCode}  # TensorFlow's numbers are gRPC's


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Runs signatures and describes them."""

    def __init__(self, store: ModelStore):
        self._store = store

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs a signature."""
        served = _find(self._store, request.model_spec, context)
        signature = request.model_spec.signature_name or "serving_default"
        if signature not in served.definitions:
            message = f'Serving signature key "{signature}" not found.'
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, message)
        try:
            inputs = read_inputs(request, signature, served.definitions[signature])
            with self._store.turn(context):
                outputs = served.functions[signature](**inputs)
        except InputError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except tf.errors.OpError as error:
            context.abort(_CODES[error.error_code], plain(error.message))
        response = predict_pb2.PredictResponse(model_spec=served.spec(signature))
        for name in request.output_filter or outputs:
            response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name].numpy()))
        return response

    def GetModelMetadata(
        self,
        request: get_model_metadata_pb2.GetModelMetadataRequest,
        context: grpc.ServicerContext,
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Gives the signatures: names, types and shapes."""
        served = _find(self._store, request.model_spec, context)
        if list(request.metadata_field) != ["signature_def"]:
            found = ", ".join(request.metadata_field) or "none"
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"metadata_field: signature_def is needed, found {found}",
            )
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=served.spec())
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=served.definitions)
        response.metadata["signature_def"].Pack(signatures)
        return response


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Says what is served."""

    def __init__(self, store: ModelStore):
        self._store = store

    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Says which version is there."""
        served = _find(self._store, request.model_spec, context)
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(
            version=served.number,
            state=get_model_status_pb2.ModelVersionStatus.AVAILABLE,
        )
        return response


def _find(
    store: ModelStore, spec: model_pb2.ModelSpec, context: grpc.ServicerContext
) -> ServedVersion:
    """The version that a request asks for; the call ends where it is not here."""
    try:
        return store.find(spec)
    except NotServed as error:
        context.abort(error.code, str(error))
