"""What client and server agree on besides the messages: their size, and plain words for errors."""

from __future__ import annotations

import os
import re
from pathlib import Path

from tf_lungreg.errors import InputError
from tf_lungreg.files import check_file

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


def read_pem(path: str | os.PathLike[str]) -> bytes:
    """A certificate or key.

    Raises:
        MissingFileError, InputError: there is no such file, or it is no PEM file.
    """
    path = Path(path)
    check_file(path, "a PEM file")
    content = path.read_bytes()
    if b"-----BEGIN" not in content:
        raise InputError(f"{path}: not a PEM file; one with -----BEGIN is needed.")
    return content
