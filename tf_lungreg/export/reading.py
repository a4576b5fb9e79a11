"""Finding a model's newest version and loading it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError, MissingFileError
from tf_lungreg.export.operations import check_operations
from tf_lungreg.files import read_json

CARD = Path("assets.extra") / "model_card.json"

_STORED = re.compile(r"weights/(.+)/\.ATTRIBUTES/VARIABLE_VALUE")  # RegistrationModule.weights


def list_versions(base: Path) -> list[int]:
    """The numbers of the versions in a model's folder, in no order."""
    return [int(p.name) for p in base.iterdir() if p.is_dir() and is_version(p.name)]


def is_version(name: str) -> bool:
    """Whether a folder's name is a version's: a number in ASCII digits that int64 can hold.

    >>> [is_version(name) for name in ("3", "²", "٣", "-1", "9" * 19)]
    [True, False, False, False, False]
    """
    return name.isascii() and name.isdecimal() and int(name) < 2**63


def find_model(path: str | os.PathLike[str]) -> Path:
    """The version's folder of a model: the path itself, or the highest version below it.

    Raises:
        MissingFileError: there is no such folder.
        InputError: the folder holds no SavedModel.
    """
    path = Path(path)
    if not path.is_dir():
        raise MissingFileError(f"{path}: no such folder; a model that was exported is needed.")
    if (path / "saved_model.pb").is_file():
        return path
    for version in sorted(list_versions(path), reverse=True):
        if (path / str(version) / "saved_model.pb").is_file():
            return path / str(version)
    raise InputError(f"{path}: no SavedModel is in it, nor in a numbered folder below it.")


@dataclass(frozen=True)
class ExportedModel:
    """A model read back.

    Attributes:
        path: the version's folder.
        card: its model card.
        weights: arrays under the names of :func:`tf_lungreg.models.weights.named_weights`.
        signatures: its functions by name.
    """

    path: Path
    card: dict[str, Any]
    weights: dict[str, Array]
    signatures: dict[str, Any]

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The four outputs for ``{"moving", "fixed"}``, as the Keras model gives them."""
        return self.signatures["serving_default"](**inputs)


def read_card(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The model card of an exported model.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no model of this package.
    """
    file = find_model(path) / CARD
    try:
        card = read_json(file)
        dict(card.get("settings", {}))
        return card
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file}: no model card can be read; a model exported by this package is needed."
        ) from error


def load_model(path: str | os.PathLike[str], trust: bool = False) -> ExportedModel:
    """Loads an exported model.

    Args:
        path: the model's folder, or a version's.
        trust: loads it even if its graph could do more than compute. A SavedModel is a program:
            say so only of one whose source you trust.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no model of this package, or an operation that could reach files,
            the network or Python.
    """
    version = find_model(path)
    card = read_card(version)
    if not trust:
        check_operations(version)
    try:
        with _without_notice_of_gradients():
            loaded = tf.saved_model.load(str(version))
    except (OSError, ValueError, AttributeError, LookupError, tf.errors.OpError) as error:
        raise _not_a_model(version, error) from error
    if not {"moving", "fixed"} <= _inputs(loaded.signatures.get("serving_default")):
        raise _not_a_model(version, "it takes no pair of images")
    return ExportedModel(version, card, read_weights(version), dict(loaded.signatures))


def shared_model(path: str | os.PathLike[str]) -> ExportedModel:
    """An exported model that stays loaded in this process, for the next call with the same path.

    Loading takes as long as a registration, and so does a model's first pass, which traces its
    graph. The last ``_KEPT`` models stay; one whose files have changed is loaded again. Threads may
    call this at once.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no model of this package.
    """
    version = find_model(path)
    key = version.resolve()
    with _lock:
        stamp = _stamp(key)
        kept = _shared.pop(key, None)
        if kept is None or kept[0] != stamp:
            kept = (stamp, load_model(version))
        _shared[key] = kept  # the last one in the dictionary is the one used last
        while len(_shared) > _KEPT:
            del _shared[next(iter(_shared))]
        return kept[1]


_KEPT = 2
_shared: dict[Path, tuple[list[tuple[Path, int, int]], ExportedModel]] = {}
_lock = threading.Lock()


def _stamp(version: Path) -> list[tuple[Path, int, int]]:
    """Each file with its size and time of change: it differs once another model was written."""
    files = sorted(file for file in version.rglob("*") if file.is_file())
    return [(file, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


def read_weights(path: str | os.PathLike[str]) -> dict[str, Array]:
    """The weights of an exported model alone, without its graph, which takes seconds to load.

    Returns:
        Arrays under the names of :func:`tf_lungreg.models.weights.named_weights`.

    Raises:
        MissingFileError: there is no such folder.
        InputError: it holds no model of this package.
    """
    version = find_model(path)
    try:
        reader = tf.train.load_checkpoint(str(version / "variables" / "variables"))
        keys = {key: _STORED.fullmatch(key) for key in reader.get_variable_to_shape_map()}
        weights = {  # TensorFlow doubles the dots of names in its keys
            match[1].replace("..", "."): reader.get_tensor(key)
            for key, match in keys.items()
            if match
        }
    except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
        raise _not_a_model(version, error) from error
    if not weights:
        raise _not_a_model(version, "no weights")
    return weights


def model_checksum(card: Mapping[str, Any], weights: Mapping[str, Array]) -> str | None:
    """SHA-256 of what decides a model's results: its weights and settings.

    Args:
        card: the model card.
        weights: of :func:`read_weights`; a model without any has no checksum.
    """
    if not weights:
        return None
    digest = hashlib.sha256(json.dumps(card.get("settings"), sort_keys=True).encode())
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(weights[name]).tobytes())
    return digest.hexdigest()


def _inputs(signature: Any | None) -> set[str]:
    """The names of what a signature, a concrete function of TensorFlow, takes."""
    return set() if signature is None else set(signature.structured_input_signature[1])


@contextmanager
def _without_notice_of_gradients() -> Generator[None]:
    """An exported graph has no gradients of its custom layers, which TensorFlow warns of."""

    def keep(record: logging.LogRecord) -> bool:
        return "unsaved custom gradients" not in record.getMessage()

    logger = logging.getLogger("absl")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _not_a_model(version: Path, reason: str | Exception) -> InputError:
    return InputError(f"{version}: not a model of this package ({str(reason).splitlines()[0]}).")
