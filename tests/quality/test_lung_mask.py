"""Automatic lung masks on a chest of ellipsoids."""

import numpy as np
import pytest

from tf_lungreg.errors import InputError
from tf_lungreg.images.image import Image
from tf_lungreg.quality.lung_mask import lung_mask
from tf_lungreg.quality.scores import dice


def chest(tools, codes="PIL"):
    """A body in air with two lungs, a vessel in one of them, air in the bowel, and the truth."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (40, 50, 60)], indexing="ij"), -1)

    def ball(center, radii):
        return (((grid - center) / radii) ** 2).sum(axis=-1) < 1

    left, right = ball((0, 0, -0.4), (0.5, 0.7, 0.25)), ball((0, 0, 0.4), (0.5, 0.7, 0.25))
    data = np.where(ball((0, 0, 0), (0.8, 9, 0.9)), 40.0, -1000.0)
    data[left | right] = -800
    data[20:22, 10:40, 18:19] = 50  # a vessel of 2 × 1 voxels
    data[ball((0.2, 0.85, 0.1), (0.1, 0.1, 0.1))] = -900
    axes = ["PIL".find(c) if c in "PIL" else "ASR".find(c) for c in codes]
    flips = tuple(slice(None, None, 1 if c in "PIL" else -1) for c in codes)
    data, truth = (v.transpose(axes)[flips] for v in (np.float32(data), left | right))
    frame = tools.make_frame(data.shape, codes, spacing=(2.0, 2.0, 2.0))
    return Image(data, frame, "chest.nii"), truth


@pytest.mark.parametrize("codes", ["PIL", "LPS", "SAR"])
def test_both_lungs_and_their_vessels(tools, codes):
    image, truth = chest(tools, codes)
    mask = lung_mask(image)
    assert mask.data.dtype == bool and mask.frame is image.frame
    assert dice(mask.data, truth) > 0.97


def test_images_without_a_lung(tools):
    image, truth = chest(tools)
    bright = Image(image.data + 1000, image.frame, "mri.nii")
    with pytest.raises(InputError, match=r"mri\.nii.*Hounsfield"):
        lung_mask(bright)
    solid = Image(np.where(image.data > -1000, 40, image.data), image.frame, "solid.nii")
    with pytest.raises(InputError, match=r"solid\.nii.*no lung"):
        lung_mask(solid)
