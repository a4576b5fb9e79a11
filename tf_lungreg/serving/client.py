"""A model that runs elsewhere: on TensorFlow Serving, or on ``tf-lungreg serve``."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tf_lungreg.errors import InputError
from tf_lungreg.serving.answers import ALL, read_card, read_registration
from tf_lungreg.serving.wire import NAME, UNLIMITED, plain, read_authority

_MEANING = {
    grpc.StatusCode.UNAVAILABLE: (
        "the server ended the call, which is not sent again, as it may have begun"
    ),
    grpc.StatusCode.CANCELLED: "the server is ending",
    grpc.StatusCode.NOT_FOUND: (
        "does not serve that model or version; see --model-name and --model-version"
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: "no answer within {timeout:g} s",
    grpc.StatusCode.INVALID_ARGUMENT: "refuses the request",
    grpc.StatusCode.FAILED_PRECONDITION: "cannot do that",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "has no room for it now",
    grpc.StatusCode.UNIMPLEMENTED: "does not speak TensorFlow Serving's protocol",
}

# Seconds to wait for a connection, in which gRPC tries again. A call itself is sent once:
# UNAVAILABLE also means that the server ended while it computed, perhaps because of this call.
_PATIENCE = 3.5

# Of the network, those that a registration needs: the grid follows from them.
NEEDED = ("warped", "affine", "spatial_gradients")


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
        outputs: of the network that are sent back; None for all four.

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
        tls: str | os.PathLike[str] | None = None,
        timeout: float = 600,
        outputs: Sequence[str] | None = None,
    ):
        _check(name, version, timeout)
        self._address, self._name, self._version = address, name, version
        self._tls, self._timeout, self._outputs = tls, timeout, outputs
        self._channel = _channel(address, tls)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._models = model_service_pb2_grpc.ModelServiceStub(self._channel)
        response = self._predict("card", {"query": np.zeros(1, np.int32)})
        try:
            self.card = read_card(response)
        except InputError as error:
            raise self._error(f"{error}; serve a model that this package exported") from error
        # A newer version may be loaded between two calls; what follows goes with this card.
        self._version = response.model_spec.version.value
        self.path = f"{address}/{name}/{self._version}"

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        """The outputs for ``{"moving", "fixed"}``, both (batch, D, H, W, 1) in [0, 1].

        Raises:
            InputError: the server cannot be reached any more, refuses the images, is too slow, or
                answers with something else than a registration.
        """
        response = self._predict("serving_default", inputs, self._outputs)
        shape = np.shape(inputs["moving"])[:4]
        try:
            return read_registration(response, self._outputs or ALL, shape)
        except InputError as error:
            raise self._error(f"{error}; nothing is made of this answer") from error

    def __reduce__(self) -> tuple[type[RemoteModel], tuple[Any, ...]]:
        """Connects anew in another process, to the same version."""
        settings = (self._address, self._name, self._version, self._tls, self._timeout)
        return RemoteModel, (*settings, self._outputs)

    def status(self) -> dict[int, str]:
        """The state of each version of the model on the server, such as ``"AVAILABLE"``.

        Raises:
            InputError: the server cannot be reached or does not know the model.
        """
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = self._name
        states = get_model_status_pb2.ModelVersionStatus.State
        found = self._call(self._models.GetModelStatus, request).model_version_status
        return {each.version: states.Name(each.state) for each in found}

    def signatures(self) -> dict[str, meta_graph_pb2.SignatureDef]:
        """The functions of the model, with names, types and shapes of their tensors.

        Raises:
            InputError: the server cannot be reached or does not serve the model.
        """
        request = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=self._spec(), metadata_field=["signature_def"]
        )
        response = self._call(self._stub.GetModelMetadata, request)
        found = get_model_metadata_pb2.SignatureDefMap()
        if not response.metadata["signature_def"].Unpack(found):
            raise self._error("answers without signatures; another server is needed")
        return dict(found.signature_def)

    def _predict(
        self, signature: str, inputs: Mapping[str, Any], outputs: Sequence[str] | None = None
    ) -> predict_pb2.PredictResponse:
        request = predict_pb2.PredictRequest(model_spec=self._spec(), output_filter=outputs)
        request.model_spec.signature_name = signature
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(np.asarray(value)))
        return self._call(self._stub.Predict, request)

    def _spec(self) -> model_pb2.ModelSpec:
        spec = model_pb2.ModelSpec(name=self._name)
        if isinstance(self._version, int):
            spec.version.value = self._version
        elif self._version is not None:
            spec.version_label = self._version
        return spec

    def _call(self, method: Callable[..., Any], request: Any) -> Any:
        end = time.monotonic() + self._timeout
        connected = self._connect(min(_PATIENCE, self._timeout))
        try:
            return method(request, timeout=max(end - time.monotonic(), 1e-3))
        except grpc.RpcError as error:
            raise self._problem(error, connected) from error

    def _connect(self, seconds: float) -> bool:
        """Waits for a connection. Without one, the call that follows fails with the reason."""
        ready = grpc.channel_ready_future(self._channel)
        try:
            ready.result(seconds)
        except grpc.FutureTimeoutError:
            return False
        finally:
            ready.cancel()
        return True

    def _problem(self, error: grpc.RpcError, connected: bool) -> InputError:
        code = error.code()
        meaning = _MEANING.get(code, f"failed with {code.name}")
        if code == grpc.StatusCode.UNAVAILABLE and not connected:
            meaning = "no server answers there"
        words = plain(error.details() or "")
        return self._error(f"{meaning.format(timeout=self._timeout)} ({words})")

    def _error(self, what: str) -> InputError:
        version = "" if self._version is None else f" version {self._version}"
        return InputError(f"server {self._address}, model {self._name}{version}: {what}.")


def _check(name: str, version: int | str | None, timeout: float) -> None:
    """Refuses what no server could answer."""
    if not name:
        raise InputError("model-name: the name of a model on the server is needed, not ''.")
    if isinstance(version, int) and not 0 <= version < 2**63:
        raise InputError(f"model-version: 0 to {2**63 - 1} is needed, not {version}.")
    if not 0 < timeout < float("inf"):
        raise InputError(f"timeout: seconds, more than 0, are needed, not {timeout}.")


def _is_local(host: str) -> bool:
    """Whether a host, perhaps with gRPC's scheme before it, is this machine."""
    name = host.rpartition("/")[2].strip("[]")
    try:
        address = ipaddress.ip_address(name)
        return address.is_loopback or address.is_unspecified
    except ValueError:
        return name.lower() == "localhost"


def _channel(address: str, tls: str | os.PathLike[str] | None) -> grpc.Channel:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"server: HOST:PORT is needed, PORT 1 to 65535, not {address!r}.")
    options = (
        *UNLIMITED,
        # A proxy reaches the network, not this machine: asked for localhost it means its own.
        ("grpc.enable_http_proxy", int(not _is_local(host))),
        ("grpc.lb_policy_name", "round_robin"),
        ("grpc.initial_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 5000),
    )
    if tls is None:
        return grpc.insecure_channel(address, options)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(read_authority(tls)), options)
