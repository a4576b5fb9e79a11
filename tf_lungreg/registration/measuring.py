"""Measures of a registration, with the masks and landmarks that there are."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.images.image import AnyImage, Image
from tf_lungreg.inference.network_pass import NetworkPass
from tf_lungreg.quality import measures
from tf_lungreg.quality.measures import Measures
from tf_lungreg.registration.inputs import Pair, PairInputs
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.transforms.transform import Transform

Masks = tuple[Optional[Image], Optional[Image]]  # of the fixed and the moving image


def measure(
    result: RegistrationResult,
    *,
    fixed_mask: AnyImage | None = None,
    moving_mask: AnyImage | None = None,
    landmarks: tuple[str | os.PathLike[str] | None, str | os.PathLike[str] | None] = (None, None),
    coordinates: str = "ras",
) -> Measures:
    """Measures a result against masks and landmarks, as ``register`` does when it is given them.

    Args:
        result: of :func:`tf_lungreg.register`.
        fixed_mask: lungs, on the fixed image's grid.
        moving_mask: lungs, on the moving image's grid; both together give Dice.
        landmarks: tables of the fixed and of the moving image, or points that 3D Slicer saved.
        coordinates: ``"ras"`` or ``"lps"``, of the tables.

    Returns:
        The result's own measures with those of the masks and landmarks.

    Raises:
        MissingFileError, InputError: a mask or a table cannot be used.

    Example:
        ``lr.measure(result, fixed_mask="a.nii.gz", moving_mask="b.nii.gz").dice_after``
    """
    inputs = PairInputs(result.fixed, result.moving, fixed_mask, moving_mask, *landmarks)
    pair = inputs.open(coordinates)
    masks = pair.read_masks(automatic=False)
    stages = _stages(result.displacement, result.parts.translation)
    values = _against(stages, pair, masks)
    if masks[0] is not None:
        values.update(measures.measure_folds(result.jacobian.data, masks[0].data))
    return replace(result.measures, **values)


def measure_pass(
    seen: NetworkPass, transform: Transform, pair: Pair, jacobian: Image, masks: Masks
) -> Measures:
    """All measures of a registration.

    Args:
        seen: the forward pass, refined or not.
        transform: the whole transform on the fixed image's grid.
        pair: the images and landmarks.
        jacobian: determinant of the transform.
        masks: of the fixed and the moving image, where there are any.
    """
    lung = None if masks[0] is None else masks[0].data
    return Measures(
        **measures.measure_similarity(seen.fixed, seen.moving, seen.warped),
        **measures.measure_mirroring(seen.fixed, seen.moving),
        overlap=measures.measure_overlap(transform, pair.moving),
        saturated=measures.measure_saturation(seen.spatial_gradients),
        **measures.measure_folds(jacobian.data, lung),
        **_against(_stages(transform, seen.transform.translation), pair, masks),
    )


def _stages(transform: Transform, translation: Array) -> dict[str, Transform]:
    """In the world, after the initial translation ("before"), and "after"."""
    return {
        "world": Transform.translation(np.zeros(3)),
        "before": Transform.translation(translation),
        "after": transform,
    }


def _against(stages: dict[str, Transform], pair: Pair, masks: Masks) -> dict[str, Any]:
    """Dice and landmark errors, where there are masks and landmarks."""
    values: dict[str, Any] = {}
    fixed_mask, moving_mask = masks
    if fixed_mask is not None and moving_mask is not None:
        values.update(measures.measure_dice(fixed_mask, moving_mask, stages))
    if pair.landmarks is not None:
        values.update(measures.measure_landmarks(*pair.landmarks, stages))
        values["landmarks_outside"] = pair.landmarks_outside()
    return values
