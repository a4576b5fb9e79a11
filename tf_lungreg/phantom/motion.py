"""Breathing: a smooth, invertible map from a body point at inspiration to expiration.

``φ = φ_z ∘ φ_y ∘ φ_x``: three steps, each moving one coordinate, monotone in that coordinate
whatever the two others are. Each step's Jacobian determinant is 1 + ∂v/∂(its coordinate) > 0, so
φ has no fold and its inverse is three one-dimensional equations.

The diaphragm rises (z), the chest wall sinks to the fixed back (y) and narrows (x); apex, spine and
arms stay. In systemic sclerosis the lung bases are stiff: the deformation, and nothing else, tells
the diagnosis.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.phantom.anatomy import Anatomy
from tf_lungreg.phantom.shapes import ramp, smooth_step

_Profile = Callable[[Array], Array]  # from a coordinate to its displacement, mm


@dataclass(frozen=True)
class Motion:
    """Breathing of one patient.

    Attributes:
        anatomy: the patient, for where apex, diaphragm and chest wall are.
        rise: of the right and of the left hemidiaphragm, mm.
        sink: of the front chest wall, mm.
        narrow: of each side of the chest, mm.
        stiffness: share of their compression that the lung bases lack.
        waves: (3, 2, 5) small irregular motion of x, y, z: amplitude in mm, three wave numbers
            in radians per mm, phase.
    """

    anatomy: Anatomy
    rise: tuple[float, float]
    sink: float
    narrow: float
    stiffness: float
    waves: Array

    def forward(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Inspiration to expiration, body frame, mm; three float64 arrays of one shape."""
        x = x + self._profile_x(y, z)(x)
        y = y + self._profile_y(x, z)(y)
        z = z + self._profile_z(x, y)(z)
        return x, y, z

    def inverse(self, x: Array, y: Array, z: Array) -> tuple[Array, Array, Array]:
        """Expiration to inspiration, to better than 1e-4 mm."""
        z = _solve(self._profile_z(x, y), z)
        y = _solve(self._profile_y(x, z), y)
        x = _solve(self._profile_x(y, z), x)
        return x, y, z

    def _profile_x(self, y: Array, z: Array) -> _Profile:
        amount = self.narrow * self._chest(z)
        offset, amplitude, number, phase = self._waves(0, y, z)

        def displacement(x: Array) -> Array:
            # Grows to the chest wall and fades towards the arms.
            u = x / self.anatomy.width
            inward = -amount * 1.65 * u * np.exp(-0.5 * u * u)
            return inward + _wave(x, offset, amplitude, number, phase)

        return displacement

    def _profile_y(self, x: Array, z: Array) -> _Profile:
        across = np.exp(-((x / (1.45 * self.anatomy.width)) ** 4))
        amount = self.sink * self._chest(z) * across
        offset, amplitude, number, phase = self._waves(1, x, z)
        low, high = -self.anatomy.depth, 1.15 * self.anatomy.depth

        def displacement(y: Array) -> Array:
            sunk = -amount * smooth_step((y - low) / (high - low))
            return sunk + _wave(y, offset, amplitude, number, phase)

        return displacement

    def _profile_z(self, x: Array, y: Array) -> _Profile:
        right = smooth_step(x / self.anatomy.width + 0.5)
        amount = (self.rise[0] * right + self.rise[1] * (1 - right)) * self._piston(x, y)
        offset, amplitude, number, phase = self._waves(2, x, y)

        def displacement(z: Array) -> Array:
            return amount * self._climb(z) + _wave(z, offset, amplitude, number, phase)

        return displacement

    def _climb(self, z: Array) -> Array:
        """Share of the diaphragm's motion: small at the apex, 1 at the domes, 0 far below."""
        dome = self.anatomy.base + 0.5 * self.anatomy.dome[0]
        top = self.anatomy.apex + 12.0
        above = self._stiffen(ramp((top - z) / (top - dome)))
        below = smooth_step((z - dome + 280.0) / 280.0)
        return above * below

    def _stiffen(self, climb: Array) -> Array:
        """Takes compression from the lungs' lower part: the climb flattens where it passes 0.4."""
        excess = climb - 0.4
        return climb - self.stiffness * 0.5 * (excess + np.sqrt(excess * excess + 0.1**2))

    def _basal(self, z: Array) -> Array:
        """0 in the upper half of the lungs, 1 at the bases and below."""
        return smooth_step((0.15 * self.anatomy.height - z) / (0.55 * self.anatomy.height))

    def _chest(self, z: Array) -> Array:
        """Share of the chest wall's motion at a height, largest at the lower ribs."""
        up = smooth_step((self.anatomy.apex + 20.0 - z) / (0.85 * self.anatomy.height))
        down = smooth_step((z - self.anatomy.base + 190.0) / 170.0)
        return up * down * (1.0 - 0.6 * self.stiffness * self._basal(z))

    def _piston(self, x: Array, y: Array) -> Array:
        """Share of the diaphragm's motion across the body: full in the lungs, none at the spine."""
        u, v = x / self.anatomy.width, (y + 0.08 * self.anatomy.depth) / self.anatomy.depth
        radius = u * u + v * v
        inside = np.exp(-0.45 * radius * radius)
        spine = (x / 34.0) ** 2 + ((y - self.anatomy.spine_y + 12.0) / 34.0) ** 2
        return inside * (1.0 - 0.9 * np.exp(-spine)) * (1.0 - 0.15 * np.tanh(v))

    def _waves(self, axis: int, *others: Array) -> tuple[list[Array], Array, Array, Array]:
        """Small irregular motion along one axis as far as it does not depend on that coordinate."""
        first, second = [other for other in range(3) if other != axis]
        waves = self.waves[axis]
        offset = [w[1 + first] * others[0] + w[1 + second] * others[1] for w in waves]
        return offset, waves[:, 0], waves[:, 1 + axis], waves[:, 4]


def _wave(
    value: Array, offset: list[Array], amplitude: Array, number: Array, phase: Array
) -> Array:
    waves = zip(amplitude, number, offset, phase)
    return functools.reduce(np.add, (a * np.sin(k * value + o + p) for a, k, o, p in waves))


def _solve(displacement: _Profile, target: Array, steps: int = 5, delta: float = 1e-3) -> Array:
    """Solves value + displacement(value) = target by Newton's method; mm, elementwise."""
    value = target - displacement(target)
    for _ in range(steps):
        moved = displacement(value)
        slope = 1.0 + (displacement(value + delta) - moved) / delta
        value = value - (value + moved - target) / np.maximum(slope, 0.2)
    return value


def draw_motion(rng: np.random.Generator, anatomy: Anatomy, diagnosis: str) -> Motion:
    """Random breathing; every number but the stiffness is the same whatever the diagnosis.

    Args:
        rng: random generator of the patient's breathing.
        anatomy: the patient.
        diagnosis: ``"healthy"`` or ``"ssc"``.
    """
    effort = float(np.clip(rng.normal(1.06, 0.46), 0.25, 1.9))
    rise = effort * 0.29 * anatomy.height * np.clip(rng.normal(1.0, 0.05, size=2), 0.88, 1.12)
    # Limits that keep each step monotone, whatever was drawn.
    rise = np.minimum(rise, 0.46 * anatomy.height)
    sink = min(effort * float(np.clip(rng.normal(17, 4), 8, 26)), 0.4 * anatomy.depth)
    narrow = effort * float(np.clip(rng.normal(8, 2), 3, 13))
    # Early disease may be no stiffer than a healthy lung: the two overlap a little.
    stiffness = {
        "healthy": float(np.clip(rng.normal(0.10, 0.10), 0.0, 0.35)),
        "ssc": float(np.clip(rng.normal(0.68, 0.18), 0.1, 0.95)),
    }
    return Motion(anatomy, (rise[0], rise[1]), sink, narrow, stiffness[diagnosis], _draw_waves(rng))


def _draw_waves(rng: np.random.Generator) -> Array:
    """Two waves for each axis: about 1.5 mm, 150 to 260 mm long, in random directions."""
    waves = np.empty((3, 2, 5))
    waves[..., 0] = rng.uniform(0.6, 2.0, size=(3, 2))
    direction = rng.standard_normal((3, 2, 3))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    length = rng.uniform(150.0, 260.0, size=(3, 2, 1))
    waves[..., 1:4] = 2.0 * np.pi * direction / length
    waves[..., 4] = rng.uniform(0.0, 2.0 * np.pi, size=(3, 2))
    return waves
