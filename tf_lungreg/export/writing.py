"""Writing a model: the next version, whole or not at all, with its card and its warm-up."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.export.reading import CARD, list_versions
from tf_lungreg.export.signatures import VOXELS, RegistrationModule
from tf_lungreg.export.warmup import WARMUP_VOXELS, write_warmup
from tf_lungreg.files import one_line, write_json

# What is true of every model of this package; the rest of a card is the training's.
_ABOUT = {
    "description": "Registers a moving to a fixed 3D image: affine and dense smooth deformation.",
    "intended_use": "Research. Not a medical device.",
    "inputs": {
        "moving, fixed": "(batch, D, H, W, 1) in [0, 1], axes (P, I, L), voxels of "
        "settings.spacing mm, one shape",
    },
    "outputs": {
        "warped": "moving(G(p)), (batch, D, H, W, 1)",
        "grid": "G, in voxels of the moving image, (batch, D, H, W, 3)",
        "affine": "A, on coordinates from -1 to 1 between the outermost voxels, (batch, 3, 4)",
        "spatial_gradients": "the steps whose sums along each axis, anchored by "
        "settings.anchor, are the deformable grid, (batch, D, H, W, 3)",
    },
}

# Gradients of the custom layers would be more than half of the graph, and of the time to load it;
# training goes on from the weights, by the package's own layers.
_OPTIONS = tf.saved_model.SaveOptions(experimental_custom_gradients=False)


def export_model(
    model: tf.keras.Model,
    base: str | os.PathLike[str],
    card: dict[str, Any],
    voxels: int | None = None,
) -> Path:
    """Writes the next version of a model; what is there stays as it is.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`.
        base: the model's folder, which holds its versions.
        card: what a user must know of this model besides what is true of all; kept as JSON.
        voxels: that the graph takes in one request at most; None keeps the card's limit, or
            takes 32 million where it has none. The card holds it as ``limits.voxels``, not among
            the settings: they decide results, and the limit does not.

    Returns:
        The version's folder.

    Raises:
        InputError: the folder cannot be written, or the limit is too low.
    """
    most: int = card.get("limits", {}).get("voxels", VOXELS) if voxels is None else voxels
    if most < WARMUP_VOXELS:
        raise InputError(f"max-voxels: {WARMUP_VOXELS} or more are needed, not {most}.")
    base, card = Path(base), {**_ABOUT, **card, "limits": {"voxels": most}}
    module = RegistrationModule(model, card)

    def write(folder: Path) -> None:
        tf.saved_model.save(module, str(folder), module.signatures(), _OPTIONS)
        write_json(folder / CARD, card)
        write_warmup(folder, base.name)

    return add_version(base, write)


def add_version(base: Path, write: Callable[[Path], None]) -> Path:
    """Writes the next version of a model or classifier, whole or not at all.

    Args:
        base: the folder of the versions.
        write: writes the version's files to the folder that it is called with.

    Returns:
        The version's folder.

    Raises:
        InputError: the folder cannot be written.
    """
    temporary = base / f".partial-{uuid.uuid4().hex[:8]}"
    try:
        with one_line(base):
            base.mkdir(parents=True, exist_ok=True)
            write(temporary)
            return _rename_to_next(temporary, base)
    except tf.errors.OpError as error:  # a full disk, for example, is no OSError to TensorFlow
        reason = error.message.splitlines()[0]
        raise InputError(f"{base}: the model cannot be written ({reason}).") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _rename_to_next(temporary: Path, base: Path) -> Path:
    """Gives the folder the next number, or one higher where another export was faster."""
    while True:
        version = base / str(max(list_versions(base), default=0) + 1)
        try:
            return temporary.rename(version)
        except OSError:
            if not version.exists():
                raise
