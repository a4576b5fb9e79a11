"""Random appearance: what a tissue looks like, and what a scanner makes of it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.synthetic.deformation import smooth_field

# Intensities of the phantom between which a random contrast is linear: air, lung (95), the
# cortex of bone (240), muscle (430 to 500), blood and vessels (560 to 700), fat (960).
_KNOTS = np.array([0, 12, 60, 95, 130, 240, 350, 430, 500, 560, 640, 700, 850, 960, 1100.0])
_LUNG = slice(2, 5)


def random_contrast(rng: np.random.Generator) -> Array:
    """Values in about [0, 1] at the knots: like MRI, like CT, or like nothing known."""
    kind = rng.choice(["mr", "ct", "random"], p=[0.35, 0.4, 0.25])
    if kind == "mr":
        values = (_KNOTS / 1000) ** rng.uniform(0.6, 1.5)
    elif kind == "ct":
        values = _ct_contrast(rng)
    else:
        values = ndimage.gaussian_filter1d(rng.uniform(0, 1, len(_KNOTS)), 0.6)
        values = (values - values.min()) / (np.ptp(values) + 1e-6)
    values = values + rng.normal(0, 0.02, len(_KNOTS))
    return 1 - values if rng.random() < 0.08 else values


def _ct_contrast(rng: np.random.Generator) -> Array:
    """Dark lungs, muscle brighter than fat, bright bone."""
    lung, bone = rng.uniform(0.05, 0.25), rng.uniform(0.85, 1.1)
    muscle = rng.uniform(0.74, 0.86)
    fat = muscle - rng.uniform(0.04, 0.16)
    vessel = muscle + rng.uniform(-0.03, 0.08)
    cortex = bone if rng.random() < 0.7 else (lung + muscle) / 2
    lungs = [lung * 0.8, lung, lung * 1.3]
    soft = [muscle, muscle, muscle + 0.01, vessel, muscle + 0.03, vessel]
    return np.array([0, 0, *lungs, cortex, *soft, fat + 0.05, fat, fat])


def acquire(
    rng: np.random.Generator, tissue: Array, contrast: Array, spacing: Iterable[float]
) -> Array:
    """One acquisition of a body: the contrast a little changed, blur, bias, gain, noise.

    Args:
        rng: random generator.
        tissue: (D, H, W) intensities of the phantom.
        contrast: of :func:`random_contrast`, mostly the same for both images of a pair.
        spacing: voxel size, mm.

    Returns:
        (D, H, W) float32 in [0, 1].
    """
    shape = tissue.shape
    values = contrast.copy()
    values[_LUNG] += rng.normal(0, 0.035)  # the lungs' density changes with breathing
    values += rng.normal(0, 0.012, len(values))
    out = np.interp(tissue, _KNOTS, values).astype(np.float32)
    if rng.random() < 0.5:
        out = ndimage.gaussian_filter(out, rng.uniform(0, 0.9, 3) * (rng.random(3) < 0.6))
    if rng.random() < 0.5:
        out *= np.exp(smooth_field(rng, shape, spacing, 150, rng.uniform(0, 0.15), 1)[..., 0])
    out *= np.exp(rng.normal(0, 0.04))
    out += rng.standard_normal(shape).astype(np.float32) * rng.uniform(0, 0.33) ** 2
    if rng.random() < 0.3:
        out = out + smooth_field(rng, shape, spacing, 20, rng.uniform(0, 0.03), 1)[..., 0]
    return np.clip(out, 0, 1)
