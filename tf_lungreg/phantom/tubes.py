"""Centre lines of ribs, breastbone and airways, as samples to draw tubes from.

Each function returns points (n, 3) in the body frame, radii (n,) and the lengths (n,) of centre
line that the samples stand for, all in millimetres.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.phantom.anatomy import Anatomy

Samples = tuple[Array, Array, Array]  # points (n, 3), radii (n,), lengths (n,)


def _samples(curves: Iterable[Array], radii: Iterable[float]) -> Samples:
    """Centre lines as points (n, 3), radii and lengths (n,)."""
    points: list[Array] = []
    widths: list[Array] = []
    lengths: list[Array] = []
    for curve, radius in zip(curves, radii):
        curve = np.asarray(curve, dtype=np.float64)
        step = np.linalg.norm(np.diff(curve, axis=0), axis=1)
        points.append((curve[1:] + curve[:-1]) / 2)
        lengths.append(step)
        widths.append(np.full(len(step), radius))
    return np.concatenate(points), np.concatenate(widths), np.concatenate(lengths)


def rib_samples(anatomy: Anatomy) -> Samples:
    """Ten pairs of ribs: half ellipses round the pleura that descend to the front; the sternum."""
    curves: list[Array] = []
    angle = np.linspace(-0.93, 0.72, 160) * np.pi / 2
    for number in range(10):
        level = anatomy.apex - 4.0 - number * anatomy.height / 10.5
        rise = np.clip((level - anatomy.base) / anatomy.height, 0, 1)
        shrink = np.sqrt(max(1.0 - max((rise - 0.34) / 0.68, 0.0) ** 3, 0.15))
        drop = 18.0 + 42.0 * (1.0 - rise)
        ring = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** 0.8
        round_x = np.cos(angle) ** 0.7 * (anatomy.width + 7.0) * shrink
        round_y = 2.0 + ring * (anatomy.depth + 6.0)
        height = level - drop * (ring + 1.0) / 2
        for side in (1, -1):
            curves.append(np.column_stack([side * round_x, round_y, height]))
    line = np.linspace(anatomy.apex - 45.0, anatomy.apex - 190.0, 120)
    front = np.full_like(line, anatomy.depth + 4.0)
    sternum = [np.column_stack([np.full_like(line, x), front, line]) for x in (-7.0, 0.0, 7.0)]
    return _samples(curves + sternum, [4.6] * len(curves) + [4.5] * 3)


def airway_samples(anatomy: Anatomy) -> Samples:
    """Trachea, main bronchi and two generations after them."""
    fork = np.array([2.0, -6.0, anatomy.base + 0.64 * anatomy.height])
    share = np.linspace(0.0, 1.0, 60)[:, None]

    def line(start: Array, end: Array) -> Array:
        return start + share * (np.asarray(end) - start)

    curves = [line(np.array([0.0, -2.0, anatomy.apex + 90.0]), fork)]
    radii = [8.2]
    for side in (1, -1):
        hilum = anatomy.hilum(side)
        curves.append(line(fork, hilum))
        radii.append(6.0)
        reach = anatomy.width - abs(hilum[0])
        for dx, dy, dz, radius in (
            (0.45, 0.0, 0.22, 3.0),
            (0.30, -0.35, -0.24, 3.4),
            (0.35, 0.4, -0.08, 2.6),
        ):
            end = hilum + (side * dx * reach, dy * anatomy.depth, dz * anatomy.height)
            curves.append(line(hilum, end))
            radii.append(radius)
    return _samples(curves, radii)
