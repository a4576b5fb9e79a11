"""Random transforms: rotations, affine matrices, smooth displacements."""

from __future__ import annotations

import numpy as np

from tf_lungreg.images.geometry import rotation

# Distance of the control points and standard deviation of their displacement, mm.
_SCALES = ((110.0, 12.0), (55.0, 4.0), (28.0, 1.3))


def random_rotation(rng: np.random.Generator, limit: float) -> np.ndarray:
    """Rotations about the three axes by up to ``limit`` degrees each, (3, 3).

    Args:
        rng: a generator of numpy's.
        limit: degrees.
    """
    return rotation(rng.uniform(-limit, limit, 3))


def random_affine(rng) -> tuple[np.ndarray, np.ndarray]:
    """A matrix (3, 3) and a translation (3,) in mm: mostly small, up to 22° an axis and 80 mm."""
    turn = random_rotation(rng, 22 * rng.random() ** 2)
    scale = np.diag(np.exp(rng.normal(0, 0.08 * rng.random(), 3)))
    matrix = turn @ scale + rng.normal(0, 0.04 * rng.random(), (3, 3))
    return matrix, rng.uniform(-80, 80, 3) * rng.random() ** 2


def random_displacement(rng, shape, spacing) -> np.ndarray:
    """Smooth random displacement of several scales, (D, H, W, 3) mm.

    Args:
        rng: a generator of numpy's.
        shape: (D, H, W).
        spacing: voxel size in mm along D, H, W.
    """
    strength = rng.uniform(0, 1.5)
    return sum(
        smooth_field(rng, shape, spacing, knots, sigma * strength * rng.uniform(0.2, 1))
        for knots, sigma in _SCALES
    )


def random_sliding(rng, shape, spacing, distance: np.ndarray) -> np.ndarray:
    """A motion of the lungs that ends within 2 to 20 mm outside them, (D, H, W, 3) mm.

    Args:
        rng: a generator of numpy's.
        shape: (D, H, W).
        spacing: voxel size in mm along D, H, W.
        distance: to the lungs' surface, mm.
    """
    fall = rng.uniform(2, 20)
    motion = rng.normal(0, 5, 3) + smooth_field(rng, shape, spacing, 110, 5 * rng.random())
    return np.exp(-((np.maximum(distance, 0) / fall) ** 2))[..., np.newaxis] * motion


def smooth_field(rng, shape, spacing, knots: float, sigma: float, channels: int = 3) -> np.ndarray:
    """Cubic B-splines with normal coefficients.

    Args:
        rng: random generator.
        shape: voxels along the three axes.
        spacing: voxel size, mm.
        knots: distance of the control points, mm.
        sigma: standard deviation of the coefficients.
        channels: how many independent fields.

    Returns:
        (D, H, W, channels) float32.
    """
    counts = [max(4, int(np.ceil((n - 1) * v / knots)) + 3) for n, v in zip(shape, spacing)]
    coefficients = rng.standard_normal((*counts, channels)).astype(np.float32) * sigma
    bases = [_cubic_basis(n, count) for n, count in zip(shape, counts)]
    return np.einsum("ai,bj,ck,ijkd->abcd", *bases, coefficients, optimize=True)


def _cubic_basis(length, count):
    """Values of ``count`` uniform cubic B-splines at ``length`` places, (length, count)."""
    place = np.linspace(0, count - 3 - 1e-6, length)
    first = np.floor(place).astype(int)
    t = place - first
    values = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
    basis = np.zeros((length, count), np.float32)
    for offset, value in enumerate(values):
        basis[np.arange(length), first + offset] += value / 6
    return basis
