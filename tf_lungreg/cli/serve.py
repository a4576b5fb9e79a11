"""Serve a model over gRPC as TensorFlow Serving does, on this machine and without a container."""

from __future__ import annotations

import argparse
import signal

from tf_lungreg.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg serve``."""
    parser.add_argument("--model", help="exported model (default: see docs/registration.md)")
    parser.add_argument("--name", default="lungreg", help="that clients ask for (%(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8500, help="(default: %(default)s)")
    parser.add_argument("--tls-certificate", metavar="PEM", help="encrypts, with --tls-key")
    parser.add_argument("--tls-key", metavar="PEM", help="the certificate's private key")


def run(options: argparse.Namespace) -> None:
    """Serves until it is interrupted or terminated."""
    tls = (options.tls_certificate, options.tls_key)
    if (tls[0] is None) != (tls[1] is None):
        raise InputError("--tls-certificate and --tls-key: both are needed, or neither.")
    if not 0 <= options.port < 65536:
        raise InputError(f"--port: 0 to 65535 is needed, not {options.port}.")
    from tf_lungreg.registration.default_model import default_model
    from tf_lungreg.serving.server import start_server

    server = start_server(
        default_model() if options.model is None else options.model,
        options.port,
        options.host,
        options.name,
        None if tls[0] is None else tls,
    )
    signal.signal(signal.SIGTERM, lambda *_: server.grpc_server.stop(grace=30))
    print(f"serving {options.name}, {server.version}, at {server.address}", flush=True)
    server.grpc_server.wait_for_termination()
