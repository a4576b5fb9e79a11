"""A random pair of images of one body, with the grid that brings one onto the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tf_lungreg.synthetic.appearance import acquire, random_contrast
from tf_lungreg.synthetic.bodies import (
    IMAGE_STEP,
    MOTION_STEP,
    Bodies,
    importance,
    picture,
    sample,
)
from tf_lungreg.synthetic.deformation import (
    random_affine,
    random_displacement,
    random_rotation,
    random_sliding,
)

_OTHER = 0.35  # share of pairs whose images do not have the same contrast
_SLIDING = 0.4  # share of pairs in which the lungs move along the chest wall


@dataclass(frozen=True, eq=False)
class SyntheticPair:
    """Two images and the truth between them.

    Attributes:
        fixed: (D, H, W) float32 in [0, 1].
        moving: the same shape.
        grid: (D, H, W, 3) the voxel of the moving image where each fixed voxel's tissue lies.
        weight: (D, H, W) how much each voxel's truth counts: most in the lungs, less in the body,
            hardly in air or outside the moving image, nothing in the margin.
    """

    fixed: np.ndarray
    moving: np.ndarray
    grid: np.ndarray
    weight: np.ndarray


def draw_pair(bodies: Bodies, seed: int, shape, spacing=(5.0, 5.0, 5.0), margin: int = 4):
    """A function of its arguments alone.

    Both images are views of one body: the fixed one after a smooth random displacement, one of them
    after breathing, the moving one after an affine transform. Both are cut to a field of view that
    ends ``margin`` voxels within the grid and are continued beyond it, as a user's images are.

    Args:
        bodies: what is drawn from.
        seed: of everything random.
        shape: voxels (D, H, W).
        spacing: voxel size, mm.
        margin: voxels.

    Returns:
        A :class:`SyntheticPair`.
    """
    rng = np.random.default_rng(seed)
    spacing = np.array(spacing)
    number = rng.integers(len(bodies.images))
    tissue = bodies.images[number]
    lungs = bodies.lungs[number]
    half = (np.array(shape) - 1) / 2 * spacing
    view = _draw_view(rng, lungs, half)
    everywhere = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    everywhere = everywhere * spacing - half
    half = half - margin * spacing
    points = np.clip(everywhere, -half, half)

    displaced = points + random_displacement(rng, shape, spacing)
    if rng.random() < _SLIDING:
        outside = sample(
            bodies.distance[number].astype(np.float32), view.to_body(points), IMAGE_STEP
        )
        displaced += random_sliding(rng, shape, spacing, outside)
    matrix, translation = random_affine(rng)
    motions = bodies.exhale[number], bodies.inhale[number]
    to_moving, to_fixed = motions[::-1] if rng.random() < 0.4 else motions
    breathing = rng.random() < 0.75

    # In words: fixed = body ∘ view ∘ displacement, moving = body ∘ breathing⁻¹ ∘ view ∘ affine⁻¹.
    in_body = view.to_body(displaced)
    moved = in_body + sample(to_moving, in_body, MOTION_STEP) if breathing else in_body
    truth = view.from_body(moved) @ matrix.T + translation

    seen = points
    if rng.random() < 0.35:  # a smaller field of view
        cut = [rng.uniform(0.7, 1.1) if rng.random() < 0.4 else 2.0 for _ in range(3)]
        seen = np.clip(points, -half * cut, half * cut)
    behind = view.to_body((seen - translation) @ np.linalg.inv(matrix).T)
    if breathing:
        behind = behind + sample(to_fixed, behind, MOTION_STEP)

    contrast = random_contrast(rng)
    other = random_contrast(rng) if rng.random() < _OTHER else contrast
    fixed, there = (
        picture(tissue, places, bodies.step, spacing * view.scale) for places in (in_body, behind)
    )
    inside = np.all(np.abs(truth) <= half + 2, axis=-1)
    lung = sample(lungs.astype(np.float32), in_body, IMAGE_STEP)
    weight = importance(fixed, lung)
    weight = weight * np.where(inside, 1, 0.1) * np.all(points == everywhere, axis=-1)
    return SyntheticPair(
        fixed=acquire(rng, fixed, contrast, spacing),
        moving=acquire(rng, there, other, spacing),
        grid=(truth / spacing + (np.array(shape) - 1) / 2).astype(np.float32),
        weight=weight.astype(np.float32),
    )


@dataclass(frozen=True, eq=False)
class _View:
    """Where the field of view lies in the body: ``body = rotation (zoom ∘ mirror p) + center``."""

    rotation: np.ndarray
    scale: np.ndarray
    center: np.ndarray

    def to_body(self, points):
        return (points * self.scale) @ self.rotation.T + self.center

    def from_body(self, points):
        return ((points - self.center) @ self.rotation) / self.scale


def _draw_view(rng, lungs, half) -> _View:
    """About the lungs; where it is smaller than the chest, about any place in them."""
    inside = np.argwhere(lungs)
    place = inside[rng.integers(len(inside))] * IMAGE_STEP
    middle = inside.mean(axis=0) * IMAGE_STEP
    share = rng.uniform(0, 1) * np.clip(1.6 - 2 * half / (250, 350, 340), 0, 1)
    center = middle + (place - middle) * share + rng.normal(0, 12, 3)
    zoom = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.06, 3))
    mirror = np.array([1, 1, rng.choice([-1, 1])])
    return _View(random_rotation(rng, 10 * rng.random()), zoom * mirror, center)
