"""The trained model on one pair: images to its own grid, outputs to a transform in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg import ops
from tf_lungreg.data.io import Volume
from tf_lungreg.data.preprocessing import Window, to_network
from tf_lungreg.evaluation import register_arrays
from tf_lungreg.export import ExportedModel
from tf_lungreg.geometry import network_frame
from tf_lungreg.registration.transform import WorldTransform, world_transform


@dataclass(frozen=True, eq=False)
class NetworkPass:
    """One forward pass.

    Attributes:
        fixed: what the network saw, (D, H, W) in [0, 1].
        moving: what the network saw, after the initial translation.
        warped: the moving image as the network warped it.
        spatial_gradients: Φ, (D, H, W, 3).
        transform: the transform in the world.
    """

    fixed: np.ndarray
    moving: np.ndarray
    warped: np.ndarray
    spatial_gradients: np.ndarray
    transform: WorldTransform


def run_network(
    model: ExportedModel, fixed: Volume, moving: Volume, window: Window = "auto", init="center"
) -> NetworkPass:
    """Registers two volumes on the fixed one's whole extent at the model's spacing.

    Args:
        model: with ``spacing`` and ``anchor`` in its card's settings.
        fixed: on any grid.
        moving: on any grid.
        window: see :func:`tf_lungreg.data.preprocessing.window_limits`.
        init: see :func:`tf_lungreg.geometry.network_frame`.

    Raises:
        InputError: the window or ``init`` is none, or an image is constant.
    """
    settings = model.card["settings"]
    frames = network_frame(fixed.frame, moving.frame, settings["spacing"], init=init)
    seen = [to_network(v, frame, window) for v, frame in zip((fixed, moving), frames)]
    outputs = register_arrays(model, *seen)
    gradients = outputs["spatial_gradients"]
    deformable_grid = ops.integrate(gradients, settings["anchor"])[0].numpy()
    return NetworkPass(
        fixed=seen[0],
        moving=seen[1],
        warped=outputs["warped"][0, ..., 0].numpy(),
        spatial_gradients=gradients[0].numpy(),
        transform=world_transform(outputs["affine"][0].numpy(), deformable_grid, *frames),
    )
