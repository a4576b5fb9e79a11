"""A local server with the interface of TensorFlow Serving, for places without containers.

It serves one version of one model. What TensorFlow Serving has besides, new versions while it
runs, labels, metrics, batching, it has not.
"""

from __future__ import annotations

import os
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tf_lungreg.errors import InputError
from tf_lungreg.export import find_model
from tf_lungreg.serving.services import ModelService, PredictionService, load_served
from tf_lungreg.serving.wire import NAME, UNLIMITED, read_pem

_THREADS = 8  # that answer; only one of them at a time has the network


@dataclass(frozen=True)
class LocalServer:
    """A server that runs.

    Attributes:
        address: ``host:port``.
        version: folder of the version that it serves.
        grpc_server: to stop it or to wait for its end.
    """

    address: str
    version: Path
    grpc_server: grpc.Server


def start_server(
    model: str | os.PathLike,
    port: int = 8500,
    host: str = "127.0.0.1",
    name: str = NAME,
    tls: tuple[str | os.PathLike, str | os.PathLike] | None = None,
) -> LocalServer:
    """Serves a model in the background: PredictionService, ModelService and gRPC health.

    Args:
        model: exported model: its folder, whose newest version is served, or a version's.
        port: to listen on; 0 takes a free one.
        host: to listen on; the default is for this machine only.
        name: that clients call the model by.
        tls: PEM files of certificate and key.

    Raises:
        MissingFileError, InputError: the model or a PEM file cannot be used, or the port is taken.
    """
    served = load_served(model, name)
    pool = futures.ThreadPoolExecutor(_THREADS)
    server = grpc.server(pool, options=(*UNLIMITED, ("grpc.so_reuseport", 0)))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(served), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(served), server)
    checks = health.HealthServicer()
    checks.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = _listen(server, f"{host}:{port}", tls)
    server.start()
    return LocalServer(f"{host}:{port}", find_model(model), server)


def _listen(server: grpc.Server, address: str, tls) -> int:
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
