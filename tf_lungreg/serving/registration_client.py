"""Registration of files, with the network's pass on a server."""

from __future__ import annotations

import os
from typing import Any

from tf_lungreg.images.image import AnyImage
from tf_lungreg.registration.pipeline import register
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.serving.client import NEEDED, RemoteModel
from tf_lungreg.serving.wire import NAME


class RegistrationClient:
    """Registers pairs of images as :func:`tf_lungreg.register` does, without a model here.

    Args:
        target: ``host:port`` of TensorFlow Serving or of ``tf-lungreg serve``.
        name: of the model on the server.
        version: a number, or a label such as ``"stable"``; by default the server's newest.
        tls: PEM file of the authority that signed the server's certificate.
        timeout: seconds to wait for an answer.

    Attributes:
        model: the network on the server, a :class:`~tf_lungreg.serving.client.RemoteModel`.

    Raises:
        MissingFileError: there is no such PEM file.
        InputError: the server cannot be reached or does not serve that model.
    """

    def __init__(
        self,
        target: str,
        name: str = NAME,
        version: int | str | None = None,
        tls: str | os.PathLike[str] | None = None,
        timeout: float = 600,
    ):
        self.model = RemoteModel(target, name, version, tls, timeout, outputs=NEEDED)

    def register(
        self,
        fixed: AnyImage,
        moving: AnyImage,
        **options: Any,
    ) -> RegistrationResult:
        """Registers two images.

        Args:
            fixed: a file or an image, see :func:`tf_lungreg.register`.
            moving: the image that is deformed, in the same way.
            **options: of :func:`tf_lungreg.register`, save ``model``.

        Raises:
            MissingFileError, InputError: a file or an argument cannot be used, or the server
                cannot be reached any more, refuses the images or is too slow.
        """
        return register(fixed, moving, model=self.model, **options)
