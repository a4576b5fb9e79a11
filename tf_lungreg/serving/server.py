"""A local server with the interface of TensorFlow Serving, for places without containers.

It serves the newest version of each model and takes up newer ones while it runs. What TensorFlow
Serving has besides, labels, several versions at once, metrics, batching, it has not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tf_lungreg.errors import InputError
from tf_lungreg.serving.services import ModelService, PredictionService
from tf_lungreg.serving.store import ModelStore
from tf_lungreg.serving.wire import UNLIMITED, read_pem

_THREADS = 8  # that answer; only one of them at a time has the network
_REQUESTS = 32  # at once, waiting ones included; each holds its volumes in memory
_LOOK = 2.0  # seconds after which it looks for newer versions again


@dataclass(frozen=True)
class LocalServer:
    """A server that runs.

    Attributes:
        address: ``host:port``.
        store: what it serves.
        grpc_server: to stop it or to wait for its end.
    """

    address: str
    store: ModelStore
    grpc_server: grpc.Server

    def stop(self, grace: float | None = None) -> None:
        """Takes no more requests; those under way have ``grace`` seconds, None for none.

        Comes back at once; ``grpc_server.wait_for_termination()`` waits for the end.
        """
        self.store.stop()
        self.grpc_server.stop(grace)


def start_server(
    models: Mapping[str, str | os.PathLike[str]],
    port: int = 8500,
    host: str = "127.0.0.1",
    tls: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
) -> LocalServer:
    """Serves models in the background: PredictionService, ModelService and gRPC health.

    Requests beyond 32 at once are refused with RESOURCE_EXHAUSTED.

    Args:
        models: name that clients ask for → exported model: its folder, whose newest version is
            served, also when it comes later, or that of one version.
        port: to listen on; 0 takes a free one.
        host: to listen on; the default is for this machine only.
        tls: PEM files of certificate and key.

    Raises:
        MissingFileError, InputError: a model or a PEM file cannot be used, or the port is taken.
    """
    store = ModelStore(models)
    server = grpc.server(
        futures.ThreadPoolExecutor(_THREADS),
        options=(*UNLIMITED, ("grpc.so_reuseport", 0)),
        maximum_concurrent_rpcs=_REQUESTS,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(store), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(store), server)
    checks = health.HealthServicer()
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = _listen(server, f"{host}:{port}", tls)
    server.start()
    store.watch(_LOOK)
    return LocalServer(f"{host}:{port}", store, server)


def _listen(server: grpc.Server, address: str, tls: Sequence[str | os.PathLike[str]] | None) -> int:
    credentials = None
    if tls is not None:
        certificate, key = map(read_pem, tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise InputError(f"{address}: cannot listen there; another host or --port is needed.")
    return port
