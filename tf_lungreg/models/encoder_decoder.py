"""The paper's network: one encoder, a deformation and an affine decoder (paper 2.2, Fig. 1).

The paper gives the filters only in its figure. Those of the preset ``paper`` agree with every
count in its text: five encoder layers of 3 × 3 × 3 kernels whose 288 maps and the two images are
290 features, a receptive field of 25 × 25 × 25, a squeeze and excitation before the deformation
decoder, a global average and a linear layer for the affine parameters. It has 1.77 million
parameters.
"""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.layers import (
    AffineMatrix,
    SpatialGradients,
    SqueezeExcitation3D,
    instance_normalization,
)
from tf_lungreg.models.presets import EncoderDecoder

# A and Φ become coordinates that run to hundreds of voxels: half precision would lose them.
_FULL = {"dtype": "float32"}


def encoder_decoder(
    moving: tf.Tensor, fixed: tf.Tensor, sizes: EncoderDecoder, affine: bool, deformable: bool
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """A, (batch, 3, 4), and Φ, (batch, D, H, W, 3); None for a branch that is off.

    Args:
        moving: Keras input, (batch, D, H, W, 1).
        fixed: Keras input, (batch, D, H, W, 1).
        sizes: of a preset.
        affine: whether there is the branch of A.
        deformable: whether there is the branch of Φ.
    """
    features = _encode(moving, fixed, sizes)
    matrix = decode_affine(features) if affine else None
    gradients = _decode_deformation(features, sizes) if deformable else None
    return matrix, gradients


def convolve(x: tf.Tensor, filters: int, dilation: int, name: str, strides: int = 1) -> tf.Tensor:
    """Convolution of 3 × 3 × 3, instance normalization, LeakyReLU.

    Args:
        x: feature maps, (batch, D, H, W, channels).
        filters: channels of the result.
        dilation: of the kernel.
        name: of the layer; the two after it are named after it.
        strides: of the kernel.
    """
    x = tf.keras.layers.Conv3D(
        filters, 3, strides, padding="same", dilation_rate=dilation, name=name
    )(x)
    x = instance_normalization(name=f"{name}_norm")(x)
    return tf.keras.layers.LeakyReLU(name=f"{name}_relu")(x)


def _encode(moving: tf.Tensor, fixed: tf.Tensor, sizes: EncoderDecoder) -> tf.Tensor:
    """Both images and the maps of every layer, merged: (batch, D, H, W, 2 + sum of filters)."""
    maps = [tf.keras.layers.Concatenate(name="pair")([moving, fixed])]
    for number, (filters, dilation) in enumerate(zip(sizes.encoder, sizes.dilations), start=1):
        maps.append(convolve(maps[-1], filters, dilation, f"encoder_{number}"))
    return tf.keras.layers.Concatenate(name="merged")(maps)


def _decode_deformation(features: tf.Tensor, sizes: EncoderDecoder) -> tf.Tensor:
    """Φ, (batch, D, H, W, 3)."""
    x = SqueezeExcitation3D(sizes.reduction, name="squeeze_excitation")(features)
    for number, filters in enumerate(sizes.decoder, start=1):
        x = convolve(x, filters, 1, f"decoder_{number}")
    last = tf.keras.layers.Conv3D(
        3, 3, padding="same", kernel_initializer="zeros", name="gradient_logits", **_FULL
    )(x)
    return SpatialGradients(name="spatial_gradients", **_FULL)(last)


def decode_affine(features: tf.Tensor) -> tf.Tensor:
    """A, (batch, 3, 4), from the means of feature maps of any size."""
    pooled = tf.keras.layers.GlobalAveragePooling3D(name="pooled", **_FULL)(features)
    numbers = tf.keras.layers.Dense(
        12, kernel_initializer="zeros", name="affine_parameters", **_FULL
    )(pooled)
    return AffineMatrix(name="affine", **_FULL)(numbers)
