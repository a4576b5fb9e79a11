"""The preset ``general``: both images' features are compared, not only read side by side.

The paper's encoder sees the two images as channels of one and must learn from examples what a
displacement looks like; that takes the images of a cohort and hours. Here one encoder reads each
image by itself, and correlation at all shifts of a neighbourhood says where in the other image each
place is found, as in optical flow (Dosovitskiy et al. 2015, Sun et al. 2018). It needs fewer
examples and depends less on what the images look like. Φ, A and all that follows are the paper's.

Correlation sees as far as its radius. A is therefore found in passes with the same weights, each
from images that the passes before have brought closer, as in recurrent optical flow (Teed and Deng
2020).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_lungreg.layers import (
    AffineComposition,
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


def matching(
    moving: tf.Tensor, fixed: tf.Tensor, sizes: Matching, affine: bool, deformable: bool
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """A, (batch, 3, 4), and Φ, (batch, D, H, W, 3); None for a branch that is off.

    Args:
        moving: Keras input, (batch, D, H, W, 1).
        fixed: Keras input, (batch, D, H, W, 1).
        sizes: of a preset.
        affine: whether there is the branch of A.
        deformable: whether there is the branch of Φ.
    """
    matrix, shift = match(moving, fixed, sizes, affine, deformable)
    if shift is None:
        return matrix, None
    shift = LinearUpsampling3D(2.0, name="displacement", **_FULL)([shift, fixed])
    return matrix, DisplacementGradients(name="spatial_gradients", **_FULL)(shift)


def match(
    moving: tf.Tensor, fixed: tf.Tensor, sizes: Matching, affine: bool, deformable: bool
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """A, (batch, 3, 4), and the displacement of blocks of two voxels, in blocks.

    Args:
        moving: (batch, D, H, W, 1).
        fixed: (batch, D, H, W, 1).
        sizes: of a preset.
        affine: whether there is the branch of A.
        deformable: whether there is the branch of the displacement.

    Returns:
        A, or None, and the displacement (batch, D/2, H/2, W/2, 3), or None, from the fixed image
        that the inverse of A has brought to the moving image.
    """
    extract = _extractor(sizes)
    (moving_fine, moving_coarse), (fixed_fine, fixed_coarse) = extract(moving), extract(fixed)
    matrix = shift = None
    align = BackAlignment3D(4, name="coarse_aligned", **_FULL)  # by A, where there is one
    if affine:
        matrix = _decode_affine(fixed_coarse, moving_coarse, align, sizes)
    if deformable:
        if affine:
            # Φ lives between the two transforms of Eq. 3: there the fixed image is the one that
            # the inverse of A has brought to the moving image.
            fixed_coarse = align([fixed_coarse, matrix])
            fixed_fine = BackAlignment3D(2, name="fine_aligned", **_FULL)([fixed_fine, matrix])
        coarse = (fixed_coarse, moving_coarse)
        shift = _decode_deformation(coarse, (fixed_fine, moving_fine), sizes)
    return matrix, shift


def _extractor(sizes: Matching) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """A function from an image to its features at a half and at a quarter of the resolution.

    In full precision, mixed or not: what is small in a feature decides between two matches.
    """
    first, second, third = sizes.encoder
    conv = tf.keras.layers.Conv3D
    same = {"padding": "same", **_FULL}
    shrink = conv(first, 2, strides=2, name="encoder_shrink_1", **same)
    fine = conv(second, 3, name="encoder_fine", **same)
    shrink_again = conv(third, 2, strides=2, name="encoder_shrink_2", **same)
    coarse = conv(third, 3, name="encoder_coarse", **same)
    norms = [instance_normalization(name=f"encoder_{name}_norm") for name in ("fine", "coarse")]

    def extract(image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        half = _activate(norms[0](fine(_activate(shrink(image), **_FULL))), **_FULL)
        return half, norms[1](coarse(_activate(shrink_again(half), **_FULL)))

    return extract


def _decode_affine(
    fixed: tf.Tensor, moving: tf.Tensor, align: BackAlignment3D, sizes: Matching
) -> tf.Tensor:
    """A, (batch, 3, 4): the best fit to the matches of blocks of four voxels, pass after pass."""
    compare = _comparison(sizes.radius, sizes, "affine")
    weigh = tf.keras.layers.Conv3D(
        1, 1, activation="softplus", kernel_initializer="zeros", name="affine_weight", **_FULL
    )
    matrix = None
    for number in range(1, sizes.passes + 1):
        name = "affine" if number == sizes.passes else f"affine_pass_{number}"
        there = align([fixed, matrix]) if number > 1 else fixed
        shift, features = compare(there, moving, number)
        found = [shift, weigh(features)]
        if number == 1:
            matrix = FittedAffine(4, name=name, **_FULL)(found)
        else:
            more = FittedAffine(4, name=f"affine_more_{number}", **_FULL)(found)
            matrix = AffineComposition(name=name, **_FULL)([matrix, more])
    return matrix


def _decode_deformation(
    coarse: tuple[tf.Tensor, tf.Tensor], fine: tuple[tf.Tensor, tf.Tensor], sizes: Matching
) -> tf.Tensor:
    """The displacement of the fine maps, in their voxels, from pairs (fixed, moving) of maps."""
    fixed, moving = coarse
    compare = _comparison(sizes.radius - 1, sizes, "coarse")
    shift, features = compare(fixed, moving)

    fixed, moving = fine
    features, shift = (
        LinearUpsampling3D(scale, name=f"coarse_{name}_upsampled", **_FULL)([x, fixed])
        for x, name, scale in ((features, "features", 1.0), (shift, "displacement", 2.0))
    )
    compare = _comparison(sizes.radius - 2, sizes, "fine", **_FULL)  # the last word on Φ
    moving = DisplacedSampling3D(name="moving_aligned", **_FULL)([moving, shift])
    more, _ = compare(fixed, moving, further=(features, shift))
    return tf.keras.layers.Add(name="fine_sum", **_FULL)([shift, more])


def _comparison(
    radius: int, sizes: Matching, name: str, **precision: str
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """A function from maps (fixed, moving) to the shift from one to the other, and features of it.

    The shift is the best match of each place within the radius, and what the matches of its
    neighbours say is missing. The function also takes the number of the pass, which names the
    shift's layer, and further maps. ``precision`` is of the convolutions over the neighbours.
    """
    conv = tf.keras.layers.Conv3D
    correlate = LocalCorrelation3D(radius, name=f"{name}_correlation", **_FULL)
    best = ExpectedShift(radius, name=f"{name}_shift", **_FULL)
    read = conv(sizes.decoder, 1, name=f"{name}_match", **_FULL)
    refine = [
        conv(
            sizes.decoder,
            3,
            padding="same",
            dilation_rate=dilation,
            name=f"{name}_{number}",
            **precision,
        )
        for number, dilation in enumerate((1, 2, 1), start=1)
    ]
    correct = conv(
        3,
        3,
        padding="same",
        kernel_initializer="zeros",
        name=f"{name}_displacement_correction",
        **_FULL,
    )

    def compare(
        fixed: tf.Tensor, moving: tf.Tensor, number: int = 1, further: Sequence[tf.Tensor] = ()
    ) -> tuple[tf.Tensor, tf.Tensor]:
        correlation = correlate([fixed, moving])
        shift = best(correlation)
        x = _activate(read(correlation), **_FULL)
        x = tf.keras.layers.Concatenate(**precision)([x, shift, fixed, moving, *further])
        for convolution in refine:
            x = _activate(convolution(x), **precision)
        own = f"{name}_displacement" if number == 1 else f"{name}_displacement_{number}"
        return tf.keras.layers.Add(name=own, **_FULL)([shift, correct(x)]), x

    return compare


def _activate(x: tf.Tensor, **precision: str) -> tf.Tensor:
    return tf.keras.layers.LeakyReLU(**precision)(x)
