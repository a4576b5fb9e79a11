"""Lung masks for CT by threshold, for measuring Dice where no mask was drawn."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import is_hounsfield

LUNG_BELOW = -400.0  # Hounsfield units
AIR_BELOW = -940.0  # Hounsfield units, the mean of a part
SMALLEST_PART = 0.1  # of the largest

_CLOSING_MM = 4.0


def lung_mask(image: Image) -> Image:
    """A mask of both lungs, trachea included, of a CT.

    The rule: voxels below -400 HU in connected parts (by faces) whose mean is at least -940 HU,
    since the air around the patient and in the bowel is nearly -1000; of these the largest and
    every one of at least a tenth of its size; then vessels and other holes are closed over 4 mm.

    Args:
        image: in Hounsfield units, on any grid.

    Raises:
        InputError: the image is not in Hounsfield units, or nothing in it looks like a lung.
    """
    if not is_hounsfield(image.data):
        raise InputError(
            f"{image.name}: lung masks are made for CT in Hounsfield units only; give a mask file."
        )
    labels, count = ndimage.label(image.data < LUNG_BELOW)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    means = np.bincount(labels.ravel(), image.data.ravel(), count + 1) / np.maximum(sizes, 1)
    sizes[means < AIR_BELOW] = 0
    if not sizes.any():
        raise InputError(
            f"{image.name}: no lung is found, no large part is between {AIR_BELOW:g} and "
            f"{LUNG_BELOW:g} HU; give a mask file."
        )
    mask = (sizes >= SMALLEST_PART * sizes.max())[labels] & (labels > 0)
    del labels
    return Image(_close(mask, image.frame.spacing), image.frame, image.name)


def _close(mask: Array, spacing: Array) -> Array:
    """Closes gaps of up to 4 mm, by boxes: grows and shrinks along each axis."""
    for operation in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
        for axis, step in enumerate(spacing):
            size = 2 * round(_CLOSING_MM / 2 / step) + 1
            mask = operation(mask.view(np.uint8), size, axis=axis).view(bool)
    return ndimage.binary_fill_holes(mask)
