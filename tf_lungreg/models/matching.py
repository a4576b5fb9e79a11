"""The preset ``general``: both images' features are compared, not only read side by side.

The paper's encoder sees the two images as channels of one and must learn from examples what a
displacement looks like; that takes the images of a cohort and hours. Here one encoder reads each
image by itself, and correlation at all shifts of a neighbourhood says where in the other image each
place is found, as in optical flow (Dosovitskiy et al. 2015, Sun et al. 2018). It needs fewer
examples and depends less on what the images look like. Φ, A and all that follows are the paper's.
"""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.layers import (
    BackAlignment3D,
    DisplacedSampling3D,
    DisplacementGradients,
    ExpectedShift,
    FittedAffine,
    LinearUpsampling3D,
    LocalCorrelation3D,
    instance_normalization,
)
from tf_lungreg.models.presets import Matching

_FULL = {"dtype": "float32"}


def matching(moving, fixed, sizes: Matching, affine: bool, deformable: bool):
    """A, (batch, 3, 4), and Φ, (batch, D, H, W, 3); None for a branch that is off.

    Args:
        moving: Keras input, (batch, D, H, W, 1).
        fixed: Keras input, (batch, D, H, W, 1).
        sizes: of a preset.
        affine: whether there is the branch of A.
        deformable: whether there is the branch of Φ.
    """
    extract = _extractor(sizes)
    (moving_fine, moving_coarse), (fixed_fine, fixed_coarse) = extract(moving), extract(fixed)
    matrix = gradients = None
    if affine:
        matrix = _decode_affine(fixed_coarse, moving_coarse, sizes)
    if deformable:
        if affine:
            # Φ lives between the two transforms of Eq. 3: there the fixed image is the one that
            # the inverse of A has brought to the moving image.
            align = {4: "coarse_aligned", 2: "fine_aligned"}
            fixed_coarse = BackAlignment3D(4, name=align[4], **_FULL)([fixed_coarse, matrix])
            fixed_fine = BackAlignment3D(2, name=align[2], **_FULL)([fixed_fine, matrix])
        coarse = (fixed_coarse, moving_coarse)
        gradients = _decode_deformation(coarse, (fixed_fine, moving_fine), fixed, sizes)
    return matrix, gradients


def _extractor(sizes):
    """A function from an image to its features at a half and at a quarter of the resolution."""
    first, second, third = sizes.encoder
    conv = tf.keras.layers.Conv3D
    same = {"padding": "same"}
    shrink = conv(first, 2, strides=2, name="encoder_shrink_1", **same)
    fine = conv(second, 3, name="encoder_fine", **same)
    shrink_again = conv(third, 2, strides=2, name="encoder_shrink_2", **same)
    coarse = conv(third, 3, name="encoder_coarse", **same)
    norms = [instance_normalization(name=f"encoder_{name}_norm") for name in ("fine", "coarse")]

    def extract(image):
        half = _activate(norms[0](fine(_activate(shrink(image)))))
        return half, norms[1](coarse(_activate(shrink_again(half))))

    return extract


def _decode_affine(fixed, moving, sizes):
    """A, (batch, 3, 4): the best fit to the matches of blocks of four voxels."""
    features, shift = _match(fixed, moving, sizes.radius, sizes, "affine")
    features = _refine(features, sizes, "affine")
    shift = _correct(shift, features, "affine_displacement")
    weight = tf.keras.layers.Conv3D(
        1, 1, activation="softplus", kernel_initializer="zeros", name="affine_weight", **_FULL
    )(features)
    return FittedAffine(4, name="affine", **_FULL)([shift, weight])


def _decode_deformation(coarse, fine, volume, sizes):
    """Φ, (batch, D, H, W, 3), from pairs (fixed, moving) of maps."""
    features, shift = _match(*coarse, sizes.radius - 1, sizes, "coarse")
    features = _refine(features, sizes, "coarse")
    shift = _correct(shift, features, "coarse_displacement")

    fixed, moving = fine
    features, shift = (
        LinearUpsampling3D(scale, name=f"coarse_{name}_upsampled", **_FULL)([x, fixed])
        for x, name, scale in ((features, "features", 1.0), (shift, "displacement", 2.0))
    )
    moving = DisplacedSampling3D(name="moving_aligned", **_FULL)([moving, shift])
    found, rest = _match(fixed, moving, sizes.radius - 2, sizes, "fine")
    found = tf.keras.layers.Concatenate(name="fine_merged")([found, features, shift])
    found = _refine(found, sizes, "fine")
    shift = tf.keras.layers.Add(name="fine_sum", **_FULL)([shift, rest])
    shift = _correct(shift, found, "fine_displacement")
    shift = LinearUpsampling3D(2.0, name="displacement", **_FULL)([shift, volume])
    return DisplacementGradients(name="spatial_gradients", **_FULL)(shift)


def _match(fixed, moving, radius, sizes, name):
    """Features of the match of each place of the fixed maps in the moving ones, and its shift."""
    correlation = LocalCorrelation3D(radius, name=f"{name}_correlation", **_FULL)([fixed, moving])
    shift = ExpectedShift(radius, name=f"{name}_shift", **_FULL)(correlation)
    x = _convolve(correlation, sizes.decoder, 1, 1, f"{name}_match")
    return tf.keras.layers.Concatenate(name=f"{name}_matched")([x, shift, fixed, moving]), shift


def _refine(x, sizes, name):
    """Looks at the neighbours' matches."""
    for number, dilation in enumerate((1, 2, 1), start=1):
        x = _convolve(x, sizes.decoder, 3, dilation, f"{name}_{number}")
    return x


def _correct(shift, features, name):
    """A shift plus what the features say is missing."""
    more = tf.keras.layers.Conv3D(
        3, 3, padding="same", kernel_initializer="zeros", name=f"{name}_correction", **_FULL
    )(features)
    return tf.keras.layers.Add(name=name, **_FULL)([shift, more])


def _convolve(x, filters, size, dilation, name):
    conv = tf.keras.layers.Conv3D
    return _activate(conv(filters, size, padding="same", dilation_rate=dilation, name=name)(x))


def _activate(x):
    return tf.keras.layers.LeakyReLU()(x)
