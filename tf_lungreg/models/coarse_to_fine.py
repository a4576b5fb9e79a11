"""The preset ``fast``: the paper's two branches, with Φ predicted on every second voxel.

What costs the paper's network its time are convolutions of many maps at the full resolution. Lungs
move smoothly, so here they work at a quarter of it, the last one at a half, and Φ is brought to
every voxel by linear interpolation, which keeps it in [0, 2]. The pair is one image of two
channels, the encoder's layers are dilated, and their maps are merged as in the paper (2.2).
"""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.layers import LinearUpsampling3D, SpatialGradients, SqueezeExcitation3D
from tf_lungreg.models.encoder_decoder import convolve, decode_affine
from tf_lungreg.models.presets import CoarseToFine

_FULL = {"dtype": "float32"}


def coarse_to_fine(
    moving: tf.Tensor, fixed: tf.Tensor, sizes: CoarseToFine, affine: bool, deformable: bool
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """A, (batch, 3, 4), and Φ, (batch, D, H, W, 3); None for a branch that is off.

    Args:
        moving: Keras input, (batch, D, H, W, 1).
        fixed: Keras input, (batch, D, H, W, 1).
        sizes: of a preset.
        affine: whether there is the branch of A.
        deformable: whether there is the branch of Φ.
    """
    half, merged = _encode(moving, fixed, sizes)
    matrix = decode_affine(merged) if affine else None
    gradients = _decode_deformation(half, merged, fixed, sizes) if deformable else None
    return matrix, gradients


def _encode(
    moving: tf.Tensor, fixed: tf.Tensor, sizes: CoarseToFine
) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps at a half of the resolution; those of all layers and the pair, merged at a quarter."""
    pair = tf.keras.layers.Concatenate(name="pair")([moving, fixed])
    first, *others = sizes.encoder
    half = convolve(pair, first, sizes.dilations[0], "encoder_1", strides=2)
    maps = [_shrink(pair, 4, "pair_quarter"), _shrink(half, 2, "encoder_1_quarter")]
    x = half
    for number, (filters, dilation) in enumerate(zip(others, sizes.dilations[1:]), start=2):
        x = convolve(x, filters, dilation, f"encoder_{number}", strides=2 if number == 2 else 1)
        maps.append(x)
    return half, tf.keras.layers.Concatenate(name="merged")(maps)


def _decode_deformation(
    half: tf.Tensor, merged: tf.Tensor, volume: tf.Tensor, sizes: CoarseToFine
) -> tf.Tensor:
    """Φ, (batch, D, H, W, 3)."""
    x = SqueezeExcitation3D(sizes.reduction, name="squeeze_excitation")(merged)
    for number, filters in enumerate(sizes.decoder, start=1):
        x = convolve(x, filters, 1, f"decoder_{number}")
    filters = half.shape[-1]
    x = tf.keras.layers.Conv3D(filters, 1, name="decoder_narrow")(x)
    x = LinearUpsampling3D(name="decoder_upsampled")([x, half])
    x = tf.keras.layers.Add(name="decoder_sum")([x, half])
    x = convolve(x, filters, 1, "decoder_half")
    last = tf.keras.layers.Conv3D(
        3, 3, padding="same", kernel_initializer="zeros", name="gradient_logits", **_FULL
    )(x)
    coarse = SpatialGradients(name="coarse_gradients", **_FULL)(last)
    return LinearUpsampling3D(name="spatial_gradients", **_FULL)([coarse, volume])


def _shrink(x: tf.Tensor, times: int, name: str) -> tf.Tensor:
    """Means of blocks; those at the border of what they hold."""
    return tf.keras.layers.AveragePooling3D(times, padding="same", name=name)(x)
