"""The models that a local server has: the newest version of each, also when a newer one comes."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import model_pb2

from tf_lungreg.errors import USER_ERRORS, InputError, MissingFileError
from tf_lungreg.export import find_model, load_model
from tf_lungreg.export.reading import is_version

_log = logging.getLogger(__name__)


class NotServed(Exception):
    """What a request asks for is not here.

    Args:
        code: TensorFlow Serving's status code for it.
        message: its words.

    Attributes:
        code: the same.
    """

    def __init__(self, code: grpc.StatusCode, message: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, eq=False)
class ServedVersion:
    """A version that is loaded.

    Attributes:
        name: of the model, that clients ask for.
        number: of the version.
        path: its folder.
        functions: signature → function.
        definitions: signature → names, types and shapes of its tensors.
    """

    name: str
    number: int
    path: Path
    functions: dict[str, Any]
    definitions: dict[str, meta_graph_pb2.SignatureDef]

    def spec(self, signature: str = "") -> model_pb2.ModelSpec:
        """What answers say of the model."""
        spec = model_pb2.ModelSpec(name=self.name, signature_name=signature)
        spec.version.value = self.number
        return spec


def load_version(name: str, path: Path, trust: bool = False) -> ServedVersion:
    """Loads a version.

    Args:
        name: that clients ask for.
        path: the version's folder.
        trust: see :func:`tf_lungreg.export.load_model`.

    Raises:
        MissingFileError, InputError: it is no model of this package, or not in a version's folder.
    """
    if not is_version(path.name):
        raise InputError(f"{path}: the folder of a version, a number, is needed.")
    functions = load_model(path, trust).signatures
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    return ServedVersion(
        name, int(path.name), path, functions, {key: definitions[key] for key in functions}
    )


class ModelStore:
    """The newest version of each of some models, and the network's one pass at a time.

    A pass at the paper's size takes gigabytes, and all cores. A request keeps the version that it
    began with: a newer one takes the place of an old one for requests that come after it, and the
    old one is given back when its last request has been answered.

    Args:
        models: name → exported model: its folder, whose newest version is served, or a version's.
        trust: see :func:`tf_lungreg.export.load_model`.

    Raises:
        MissingFileError, InputError: a model cannot be used.
    """

    def __init__(self, models: Mapping[str, str | os.PathLike[str]], trust: bool = False):
        self._trust = trust
        self._folders = {name: Path(path) for name, path in models.items()}
        self._served = {n: load_version(n, find_model(p), trust) for n, p in self._folders.items()}
        self._refused: dict[Path, str] = {}  # version → reason
        self._turn = threading.Lock()
        self._stopped = threading.Event()

    @property
    def versions(self) -> list[ServedVersion]:
        """What is served now."""
        return list(self._served.values())

    def find(self, spec: model_pb2.ModelSpec) -> ServedVersion:
        """The version that a request asks for.

        Raises:
            NotServed: the model, version or label is not here; in TensorFlow Serving's words.
        """
        served, number = self._served.get(spec.name), spec.version.value
        if spec.version_label:
            raise NotServed(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"Unrecognized servable version label: {spec.version_label}",
            )
        if spec.HasField("version"):
            if served is None or served.number != number:
                message = f"Servable not found for request: Specific({spec.name}, {number})"
                raise NotServed(grpc.StatusCode.NOT_FOUND, message)
        elif served is None:
            message = f"Servable not found for request: Latest({spec.name})"
            raise NotServed(grpc.StatusCode.NOT_FOUND, message)
        return served

    @contextmanager
    def turn(self) -> Generator[None]:
        """Waits for the network and keeps it."""
        with self._turn:
            yield

    def refresh(self) -> None:
        """Loads each version that is newer than what is served.

        One that cannot be loaded is logged as an error, once for each reason. The old one stays,
        and the new one is tried again at the next look, as the copy may not be complete.
        """
        for name, folder in self._folders.items():
            try:
                path = find_model(folder)
            except USER_ERRORS:  # taken away: what is loaded is served on
                continue
            if path == self._served[name].path:
                continue
            try:
                self._served[name] = load_version(name, path, self._trust)
            except USER_ERRORS as error:
                if self._refused.get(path) != str(error):
                    _log.error("%s", error)
                self._refused[path] = str(error)
            else:
                self._refused.pop(path, None)
                _log.info("serving %s, %s", name, path)

    def watch(self, seconds: float) -> None:
        """Refreshes now and then, in the background, until :meth:`stop`."""

        def look():
            while not self._stopped.wait(seconds):
                try:
                    self.refresh()
                except Exception:  # a file system may fail in any way; the next look may succeed
                    _log.exception("looking for newer versions failed")

        threading.Thread(target=look, name="models", daemon=True).start()

    def stop(self) -> None:
        """Ends the watching."""
        self._stopped.set()


def models_of(folder: str | os.PathLike[str]) -> dict[str, Path]:
    """The models in a folder by name: every folder in it that has a version.

    Raises:
        MissingFileError: there is no such folder.
        InputError: no model is in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder; one of exported models is needed.")
    found = {}
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        try:
            if find_model(path) != path:
                found[path.name] = path
        except USER_ERRORS:
            continue
    if not found:
        raise InputError(f"{folder}: no model is in it; one as in {folder}/NAME/1 is needed.")
    return found
