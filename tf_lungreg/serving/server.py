"""A local server with the interface of TensorFlow Serving, for places without containers.

It serves the newest version of each model and takes up newer ones while it runs. What TensorFlow
Serving has besides, labels, several versions at once, metrics, batching, it has not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent import futures
from dataclasses import dataclass
from typing import Any, cast

import grpc
from grpc import aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tf_lungreg.errors import InputError
from tf_lungreg.serving.services import MODEL, PREDICTION, ModelService, PredictionService
from tf_lungreg.serving.store import ModelStore
from tf_lungreg.serving.wire import UNLIMITED, Paths, read_identity

_REQUESTS = 32  # to run a signature at once, waiting ones included; each holds its volumes
_LOOK = 2.0  # seconds after which it looks for newer versions again
_OPTIONS = (
    *UNLIMITED,
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 128),  # calls of one connection, those sending nothing too
    ("grpc.keepalive_time_ms", 60_000),  # a peer that has vanished is noticed
    ("grpc.keepalive_timeout_ms", 20_000),
)


@dataclass(frozen=True)
class LocalServer:
    """A server that runs.

    Attributes:
        address: ``host:port``.
        store: what it serves.
    """

    address: str
    store: ModelStore
    _server: aio.Server
    _checks: Any
    _prediction: PredictionService

    def stop(self, grace: float | None = None) -> None:
        """Takes no more requests; those under way have ``grace`` seconds, None for none.

        Comes back at once; :meth:`wait` waits for the end.
        """
        self.store.stop()
        _soon(self._stop(grace))

    def wait(self) -> None:
        """Waits until the server has ended."""
        _soon(self._server.wait_for_termination()).result()

    async def _stop(self, grace: float | None) -> None:
        await self._checks.enter_graceful_shutdown()
        await self._server.stop(grace)
        self._prediction.close()


def start_server(
    models: Mapping[str, Paths],
    port: int = 8500,
    host: str = "127.0.0.1",
    tls: tuple[Paths, Paths] | None = None,
    trust: bool = False,
) -> LocalServer:
    """Serves models in the background: PredictionService, ModelService and gRPC health.

    Beyond 32 requests to run a signature at once, further ones are refused with
    RESOURCE_EXHAUSTED. Health and status are answered all the same.

    Args:
        models: name that clients ask for → exported model: its folder, whose newest version is
            served, also when it comes later, or that of one version.
        port: to listen on; 0 takes a free one.
        host: to listen on; the default is for this machine only.
        tls: PEM files of certificate and key.
        trust: see :func:`tf_lungreg.export.load_model`; newer versions that come are trusted too.

    Raises:
        MissingFileError, InputError: a model or a PEM file cannot be used, or the port is taken.
    """
    credentials = None
    if tls is not None:
        certificate, key = read_identity(*tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
    store = ModelStore(models, trust)
    server = _soon(_start(store, f"{host}:{port}", credentials)).result()
    store.watch(_LOOK)
    return server


async def _start(
    store: ModelStore, address: str, credentials: grpc.ServerCredentials | None
) -> LocalServer:
    server = aio.server(options=_OPTIONS)
    prediction = PredictionService(store, _REQUESTS)
    server.add_generic_rpc_handlers((prediction.handler(), ModelService(store).handler()))
    checks = cast("Any", health).aio.HealthServicer()  # a name that the module has by an import
    for service in ("", PREDICTION, MODEL):
        await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    _add_reflection(server)
    try:
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError:
        port = 0
    if not port:
        raise InputError(f"{address}: cannot listen there; another host or --port is needed.")
    await server.start()
    return LocalServer(f"{address.rpartition(':')[0]}:{port}", store, server, checks, prediction)


def _add_reflection(server: aio.Server) -> None:
    """Lets clients such as grpcurl ask for the services, where grpcio-reflection is installed."""
    try:
        from grpc_reflection.v1alpha import reflection
    except ImportError:
        return
    names = (PREDICTION, MODEL, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)


class _Background:
    """An event loop in a thread of its own; one for all servers, as gRPC polls for one loop."""

    def __init__(self):
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                run = self._loop.run_forever
                threading.Thread(target=run, name="server", daemon=True).start()
            return self._loop


_background = _Background()


def _soon(coroutine: Any) -> futures.Future[Any]:
    return asyncio.run_coroutine_threadsafe(coroutine, _background.loop())
