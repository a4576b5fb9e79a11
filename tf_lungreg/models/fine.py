"""The preset ``fine``: a comparison of features, and finer levels that correct its displacement.

The network of :mod:`tf_lungreg.models.matching` finds A and a displacement on voxels twice as
large. Two levels follow, one on those voxels and one at the full resolution. Each corrects the
displacement in several updates with the same weights, as in recurrent optical flow (Teed and Deng
2020). An update sees how the images match where the displacement now leads: the step that the local
correlation suggests (:func:`tf_lungreg.ops.matching_step`), which holds for any contrast, and on
the coarser of the two levels the correlation of learnt features as well.

The levels never see A: the fixed image comes to them after its inverse. They can be trained apart.
They leave out the margin around the fixed image, where there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from tf_lungreg.layers import (
    BackAlignment3D,
    BorderContinuation3D,
    DisplacedSampling3D,
    ExpectedShift,
    FadedGradients,
    LinearUpsampling3D,
    LocalCorrelation3D,
    LocalDeviation3D,
    LocalNormalization3D,
    MatchingStep3D,
    RescaledAffine,
)
from tf_lungreg.models.matching import match
from tf_lungreg.models.presets import FineMatching

_FULL = {"dtype": "float32"}
_FLOOR = 0.03  # standard deviation, of intensities in [0, 1], below which contrast is noise
_NORMALIZED = 4  # radius in voxels of the cube that each voxel is normalised by
_COMPARED = 2  # radius in voxels of the cube that the suggested step comes from
_TEXTURE = 0.3  # the same as _FLOOR, of images that were normalised to 1


def fine_matching(
    moving: tf.Tensor, fixed: tf.Tensor, sizes: FineMatching, affine: bool, deformable: bool
) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """A, (batch, 3, 4), and Φ, (batch, D, H, W, 3); None for a branch that is off.

    Args:
        moving: Keras input, (batch, D, H, W, 1).
        fixed: Keras input, (batch, D, H, W, 1).
        sizes: of a preset.
        affine: whether there is the branch of A.
        deformable: whether there is the branch of Φ.
    """
    small = [_shrink(image, name) for image, name in ((moving, "moving"), (fixed, "fixed"))]
    matrix, shift = match(small[0], small[1], sizes.coarse, affine, deformable)
    if affine:
        matrix = RescaledAffine(2, name="affine_rescaled", **_FULL)([matrix, small[1]])
    if not deformable:
        return matrix, None
    if affine:
        fixed = BackAlignment3D(1, name="fixed_aligned", **_FULL)([fixed, matrix])
    start = LinearUpsampling3D(2.0, name="coarse_displacement_half", **_FULL)([shift, small[1]])
    margin = sizes.margin
    fixed = tf.keras.layers.Cropping3D(margin, name="fixed_inner", **_FULL)(fixed)
    start = tf.keras.layers.Cropping3D(margin // 2, name="start_inner", **_FULL)(start)
    *_, shift = correct(moving, fixed, start, sizes, margin)
    shift = BorderContinuation3D(margin, name="displacement", **_FULL)(shift)
    return matrix, FadedGradients(margin, name="spatial_gradients", **_FULL)(shift)


def correct(
    moving: tf.Tensor,
    fixed: tf.Tensor,
    start: tf.Tensor,
    sizes: FineMatching,
    margin: int = 0,
) -> list[tf.Tensor]:
    """The displacement after each update, coarse to fine.

    Args:
        moving: (batch, D', H', W', 1), with the margin.
        fixed: (batch, D, H, W, 1), after the inverse of A.
        start: displacement on voxels twice as large, in such voxels, (batch, D/2, H/2, W/2, 3).
        sizes: of a preset.
        margin: voxels, an even number, by which ``moving`` extends beyond ``fixed`` on every side.

    Returns:
        Of each update of the half level, (batch, D/2, H/2, W/2, 3), in its voxels; of each of the
        full level, (batch, D, H, W, 3), in voxels.
    """
    normalize = LocalNormalization3D(_NORMALIZED, _FLOOR, name="normalized", **_FULL)
    moving, fixed = normalize(moving), normalize(fixed)
    halves = _half_updates(moving, fixed, start, sizes, margin // 2)
    start = LinearUpsampling3D(2.0, name="half_displacement_full", **_FULL)([halves[-1], fixed])
    return halves + _full_updates(moving, fixed, start, sizes, margin)


def _half_updates(
    moving: tf.Tensor, fixed: tf.Tensor, shift: tf.Tensor, sizes: FineMatching, margin: int
) -> list[tf.Tensor]:
    extract = _extractor(sizes.half)
    moving_maps, fixed_maps = extract(moving), extract(fixed)
    moving, fixed = _shrink(moving, "moving_normalized"), _shrink(fixed, "fixed_normalized")
    sample = DisplacedSampling3D(True, margin, name="half_warped", **_FULL)
    correlate = LocalCorrelation3D(1, name="half_correlation", **_FULL)
    best = ExpectedShift(1, name="half_shift", **_FULL)
    suggest = MatchingStep3D(_COMPARED, _TEXTURE, name="half_step", **_FULL)
    update = _updater("half", sizes.half, (1, 2, 1))
    shifts: list[tf.Tensor] = []
    for number in range(1, sizes.half_updates + 1):
        correlation = correlate([fixed_maps, sample([moving_maps, shift])])
        step = suggest([fixed, sample([moving, shift])])
        shift = update([correlation, best(correlation), step, fixed_maps], shift, number)
        shifts.append(shift)
    return shifts


def _full_updates(
    moving: tf.Tensor, fixed: tf.Tensor, shift: tf.Tensor, sizes: FineMatching, margin: int
) -> list[tf.Tensor]:
    sample = DisplacedSampling3D(True, margin, name="full_warped", **_FULL)
    suggest = MatchingStep3D(_COMPARED, _TEXTURE, name="full_step", **_FULL)
    update = _updater("full", sizes.full, (1, 1))
    shifts: list[tf.Tensor] = []
    for number in range(1, sizes.full_updates + 1):
        warped = sample([moving, shift])
        shift = update([suggest([fixed, warped]), fixed, warped], shift, number)
        shifts.append(shift)
    return shifts


def _extractor(filters: int) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from a volume to maps of voxels twice as large."""
    conv = tf.keras.layers.Conv3D
    shrink = conv(filters, 2, strides=2, padding="same", name="half_shrink", **_FULL)
    read = conv(filters, 3, padding="same", name="half_features", **_FULL)
    return lambda volume: read(_activate(shrink(volume), **_FULL))


def _updater(
    level: str, filters: int, dilations: Sequence[int]
) -> Callable[[Sequence[tf.Tensor], tf.Tensor, int], tf.Tensor]:
    """A function of maps, the displacement and the update's number: the displacement corrected.

    The maps are squeezed to ``filters`` first. Without training nothing is corrected.
    """
    conv = tf.keras.layers.Conv3D
    deviate = LocalDeviation3D(_COMPARED, name=f"{level}_deviation", **_FULL)
    squeeze = conv(filters, 1, name=f"{level}_squeeze", **_FULL)
    read = [
        conv(filters, 3, padding="same", dilation_rate=dilation, name=f"{level}_{number}")
        for number, dilation in enumerate(dilations, start=1)
    ]
    last = conv(
        3, 3, padding="same", kernel_initializer="zeros", name=f"{level}_correction", **_FULL
    )

    def update(maps: Sequence[tf.Tensor], shift: tf.Tensor, number: int) -> tf.Tensor:
        # How the displacement differs from its surroundings, so that it can be smoothed.
        merged = tf.keras.layers.Concatenate(**_FULL)([*maps, deviate(shift)])
        x = _activate(squeeze(merged), **_FULL)
        for convolution in read:
            x = _activate(convolution(x))
        name = f"{level}_displacement_{number}"
        return tf.keras.layers.Add(name=name, **_FULL)([shift, last(x)])

    return update


def _shrink(volume: tf.Tensor, name: str) -> tf.Tensor:
    """Means of blocks of two voxels along each axis."""
    shrink = tf.keras.layers.AveragePooling3D(2, padding="same", name=f"{name}_half", **_FULL)
    return shrink(volume)


def _activate(x: tf.Tensor, **precision: str) -> tf.Tensor:
    return tf.keras.layers.LeakyReLU(**precision)(x)
