"""The trained model on one pair: images to its own grid, outputs to a transform in the world."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.arrays import Array
from tf_lungreg.export import ExportedModel
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.image import Image
from tf_lungreg.images.memory import check_memory
from tf_lungreg.images.network_frame import network_frame
from tf_lungreg.images.preparation import Window, to_network
from tf_lungreg.inference.forward import register_arrays
from tf_lungreg.parallel import at_once
from tf_lungreg.transforms.composed import ComposedTransform, composed_transform

# Bytes a voxel of the grid, of a pass as a whole, measured (docs/benchmarks.md, Growth): of the
# paper's network, and of the smallest one, which bounds all others from below.
_BYTES_OF_PASS = {"paper": 3400}
_BYTES_OF_SMALLEST = 150

NO_MODEL = "none"  # in place of a model: the identity, to be refined


class RegistrationModel(Protocol):
    """What registers two arrays: an exported model, one on a server, one in slabs.

    Attributes:
        path: where it is: a folder, or an address.
        card: its model card, whose ``settings`` have ``spacing`` and ``anchor``.
    """

    @property
    def path(self) -> Path | str:
        """Where it is."""
        ...

    @property
    def card(self) -> Mapping[str, Any]:
        """Its model card."""
        ...

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> Mapping[str, tf.Tensor]:
        """``warped``, ``grid``, ``affine``, ``spatial_gradients`` of ``moving`` and ``fixed``."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkPass:
    """One forward pass.

    Attributes:
        fixed: what the network saw, (D, H, W) in [0, 1].
        moving: what the network saw, after the initial translation.
        warped: the moving image as the network warped it.
        spatial_gradients: Φ, (D, H, W, 3); of a refined transform on its control grid.
        transform: the transform in the world.
        spacing: voxel size in mm along D, H, W of the grid that the network saw.
    """

    fixed: Array
    moving: Array
    warped: Array
    spatial_gradients: Array
    transform: ComposedTransform
    spacing: list[float]


def network_inputs(
    model: RegistrationModel,
    fixed: Image,
    moving: Image,
    window: Window = "auto",
    init: str = "center",
) -> dict[str, Array]:
    """Prepares two images for a model: ``model(network_inputs(model, fixed, moving))``.

    Args:
        model: its card states the voxel size.
        fixed: on any grid.
        moving: on any grid.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        init: see :func:`tf_lungreg.images.network_frame.network_frame`.

    Returns:
        ``fixed`` and ``moving``, each (1, D, H, W, 1) float32 in [0, 1] on the network's grid.

    Raises:
        InputError: ``window`` or ``init`` is invalid, or an image is constant.
    """
    frames = _frames(model, fixed, moving, init)
    arrays = _prepared(fixed, moving, frames, window)
    return dict(zip(("fixed", "moving"), (array[None, ..., None] for array in arrays)))


def run_network(
    model: RegistrationModel,
    fixed: Image,
    moving: Image,
    window: Window = "auto",
    init: str = "center",
    whole: bool = True,
) -> NetworkPass:
    """Registers two images on the fixed one's whole extent at the model's spacing.

    Args:
        model: its card's settings have ``spacing`` and ``anchor``, and, where the model has them,
            ``margin`` and ``voxels``, see :func:`tf_lungreg.images.network_frame.network_frame`.
        fixed: on any grid.
        moving: on any grid.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
        init: see :func:`tf_lungreg.images.network_frame.network_frame`.
        whole: whether the model runs at once, not slab by slab.

    Raises:
        InputError: ``window`` or ``init`` is invalid, an image is constant, or the model's grid
            over the fixed image does not fit into memory.
    """
    frames = _frames(model, fixed, moving, init)
    _check_room(model, frames[0], fixed.name, whole)
    seen = _prepared(fixed, moving, frames, window)
    outputs = register_arrays(model, *seen)
    gradients = outputs["spatial_gradients"]
    deformable_grid = ops.integrate(gradients, model.card["settings"]["anchor"])[0].numpy()
    return NetworkPass(
        fixed=seen[0],
        moving=seen[1],
        warped=outputs["warped"][0, ..., 0].numpy(),
        spatial_gradients=gradients[0].numpy(),
        transform=composed_transform(outputs["affine"][0].numpy(), deformable_grid, *frames),
        spacing=frames[0].spacing.round(6).tolist(),
    )


def _frames(
    model: RegistrationModel, fixed: Image, moving: Image, init: str
) -> tuple[Frame, Frame]:
    """The grids on which a model sees two images."""
    settings = model.card["settings"]
    return network_frame(
        fixed.frame,
        moving.frame,
        settings["spacing"],
        init=init,
        margin=settings.get("margin", 0),
        voxels=settings.get("voxels"),
    )


def _prepared(fixed: Image, moving: Image, frames: tuple[Frame, Frame], window: Window):
    """Both images on their grids, (D, H, W) in [0, 1] each."""
    return at_once(
        lambda: to_network(fixed, frames[0], window), lambda: to_network(moving, frames[1], window)
    )


def _check_room(model: RegistrationModel, frame: Frame, name: str, whole: bool) -> None:
    """Refuses a grid that the memory cannot hold: a header may state any size in mm."""
    needed = _BYTES_OF_SMALLEST
    here = isinstance(model, ExportedModel) and not tf.config.list_physical_devices("GPU")
    if whole and here:
        needed = _BYTES_OF_PASS.get(model.card["settings"].get("preset"), needed)
    shape, spacing = (
        " x ".join(map(str, values)) for values in (frame.shape, frame.spacing.round(2))
    )
    check_memory(
        f"{name}: the network's grid over the image has {shape} voxels of {spacing} mm",
        math.prod(frame.shape) * needed,
        "crop the image, correct the voxel size in its header, or run the network with --memory",
    )


def identity_model(spacing: tuple[float, float, float] = (5.0, 5.0, 5.0)) -> ExportedModel:
    """A model that leaves the moving image where it is: for refinement without a network.

    Args:
        spacing: voxel size in mm along D, H, W of the grid on which images are compared.
    """

    def leave(moving: tf.Tensor, fixed: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.shape(fixed)[1:4]
        return {
            "warped": moving,
            "grid": ops.identity_grid(shape),
            "affine": ops.identity_affine(),
            "spatial_gradients": tf.ones([1, shape[0], shape[1], shape[2], 3]),
        }

    settings = {"spacing": list(spacing), "anchor": "ends"}
    return ExportedModel(Path(NO_MODEL), {"settings": settings}, {}, {"serving_default": leave})
