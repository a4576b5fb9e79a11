"""Shapes as signed distances, and tubes as densities: what the anatomy is drawn with.

Points come as three arrays x, y, z of one shape, millimetres in the body frame (RAS: x to the
patient's right, y to the front, z to the head). Distances are negative inside and approximate:
exact on the surface, good near it, which is what soft edges need.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array


def ellipsoid(
    x: Array,
    y: Array,
    z: Array,
    center: Iterable[float | Array],
    radii: Iterable[float | Array],
    power: float = 2,
) -> Array:
    """Signed distance, along the ray from the centre, to a superellipsoid; mm.

    Args:
        x: coordinates, mm; x, y and z broadcast together.
        y: mm.
        z: mm.
        center: (3,) mm; entries may be arrays.
        radii: (3,) semi-axes, mm; ``inf`` makes a cylinder along that axis.
        power: 2 is an ellipsoid; more is boxier.
    """
    total, square = 0.0, 0.0
    for value, middle, radius in zip((x, y, z), center, radii):
        if np.all(np.isinf(radius)):
            continue
        offset = np.abs(value - middle)
        square = square + offset * offset
        total = total + (offset / radius) ** power
    level = np.maximum(np.sqrt(total) if power == 2 else total ** (1.0 / power), 1e-3)
    return np.sqrt(square) * (1.0 - 1.0 / level)


def union(a: Array, b: Array, smooth: float = 6.0) -> Array:
    """Smooth minimum of two distances; ``smooth`` is the width in mm of the blend.

    Args:
        a: signed distance, mm.
        b: signed distance, mm.
        smooth: 0 or more.
    """
    return -intersection(-a, -b, smooth)


def intersection(a: Array, b: Array, smooth: float = 6.0) -> Array:
    """Smooth maximum of two distances; ``smooth`` is the width in mm of the blend.

    Args:
        a: signed distance, mm.
        b: signed distance, mm.
        smooth: 0 or more.
    """
    blend = np.maximum(smooth - np.abs(a - b), 0.0)
    return np.maximum(a, b) + blend * blend / (4.0 * smooth)


def occupancy(distance: Array, width: float) -> Array:
    """Share of a voxel inside a shape, in [0, 1]: 1 where the distance is far below zero.

    Args:
        distance: signed distance, mm.
        width: width in mm over which the edge passes, about a voxel.
    """
    t = np.clip(0.5 - distance / (2.0 * width), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def smooth_step(t: Array) -> Array:
    """0 for t ≤ 0, 1 for t ≥ 1, with two continuous derivatives; the largest slope is 1.875."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * t * (10.0 + t * (6.0 * t - 15.0))


def ramp(t: Array, rounding: float = 0.15) -> Array:
    """Rises from about 0 at t = 0 to about 1 at t = 1 with a slope below 1, smooth everywhere.

    Args:
        t: of any shape.
        rounding: of both bends, in units of t.
    """
    return 0.5 * (1.0 + np.sqrt(t * t + rounding**2) - np.sqrt((t - 1.0) ** 2 + rounding**2))


class Texture:
    """A scalar field on a regular grid of the body frame, read at any point.

    Attributes:
        values: (nx, ny, nz) float32.
        origin: (3,) body position of the first grid point, mm.
        step: grid spacing, mm.
    """

    def __init__(self, values: Array, origin: Array, step: float):
        self.values = np.asarray(values, dtype=np.float32)
        self.origin = np.asarray(origin, dtype=np.float64)
        self.step = float(step)

    def __call__(self, x: Array, y: Array, z: Array) -> Array:
        """Linear interpolation at the points; the border value outside the grid."""
        index = [(value - first) / self.step for value, first in zip((x, y, z), self.origin)]
        return ndimage.map_coordinates(self.values, index, order=1, mode="nearest")


def random_texture(rng: np.random.Generator, low: Array, high: Array, length: float) -> Texture:
    """Smooth Gaussian noise of standard deviation 1 in a box of the body frame.

    Args:
        rng: random generator.
        low: (3,) one corner of the box, mm.
        high: (3,) the opposite corner.
        length: standard deviation in mm of the smoothing, hence the size of the blobs.
    """
    step = length / 1.5
    size = [int(np.ceil((b - a) / step)) + 1 for a, b in zip(low, high)]
    field = ndimage.gaussian_filter(rng.standard_normal(size), 1.5, mode="wrap")
    return Texture(field / field.std(), low, step)


def tube_texture(
    points: Array,
    radii: Array,
    lengths: Array,
    low: Array,
    high: Array,
    step: float,
    blur: float,
) -> Texture:
    """Share of volume filled by tubes, as an imaging system of finite resolution sees it.

    Each sample of a centre line leaves the volume π r² · length in the grid, spread by a Gaussian
    that stands for its cross-section (σ = r / 2, the same variance) and for the blur of the
    imaging, so that thin tubes fade with their area instead of vanishing between voxels.

    Args:
        points: (n, 3) samples of the centre lines, body frame, mm.
        radii: (n,) mm.
        lengths: (n,) mm of centre line that each sample stands for.
        low: (3,) one corner of the box to draw in, mm.
        high: (3,) the opposite corner.
        step: grid spacing, mm.
        blur: standard deviation of the imaging blur, mm.
    """
    low = np.asarray(low, dtype=np.float64)
    size = np.ceil((np.asarray(high) - low) / step).astype(int) + 1
    filled = np.zeros(size)
    # Radii in classes, each a factor of 1.4 wide: one smoothing a class.
    classes = np.round(np.log(np.maximum(radii, 1e-3)) / np.log(1.4)).astype(int)
    for number in np.unique(classes):
        chosen = classes == number
        volume = np.pi * radii[chosen] ** 2 * lengths[chosen] / step**3
        drops = _splat((points[chosen] - low) / step, volume, size)
        sigma = np.sqrt((radii[chosen].mean() / 2.0) ** 2 + blur**2) / step
        filled += ndimage.gaussian_filter(drops, sigma, truncate=3.0, mode="constant")
    return Texture(1.0 - np.exp(-1.5 * filled), low, step)


def _splat(index: Array, weights: Array, size: Array) -> Array:
    """Adds weights, (n,), to a grid of that size at fractional indices, (n, 3), trilinearly."""
    base = np.floor(index).astype(int)
    part = index - base
    grid = np.zeros(int(np.prod(size)))
    for corner in np.ndindex(2, 2, 2):
        place = base + corner
        share = np.prod(np.where(corner, part, 1.0 - part), axis=1) * weights
        inside = np.all((place >= 0) & (place < size), axis=1)
        flat = np.ravel_multi_index(tuple(place[inside].T), tuple(size))
        grid += np.bincount(flat, share[inside], minlength=grid.size)
    return grid.reshape(size)
