"""The registration network: one encoder, a deformation and an affine decoder (paper 2.2, Fig. 1).

The paper gives the filters only in its figure. Those of the preset ``paper`` agree with every
count in its text: five encoder layers of 3 × 3 × 3 kernels whose 288 maps and the two images are
290 features, a receptive field of 25 × 25 × 25, a squeeze and excitation before the deformation
decoder, a global average and a linear layer for the affine parameters. It has 1.77 million
parameters.
"""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.layers import (
    AffineGrid,
    AffineMatrix,
    CumulativeIntegration,
    GridComposition,
    IdentityAffine,
    SpatialGradients,
    SpatialTransformer3D,
    SqueezeExcitation3D,
    UnitSpatialGradients,
    instance_normalization,
)
from tf_lungreg.models.presets import find_preset

# Coordinates run to hundreds of voxels, Φ lies near 1: half precision would lose both.
_FULL = {"dtype": "float32"}


def build_registration_model(
    preset: str = "paper",
    affine: bool = True,
    deformable: bool = True,
    anchor: str = "ends",
) -> tf.keras.Model:
    """Builds the network; untrained, it is the identity.

    Args:
        preset: a name in :data:`tf_lungreg.models.presets.PRESETS`.
        affine: without it, the paper's "w/o Affine": A stays the identity.
        deformable: without it, Φ stays 1.
        anchor: what the integration of Φ keeps in place, see :func:`tf_lungreg.ops.integrate`.

    Returns:
        A functional model from ``{"moving", "fixed"}``, both (batch, D, H, W, 1) in [0, 1] with
        D, H, W free, to a dictionary of

        - ``warped``: the moving image on the fixed grid, (batch, D, H, W, 1);
        - ``grid``: ``G(p) = G_N(G_A(p))``, the grid that was sampled, (batch, D, H, W, 3);
        - ``affine``: A, (batch, 3, 4);
        - ``spatial_gradients``: Φ, (batch, D, H, W, 3).

    Raises:
        InputError: an unknown preset, or both branches off.
    """
    sizes = find_preset(preset)
    if not (affine or deformable):
        raise InputError("affine, deformable: at least one of the two is needed.")
    moving = tf.keras.Input((None, None, None, 1), name="moving")
    fixed = tf.keras.Input((None, None, None, 1), name="fixed")
    features = _encode(moving, fixed, sizes)
    if affine:
        matrix = _decode_affine(features)
        affine_grid = AffineGrid(name="affine_grid" if deformable else "grid", **_FULL)(
            [matrix, fixed]
        )
    else:
        matrix = IdentityAffine(name="affine", **_FULL)(fixed)
    if deformable:
        gradients = _decode_deformation(features, sizes)
        deformable_grid = CumulativeIntegration(
            anchor, name="deformable_grid" if affine else "grid", **_FULL
        )(gradients)
    else:
        gradients = UnitSpatialGradients(name="spatial_gradients", **_FULL)(fixed)
    if affine and deformable:
        grid = GridComposition(name="grid", **_FULL)([affine_grid, deformable_grid])
    else:
        grid = affine_grid if affine else deformable_grid
    warped = SpatialTransformer3D(name="warped", **_FULL)([moving, grid])
    outputs = {"warped": warped, "grid": grid, "affine": matrix, "spatial_gradients": gradients}
    return tf.keras.Model({"moving": moving, "fixed": fixed}, outputs, name=f"lungreg_{preset}")


def _convolve(x, filters, dilation, name):
    """Convolution, instance normalization, LeakyReLU."""
    x = tf.keras.layers.Conv3D(filters, 3, padding="same", dilation_rate=dilation, name=name)(x)
    x = instance_normalization(name=f"{name}_norm")(x)
    return tf.keras.layers.LeakyReLU(name=f"{name}_relu")(x)


def _encode(moving, fixed, sizes):
    """Both images and the maps of every layer, merged: (batch, D, H, W, 2 + sum of filters)."""
    maps = [tf.keras.layers.Concatenate(name="pair")([moving, fixed])]
    for number, (filters, dilation) in enumerate(zip(sizes.encoder, sizes.dilations), start=1):
        maps.append(_convolve(maps[-1], filters, dilation, f"encoder_{number}"))
    return tf.keras.layers.Concatenate(name="merged")(maps)


def _decode_deformation(features, sizes):
    """Φ, (batch, D, H, W, 3)."""
    x = SqueezeExcitation3D(sizes.reduction, name="squeeze_excitation")(features)
    for number, filters in enumerate(sizes.decoder, start=1):
        x = _convolve(x, filters, 1, f"decoder_{number}")
    last = tf.keras.layers.Conv3D(
        3, 3, padding="same", kernel_initializer="zeros", name="gradient_logits", **_FULL
    )(x)
    return SpatialGradients(name="spatial_gradients", **_FULL)(last)


def _decode_affine(features):
    """A, (batch, 3, 4)."""
    pooled = tf.keras.layers.GlobalAveragePooling3D(name="pooled", **_FULL)(features)
    numbers = tf.keras.layers.Dense(
        12, kernel_initializer="zeros", name="affine_parameters", **_FULL
    )(pooled)
    return AffineMatrix(name="affine", **_FULL)(numbers)
