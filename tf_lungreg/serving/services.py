"""The services of a local server, as far as TensorFlow Serving has them: predict, describe, status.

The errors have the codes that TensorFlow Serving gives, and its words where a name is not found.

The methods are coroutines on one event loop, so a caller that sends nothing, or waits, holds no
thread. Only reading a request and the passes run in threads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Generator
from concurrent import futures
from contextlib import contextmanager
from functools import wraps
from typing import Any, NoReturn, TypeVar

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from grpc import aio
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from tf_lungreg.errors import InputError
from tf_lungreg.serving.requests import read_inputs
from tf_lungreg.serving.store import ModelStore, NotServed, ServedVersion
from tf_lungreg.serving.wire import plain

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}  # TensorFlow's numbers are gRPC's
_READERS = 4  # threads that read requests
_LONGEST = 1000  # characters of a message: gRPC bears 8 KiB with all its headers

PREDICTION = "tensorflow.serving.PredictionService"
MODEL = "tensorflow.serving.ModelService"

_Context = aio.ServicerContext[Any, Any]
_Answer = TypeVar("_Answer")
_Method = Callable[[Any, Any, _Context], Awaitable[_Answer]]


def status_of(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The gRPC status of an error, and one sentence."""
    if isinstance(error, NotServed):
        code, message = error.code, str(error)
    elif isinstance(error, InputError):
        code, message = grpc.StatusCode.INVALID_ARGUMENT, str(error)
    elif isinstance(error, DecodeError):
        code, message = grpc.StatusCode.INVALID_ARGUMENT, "the request cannot be read"
    elif isinstance(error, tf.errors.OpError):
        problem: Any = error  # TensorFlow's types are not known
        code = _CODES.get(problem.error_code, grpc.StatusCode.INTERNAL)
        message = plain(problem.message)
    elif isinstance(error, MemoryError):
        code = grpc.StatusCode.RESOURCE_EXHAUSTED
        message = "the memory is not enough for this request; send a smaller one, or a later one"
    else:
        _log.error("a request failed", exc_info=error)
        code = grpc.StatusCode.INTERNAL
        message = f"the server failed ({type(error).__name__}: {plain(str(error))})"
    return code, message if len(message) <= _LONGEST else f"{message[:_LONGEST]} ..."


def _with_status(method: _Method[_Answer]) -> _Method[_Answer]:
    """Ends a call whose method raises by a status with a sentence."""

    @wraps(method)
    async def answer(self: Any, request: Any, context: _Context) -> _Answer:
        try:
            return await method(self, request, context)
        except Exception as error:
            await _abort(context, error)

    return answer


async def _abort(context: _Context, error: Exception) -> NoReturn:
    if isinstance(error, aio.AbortError):
        raise error
    await context.abort(*status_of(error))


class PredictionService:
    """Runs signatures, one at a time, and describes them.

    Args:
        store: the models.
        most: requests to run a signature at once, waiting ones included; further ones are
            refused with RESOURCE_EXHAUSTED.
    """

    def __init__(self, store: ModelStore, most: int):
        self._store, self._most, self._count = store, most, 0
        self._readers = futures.ThreadPoolExecutor(_READERS, "reader")
        self._passes = futures.ThreadPoolExecutor(1, "pass")

    def handler(self) -> grpc.GenericRpcHandler:
        """The methods by name, for a server; a request to predict comes in bytes."""
        metadata = grpc.unary_unary_rpc_method_handler(
            self.get_model_metadata,
            get_model_metadata_pb2.GetModelMetadataRequest.FromString,
            get_model_metadata_pb2.GetModelMetadataResponse.SerializeToString,
        )
        predict = grpc.unary_unary_rpc_method_handler(self.predict)
        methods = {"Predict": predict, "GetModelMetadata": metadata}
        return grpc.method_handlers_generic_handler(PREDICTION, methods)

    @_with_status
    async def predict(self, content: bytes, context: _Context) -> bytes:
        """Runs a signature. A caller that has gone is not waited for."""
        run = asyncio.get_running_loop().run_in_executor
        with self._counted():
            request = await run(self._readers, self._read, content)
            return await run(self._passes, self._answer, *request)

    @contextmanager
    def _counted(self) -> Generator[None]:
        if self._count >= self._most:
            message = f"{self._count} requests are under way, which is the limit; try again later"
            raise NotServed(grpc.StatusCode.RESOURCE_EXHAUSTED, message)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    def _read(self, content: bytes) -> tuple[ServedVersion, str, list[str], dict[str, tf.Tensor]]:
        """The version, signature, outputs and inputs of a request."""
        request = predict_pb2.PredictRequest.FromString(content)
        served = self._store.find(request.model_spec)
        signature = request.model_spec.signature_name or "serving_default"
        if signature not in served.definitions:
            message = f'Serving signature key "{signature}" not found.'
            raise NotServed(grpc.StatusCode.FAILED_PRECONDITION, message)
        inputs = read_inputs(request, signature, served.definitions[signature])
        return served, signature, list(request.output_filter), inputs

    def _answer(
        self, served: ServedVersion, signature: str, names: list[str], inputs: dict[str, tf.Tensor]
    ) -> bytes:
        with self._store.turn():
            outputs = served.functions[signature](**inputs)
            response = predict_pb2.PredictResponse(model_spec=served.spec(signature))
            for name in names or outputs:
                response.outputs[name].CopyFrom(tf.make_tensor_proto(outputs[name].numpy()))
            return response.SerializeToString()

    @_with_status
    async def get_model_metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: _Context
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Gives the signatures: names, types and shapes."""
        served = self._store.find(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            found = ", ".join(request.metadata_field) or "none"
            raise InputError(f"metadata_field: signature_def is needed, found {found}")
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=served.spec())
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=served.definitions)
        response.metadata["signature_def"].Pack(signatures)
        return response

    def close(self) -> None:
        """Starts nothing any more; a pass that has begun ends."""
        for pool in (self._readers, self._passes):
            pool.shutdown(wait=False)


class ModelService:
    """Says what is served.

    Args:
        store: the models.
    """

    def __init__(self, store: ModelStore):
        self._store = store

    def handler(self) -> grpc.GenericRpcHandler:
        """The methods by name, for a server."""
        status = grpc.unary_unary_rpc_method_handler(
            self.get_model_status,
            get_model_status_pb2.GetModelStatusRequest.FromString,
            get_model_status_pb2.GetModelStatusResponse.SerializeToString,
        )
        return grpc.method_handlers_generic_handler(MODEL, {"GetModelStatus": status})

    @_with_status
    async def get_model_status(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: _Context
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Says which version is there."""
        served = self._store.find(request.model_spec)
        response = get_model_status_pb2.GetModelStatusResponse()
        response.model_version_status.add(
            version=served.number,
            state=get_model_status_pb2.ModelVersionStatus.AVAILABLE,
        )
        return response
