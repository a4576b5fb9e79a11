"""What client and server agree on besides the messages: their size, and plain words for errors."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import Union

from tf_lungreg.errors import InputError
from tf_lungreg.files import check_file

Paths = Union[str, "os.PathLike[str]"]

NAME = "lungreg"  # of the model, where none is given

# A volume has 10 to 100 MB and the default limit is 4 MB; messages themselves end at 2 GiB.
UNLIMITED = (("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1))

_NOISE = re.compile(
    r"Graph execution error:.*<stack traces unavailable>|\[\[.*?\]\]|\{\{.*?\}\}|\[Op:.*?\]",
    re.DOTALL,
)


def plain(message: str) -> str:
    """An error of TensorFlow in one line, without the names of graph nodes."""
    return " ".join(_NOISE.sub(" ", message).split())


def read_authority(path: Paths) -> bytes:
    """The certificate of an authority, PEM.

    Raises:
        MissingFileError, InputError: there is no such file, or it holds no certificate.
    """
    content = _read_pem(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (ssl.SSLError, ValueError) as error:
        raise InputError(f"{path}: no certificate can be read from it ({error}).") from error
    return content


def read_identity(certificate: Paths, key: Paths) -> tuple[bytes, bytes]:
    """A certificate and its private key, PEM.

    Raises:
        MissingFileError, InputError: a file is missing or cannot be read, the key is encrypted, or
            it belongs to another certificate.
    """
    contents = _read_pem(certificate), _read_pem(key)
    try:  # a password is given, so that nobody is asked for one
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="-")
    except (ssl.SSLError, ValueError) as error:
        raise InputError(
            f"{certificate} and {key}: a certificate and its own key, not encrypted, are needed "
            f"({error})."
        ) from error
    return contents


def _read_pem(path: Paths) -> bytes:
    path = Path(path)
    check_file(path, "a PEM file")
    content = path.read_bytes()
    if b"-----BEGIN" not in content:
        raise InputError(f"{path}: not a PEM file; one with -----BEGIN is needed.")
    return content
