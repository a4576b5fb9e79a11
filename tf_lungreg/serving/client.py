"""A model that runs elsewhere: on TensorFlow Serving, or on ``tf-lungreg serve``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from tf_lungreg.errors import InputError
from tf_lungreg.serving.wire import NAME, UNLIMITED, plain, read_pem

_MEANING = {
    grpc.StatusCode.UNAVAILABLE: "no server answers there",
    grpc.StatusCode.NOT_FOUND: "does not serve that model or version",
    grpc.StatusCode.DEADLINE_EXCEEDED: "no answer within {timeout:g} s",
    grpc.StatusCode.INVALID_ARGUMENT: "refuses the request",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "has not enough memory for it",
    grpc.StatusCode.UNIMPLEMENTED: "does not speak TensorFlow Serving's protocol",
}


class RemoteModel:
    """Runs the network on a server; called as an :class:`~tf_lungreg.export.ExportedModel` is.

    Args:
        address: ``host:port``; ``dns:///host:port`` spreads the calls over all machines that
            the name stands for.
        name: of the model on the server.
        version: a number, or a label such as ``"stable"``; by default the server's newest.
        tls: PEM file of the authority that signed the server's certificate; without it the
            connection is not encrypted.
        timeout: seconds to wait for an answer.

    Attributes:
        card: the model's card.
        path: server, model and version, for records.

    Raises:
        MissingFileError: there is no such PEM file.
        InputError: the server cannot be reached or does not serve that model.
    """

    def __init__(
        self,
        address: str,
        name: str = NAME,
        version: int | str | None = None,
        tls: str | os.PathLike | None = None,
        timeout: float = 600,
    ):
        self._address, self._name, self._version = address, name, version
        self._tls, self._timeout = tls, timeout
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(_channel(address, tls))
        response = self._predict("card", {"query": np.zeros(1, np.int32)})
        # A newer version may be loaded between two calls; what follows goes with this card.
        self._version = response.model_spec.version.value
        self.card = json.loads(tf.make_ndarray(response.outputs["card"])[0])
        self.path = f"{address}/{name}/{self._version}"

    def __call__(self, inputs: Mapping) -> dict[str, tf.Tensor]:
        """The four outputs for ``{"moving", "fixed"}``, both (batch, D, H, W, 1) in [0, 1].

        Raises:
            InputError: the server cannot be reached any more, refuses the volumes or is too slow.
        """
        outputs = self._predict("serving_default", inputs).outputs
        return {name: tf.constant(tf.make_ndarray(value)) for name, value in outputs.items()}

    def __reduce__(self):
        """Connects anew in another process, to the same version."""
        settings = (self._address, self._name, self._version, self._tls, self._timeout)
        return RemoteModel, settings

    def _predict(self, signature: str, inputs: Mapping) -> predict_pb2.PredictResponse:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._name
        request.model_spec.signature_name = signature
        if isinstance(self._version, int):
            request.model_spec.version.value = self._version
        elif self._version is not None:
            request.model_spec.version_label = self._version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(np.asarray(value)))
        try:
            return self._stub.Predict(request, timeout=self._timeout)
        except grpc.RpcError as error:
            raise self._problem(error) from error

    def _problem(self, error: grpc.RpcError) -> InputError:
        meaning = _MEANING.get(error.code(), f"failed with {error.code().name}")
        version = "" if self._version is None else f" version {self._version}"
        return InputError(
            f"server {self._address}, model {self._name}{version}: "
            f"{meaning.format(timeout=self._timeout)} ({plain(error.details() or '')})."
        )


def _channel(address: str, tls: str | os.PathLike | None) -> grpc.Channel:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"server: HOST:PORT is needed, not {address!r}.")
    options = (*UNLIMITED, ("grpc.lb_policy_name", "round_robin"))
    if tls is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(read_pem(tls)), options)
