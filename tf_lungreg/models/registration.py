"""The registration network: from a pair to A and Φ, and from these to the grid (paper 2, Fig. 1).

Four networks find A and Φ: the paper's, one like it on a coarser grid, one that compares features,
and one that goes on from there to finer levels. All that follows is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.layers import (
    AffineGrid,
    CumulativeIntegration,
    GridComposition,
    IdentityAffine,
    SpatialTransformer3D,
    UnitSpatialGradients,
)
from tf_lungreg.models.coarse_to_fine import coarse_to_fine
from tf_lungreg.models.encoder_decoder import encoder_decoder
from tf_lungreg.models.fine import fine_matching
from tf_lungreg.models.keras_state import FLOAT, keras_defaults
from tf_lungreg.models.matching import matching
from tf_lungreg.models.presets import (
    PRESETS,
    CoarseToFine,
    EncoderDecoder,
    FineMatching,
    Matching,
    find_preset,
)
from tf_lungreg.models.recomputation import recomputing

_BRANCHES: dict[type, Callable[..., tuple[tf.Tensor | None, tf.Tensor | None]]] = {
    EncoderDecoder: encoder_decoder,
    CoarseToFine: coarse_to_fine,
    Matching: matching,
    FineMatching: fine_matching,
}

# Coordinates run to hundreds of voxels, Φ lies near 1: half precision would lose both.
_FULL = {"dtype": "float32"}


@keras_defaults()
def build_registration_model(
    preset: str = "paper",
    affine: bool = True,
    deformable: bool = True,
    anchor: str = "ends",
    mixed_precision: bool = False,
    recompute: bool = False,
) -> tf.keras.Model:
    """Builds the network; untrained, it is the identity.

    Keras' global float type, data format and dtype policy change nothing.

    Args:
        preset: a name in :data:`tf_lungreg.models.presets.PRESETS`.
        affine: without it, the paper's "w/o Affine": A stays the identity.
        deformable: without it, Φ stays 1.
        anchor: what the integration of Φ keeps in place, see :func:`tf_lungreg.ops.integrate`.
        mixed_precision: the convolutions compute in bfloat16. Weights, normalization, what the
            convolutions end in, and everything after it stay float32.
        recompute: gradient checkpointing, see :mod:`tf_lungreg.models.recomputation`: less memory
            and more time in training, the same results.

    Returns:
        A functional model from ``{"moving", "fixed"}``, both (batch, D, H, W, 1) in [0, 1] with
        D, H, W free, to a dictionary of

        - ``warped``: the moving image on the fixed grid, (batch, D, H, W, 1);
        - ``grid``: ``G(p) = G_N(G_A(p))``, the grid that was sampled, (batch, D, H, W, 3);
        - ``affine``: A, (batch, 3, 4);
        - ``spatial_gradients``: Φ, (batch, D, H, W, 3).

    Raises:
        InputError: an unknown preset, both branches off, or a preset without gradient
            checkpointing.
    """
    sizes = find_preset(preset).network
    if not (affine or deformable):
        raise InputError("affine, deformable: at least one of the two is needed.")
    if recompute:
        check_recompute(preset)
    moving = tf.keras.Input((None, None, None, 1), name="moving")
    fixed = tf.keras.Input((None, None, None, 1), name="fixed")
    branches = _BRANCHES[type(sizes)]
    with keras_defaults("mixed_bfloat16" if mixed_precision else FLOAT):
        matrix, gradients = branches(moving, fixed, sizes, affine, deformable)
    grids: list[tf.Tensor] = []
    if affine:
        name = "affine_grid" if deformable else "grid"
        grids.append(AffineGrid(name=name, **_FULL)([matrix, fixed]))
    else:
        matrix = IdentityAffine(name="affine", **_FULL)(fixed)
    if deformable:
        name = "deformable_grid" if affine else "grid"
        grids.append(CumulativeIntegration(anchor, name=name, **_FULL)(gradients))
    else:
        gradients = UnitSpatialGradients(name="spatial_gradients", **_FULL)(fixed)
    grid = GridComposition(name="grid", **_FULL)(grids) if len(grids) > 1 else grids[0]
    warped = SpatialTransformer3D(name="warped", **_FULL)([moving, grid])
    outputs = {"warped": warped, "grid": grid, "affine": matrix, "spatial_gradients": gradients}
    model = tf.keras.Model({"moving": moving, "fixed": fixed}, outputs, name=f"lungreg_{preset}")
    return recomputing(model) if recompute else model


def check_recompute(preset: str) -> None:
    """Refuses gradient checkpointing where it was not worth its time (docs/devices.md).

    Raises:
        InputError: the preset's network is not the paper's.
    """
    able = [name for name, other in PRESETS.items() if isinstance(other.network, EncoderDecoder)]
    if preset not in able:
        raise InputError(
            f"recompute: saves memory with the presets {', '.join(able)}, not with {preset!r}."
        )


def model_of_settings(settings: Mapping[str, Any]) -> tf.keras.Model:
    """The untrained network, in float32, of a training's recorded settings or a model card's."""
    names = ("preset", "affine", "deformable", "anchor")
    return build_registration_model(*(settings[name] for name in names))
