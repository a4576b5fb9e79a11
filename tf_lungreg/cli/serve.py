"""Serve models over gRPC as TensorFlow Serving does, on this machine and without a container."""

from __future__ import annotations

import argparse
import signal

from tf_lungreg.errors import InputError

_GRACE = 600  # seconds for what is under way when the server is told to end


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``tf-lungreg serve``."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="exported model (default: see docs/registration.md)")
    which.add_argument("--models", metavar="DIR", help="folder of models, served by their names")
    parser.add_argument("--name", help="that clients ask for, of --model (default: lungreg)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8500, help="(default: %(default)s)")
    parser.add_argument("--tls-certificate", metavar="PEM", help="encrypts, with --tls-key")
    parser.add_argument("--tls-key", metavar="PEM", help="the certificate's private key")
    parser.add_argument(
        "--trust",
        action="store_true",
        help="serve a model even if its graph may reach files, the network or Python",
    )


def run(options: argparse.Namespace) -> None:
    """Serves until it is interrupted or terminated."""
    tls = (options.tls_certificate, options.tls_key)
    if (tls[0] is None) != (tls[1] is None):
        raise InputError("--tls-certificate and --tls-key: both are needed, or neither.")
    if not 0 <= options.port < 65536:
        raise InputError(f"--port: 0 to 65535 is needed, not {options.port}.")
    if options.models is not None and options.name is not None:
        raise InputError("--name: belongs to --model; in --models each folder is a name.")
    from tf_lungreg.inference.default_model import default_model
    from tf_lungreg.serving.server import start_server
    from tf_lungreg.serving.store import models_of
    from tf_lungreg.serving.wire import NAME

    if options.models is not None:
        models = models_of(options.models)
    else:
        models = {options.name or NAME: default_model() if options.model is None else options.model}
    tls = None if tls[0] is None else tls
    server = start_server(models, options.port, options.host, tls, options.trust)
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=_GRACE))
    for version in server.store.versions:
        print(f"serving {version.name}, {version.path}, at {server.address}", flush=True)
    try:
        server.wait()
    except KeyboardInterrupt:
        server.stop()  # whoever waits is told so before this process ends
        server.wait()
        raise
