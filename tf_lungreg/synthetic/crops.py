"""Random crops of pairs, for the levels of a network that correct a displacement.

A crop shows 100 to 220 mm of a body at fine voxels. The affine part of a registration is taken as
done: both images are about the same place. Given with them is a displacement to start from, the
truth as a coarser network would have it: smoothed, and wrong by a smooth field of some millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from tf_lungreg.synthetic.appearance import acquire, random_contrast
from tf_lungreg.synthetic.bodies import (
    CENTER,
    IMAGE_STEP,
    MOTION_STEP,
    Bodies,
    importance,
    picture,
    sample,
)
from tf_lungreg.synthetic.deformation import random_rotation, random_sliding, smooth_field

SPACINGS = (2.0, 4.5)  # mm, smallest and largest voxel
_OTHER = 0.35  # share of pairs whose images do not have the same contrast


@dataclass(frozen=True, eq=False)
class SyntheticCrop:
    """Two images, the truth between them, and a displacement to start from.

    Attributes:
        fixed: (D, H, W) float32 in [0, 1].
        moving: the same shape.
        start: (D/2, H/2, W/2, 3) displacement of blocks of two voxels, in blocks.
        displacement: (D, H, W, 3) the truth, in voxels: ``moving(p + u(p))`` is ``fixed(p)``.
        weight: (D, H, W) how much each voxel's truth counts: most in the lungs, less in the body,
            hardly in air or outside the moving image.
    """

    fixed: np.ndarray
    moving: np.ndarray
    start: np.ndarray
    displacement: np.ndarray
    weight: np.ndarray


def draw_crop(bodies: Bodies, seed: int, shape=(48, 48, 48)) -> SyntheticCrop:
    """A function of its arguments alone.

    Args:
        bodies: what is drawn from.
        seed: of everything random.
        shape: voxels (D, H, W), even.
    """
    rng = np.random.default_rng(seed)
    number = rng.integers(len(bodies.images))
    spacing = rng.uniform(*SPACINGS) * np.exp(rng.normal(0, 0.05, 3))
    turn, zoom, center = _draw_view(rng, bodies.lungs[number])
    motions = bodies.exhale[number], bodies.inhale[number]
    to_moving, to_fixed = motions[::-1] if rng.random() < 0.5 else motions
    breathing = rng.random() < 0.7
    matrix = np.eye(3) + rng.normal(0, 0.02, (3, 3))

    # In words: fixed = body ∘ view ∘ displacement, moving = body ∘ breathing⁻¹ ∘ view ∘ affine⁻¹.
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    points = (index - (np.array(shape) - 1) / 2) * spacing

    def to_body(places):
        return (places * zoom) @ turn.T + center

    displaced = points + _displacement(rng, shape, spacing)
    if rng.random() < 0.5:
        outside = sample(bodies.distance[number].astype(np.float32), to_body(points), IMAGE_STEP)
        displaced += random_sliding(rng, shape, spacing, outside)
    in_body = to_body(displaced)
    moved = in_body + sample(to_moving, in_body, MOTION_STEP) if breathing else in_body
    truth = (((moved - center) @ turn) / zoom) @ matrix.T
    middle = tuple(n // 2 for n in shape)
    translation = points[middle] - truth[middle]  # what the affine part would have found
    truth = truth + translation
    behind = to_body((points - translation) @ np.linalg.inv(matrix).T)
    if breathing:
        behind = behind + sample(to_fixed, behind, MOTION_STEP)

    contrast = random_contrast(rng)
    other = random_contrast(rng) if rng.random() < _OTHER else contrast
    fixed, moving = (
        picture(bodies.images[number], places, bodies.step, spacing * zoom)
        for places in (in_body, behind)
    )
    lung = sample(bodies.lungs[number].astype(np.float32), in_body, IMAGE_STEP)
    weight = importance(fixed, lung)
    weight = weight * np.where(np.all(np.abs(truth) <= np.abs(points[0, 0, 0]), axis=-1), 1, 0.05)
    images = [
        _blur(rng, acquire(rng, tissue, values, spacing))
        for tissue, values in ((fixed, contrast), (moving, other))
    ]
    displacement = (truth - points) / spacing
    return SyntheticCrop(
        *images,
        start=_start(rng, displacement, spacing),
        displacement=displacement.astype(np.float32),
        weight=weight.astype(np.float32),
    )


def _draw_view(rng, lungs):
    """Rotation, zoom with mirrors, and the place in the body where the crop's middle is, mm."""
    turn = random_rotation(rng, 15 * rng.random())
    zoom = np.exp(rng.normal(0, 0.1) + rng.normal(0, 0.05, 3)) * rng.choice([-1, 1], 3)
    if rng.random() < 0.8:
        inside = np.argwhere(lungs)
        place = inside[rng.integers(len(inside))] * IMAGE_STEP
    else:
        place = CENTER * rng.uniform(0.4, 1.6, 3)
    return turn, zoom, place + rng.normal(0, 10, 3)


def _displacement(rng, shape, spacing):
    """Smooth random displacement of several scales, mm."""
    strength = rng.uniform(0, 1.5)
    scales = ((110.0, 6.0), (55.0, 4.0), (28.0, 1.5), (16.0, 0.6))
    return sum(
        smooth_field(rng, shape, spacing, knots, sigma * strength * rng.uniform(0, 1))
        for knots, sigma in scales
    )


def _blur(rng, image):
    """Thick slices, in some images: smooth along one axis."""
    if rng.random() < 0.75:
        return image
    sigma = rng.uniform(0.3, 1.5)
    return ndimage.gaussian_filter1d(image, sigma, axis=rng.integers(3), mode="nearest")


def _start(rng, displacement, spacing):
    """The truth smoothed and wrong, for blocks of two voxels, in blocks."""
    shape = displacement.shape[:3]
    amount = np.exp(rng.uniform(np.log(0.5), np.log(9)))  # mm
    wrong = smooth_field(rng, shape, spacing, 60, 1.7 * amount)
    wrong += smooth_field(rng, shape, spacing, 30, 0.8 * amount)
    sigma = rng.uniform(0, 10) / spacing
    smooth = ndimage.gaussian_filter(displacement, (*sigma, 0), mode="nearest")
    start = smooth + wrong / spacing
    blocks = start.reshape(shape[0] // 2, 2, shape[1] // 2, 2, shape[2] // 2, 2, 3)
    return (blocks.mean(axis=(1, 3, 5)) / 2).astype(np.float32)
