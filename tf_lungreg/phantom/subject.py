"""One patient: from random numbers to images, masks, landmarks and the true displacement.

Everything is drawn from streams of their own, so that the diagnosis, which only the breathing
knows, leaves anatomy, positions, noise, bias and observers as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tf_lungreg.images.geometry import DIRECTIONS, Frame, apply_affine, ras_to_lps, rotation
from tf_lungreg.phantom.anatomy import Anatomy, draw_anatomy, lung_distance
from tf_lungreg.phantom.motion import Motion, draw_motion
from tf_lungreg.phantom.organs import LUNG
from tf_lungreg.phantom.tissue import Tissue, make_tissue, paint
from tf_lungreg.phantom.vessels import Tree, grow_trees, landmark_points

PHASES = ("inhale", "exhale")
FIELD_OF_VIEW = (240.0, 620.0, 620.0)  # mm along D, H, W

# Two observers whose mean absolute difference is the paper's, Table 2, in RAS order: for two
# independent errors of standard deviation σ it is 2σ / √π.
OBSERVER_DIFFERENCE = (1.664, 2.545, 1.555)  # mm
OBSERVER_SIGMA = tuple(value * math.sqrt(math.pi) / 2 for value in OBSERVER_DIFFERENCE)


@dataclass(frozen=True)
class Pose:
    """Where a body lies in one acquisition: world = rotation @ body + origin, RAS mm.

    Attributes:
        rotation: (3, 3).
        origin: (3,) world position of the body frame's origin.
        center: (3,) world position of the volume's centre.
    """

    rotation: np.ndarray
    origin: np.ndarray
    center: np.ndarray

    def to_world(self, points):
        """Body to world, (..., 3)."""
        return points @ self.rotation.T + self.origin

    def to_body(self, points):
        """World to body, (..., 3)."""
        return (points - self.origin) @ self.rotation


@dataclass(frozen=True)
class Scanner:
    """What the acquisition adds to the picture.

    Attributes:
        gain: intensity scale.
        noise: standard deviation of each of the two noise channels.
        bias: (9,) weights of the smooth polynomials of the logarithmic bias field.
        exhale_density: lung intensity at expiration relative to inspiration.
    """

    gain: float
    noise: float
    bias: np.ndarray
    exhale_density: float


@dataclass(frozen=True)
class Subject:
    """A patient in both phases, ready to be rendered on grids of ``shape``.

    Attributes:
        shape: voxels along D, H, W.
        sex: ``"F"`` or ``"M"``.
        age: years.
        anatomy, motion, scanner: the parts.
        poses: phase → pose.
        seeds: stream name → seed, for what is drawn when it is needed.
    """

    shape: tuple[int, int, int]
    sex: str
    age: int
    anatomy: Anatomy
    motion: Motion
    scanner: Scanner
    poses: dict[str, Pose]
    seeds: dict[str, np.random.SeedSequence]

    @cached_property
    def trees(self) -> list[Tree]:
        """The vessels of the lungs."""
        return grow_trees(self._rng("vessels"), self.anatomy)

    @cached_property
    def tissue(self) -> Tissue:
        """What the images are painted with."""
        return self.tissue_at(np.array(FIELD_OF_VIEW) / self.shape)

    def tissue_at(self, spacing, trees: list[Tree] | None = None) -> Tissue:
        """The same for images of another voxel size, or with other vessels.

        Args:
            spacing: (3,) mm.
            trees: in place of those of :attr:`trees`.
        """
        return make_tissue(self._rng("tissue"), self.anatomy, trees or self.trees, spacing)

    def finer_trees(self, ends: int, end_radius: float) -> list[Tree]:
        """Vessels that divide further than those of :attr:`trees`.

        Args:
            ends: of each tree.
            end_radius: mm.
        """
        return grow_trees(self._rng("vessels"), self.anatomy, ends, end_radius)

    @cached_property
    def marks(self):
        """Landmark names and their (n, 3) body positions at inspiration, mm."""
        return landmark_points(self.anatomy, self.trees)

    def _rng(self, stream: str) -> np.random.Generator:
        return np.random.default_rng(self.seeds[stream])

    def frame(self, phase: str) -> Frame:
        """The voxel grid of one phase's files."""
        affine = np.eye(4)
        affine[:3, :3] = DIRECTIONS * (np.array(FIELD_OF_VIEW) / self.shape)
        middle = (np.array(self.shape) - 1) / 2
        affine[:3, 3] = self.poses[phase].center - affine[:3, :3] @ middle
        return Frame(self.shape, affine)

    def anatomy_points(self, phase: str):
        """Body position at inspiration of each voxel of a phase, (3, D, H, W) mm."""
        points = self.poses[phase].to_body(_world_points(self.frame(phase)))
        points = np.moveaxis(points, -1, 0)
        return points if phase == "inhale" else by_slice(self.motion.inverse, points)

    def clean_image(self, phase: str, points=None) -> np.ndarray:
        """Intensity without noise, bias and gain, (D, H, W) float32.

        Args:
            phase: ``inhale`` or ``exhale``.
            points: of :meth:`anatomy_points`, for those who have them already.
        """
        points = self.anatomy_points(phase) if points is None else points
        value = LUNG * (self.scanner.exhale_density if phase == "exhale" else 1.0)
        return by_slice(lambda x, y, z: paint(self.tissue, x, y, z, value), points)

    def mask(self, phase: str, points=None) -> np.ndarray:
        """Both lungs, (D, H, W) uint8.

        Args:
            phase: ``inhale`` or ``exhale``.
            points: of :meth:`anatomy_points`, for those who have them already.
        """
        points = self.anatomy_points(phase) if points is None else points
        distance = by_slice(lambda x, y, z: lung_distance(self.anatomy, x, y, z), points)
        return (distance < 0).astype(np.uint8)

    def image_and_mask(self, phase: str):
        """The acquired image, (D, H, W) int16, and the lungs' mask, uint8."""
        points = self.anatomy_points(phase)
        clean = self.clean_image(phase, points) * self.scanner.gain
        clean = clean * bias_field(self.shape, self.scanner.bias)
        rng = self._rng("noise_" + phase)
        noise = self.scanner.noise * rng.standard_normal((2, *self.shape))
        image = np.hypot(clean + noise[0], noise[1])  # Rician: the magnitude of a complex signal
        return np.rint(image).astype(np.int16), self.mask(phase, points)

    def move(self, points: np.ndarray) -> np.ndarray:
        """World points (..., 3), RAS, of the inhale image to the same anatomy at expiration."""
        x, y, z = np.moveaxis(self.poses["inhale"].to_body(points), -1, 0)
        return self.poses["exhale"].to_world(np.stack(self.motion.forward(x, y, z), axis=-1))

    def displacement(self) -> np.ndarray:
        """U with exhale(p + u(p)) ≃ inhale(p), on the inhale grid: (D, H, W, 3), LPS mm."""
        points = _world_points(self.frame("inhale"))
        return ras_to_lps(self.move(points) - points)

    def true_landmarks(self, phase: str) -> np.ndarray:
        """(n, 3) RAS mm, before any observer."""
        inhale = self.poses["inhale"].to_world(self.marks[1])
        return inhale if phase == "inhale" else self.move(inhale)

    def observed_landmarks(self, phase: str) -> np.ndarray:
        """Marked by two observers: (2, n, 3) RAS mm."""
        rng = self._rng("observers_" + phase)
        truth = self.true_landmarks(phase)
        return truth + rng.standard_normal((2, *truth.shape)) * OBSERVER_SIGMA


def make_subject(seed: np.random.SeedSequence, diagnosis: str, shape) -> Subject:
    """Draws a patient.

    Args:
        seed: the patient's; it is not changed, so that the same one gives the same patient.
        diagnosis: ``"healthy"`` or ``"ssc"``; changes the breathing only.
        shape: voxels along D, H, W.
    """
    names = ("person", "anatomy", "vessels", "tissue", "motion", "pose", "scanner")
    names += ("noise_inhale", "noise_exhale", "observers_inhale", "observers_exhale")
    seeds = {
        name: np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, number))
        for number, name in enumerate(names)
    }
    rng = {name: np.random.default_rng(value) for name, value in seeds.items()}
    sex = "FM"[int(rng["person"].integers(2))]
    age = int(np.clip(round(rng["person"].normal(54, 12)), 20, 82))
    anatomy = draw_anatomy(rng["anatomy"], sex)
    return Subject(
        shape=tuple(int(n) for n in shape),
        sex=sex,
        age=age,
        anatomy=anatomy,
        motion=draw_motion(rng["motion"], anatomy, diagnosis),
        scanner=_draw_scanner(rng["scanner"]),
        poses=_draw_poses(rng["pose"]),
        seeds=seeds,
    )


def bias_field(shape, weights) -> np.ndarray:
    """Smooth multiplicative field that falls off beyond the coil, (D, H, W) float32.

    Args:
        shape: (D, H, W).
        weights: nine, of the linear and quadratic terms of its logarithm.
    """
    d, h, w = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij", sparse=True)
    terms = (d, h, w, d * h, d * w, h * w, d * d, h * h, w * w)
    log_bias = sum(weight * term for weight, term in zip(weights, terms))
    return (np.exp(log_bias) / (1.0 + (np.abs(h) / 1.05) ** 8)).astype(np.float32)


def _world_points(frame: Frame) -> np.ndarray:
    """World position of each voxel, (D, H, W, 3) RAS mm."""
    index = np.stack(np.indices(frame.shape), axis=-1).astype(np.float64)
    return apply_affine(frame.affine, index)


def by_slice(function, points) -> np.ndarray:
    """Calls function(x, y, z) slice by slice of (3, D, H, W) points: what fits the cache is fast.

    The function's results, (H, W) or three of them, are stacked to (D, H, W) or (3, D, H, W).
    """
    slices = [np.asarray(function(*points[:, d])) for d in range(points.shape[1])]
    return np.stack(slices, axis=slices[0].ndim - 2)


def _draw_scanner(rng) -> Scanner:
    return Scanner(
        gain=float(np.clip(rng.normal(1.08, 0.06), 0.9, 1.25)),
        noise=float(np.clip(rng.normal(22, 4), 12, 34)),
        bias=rng.normal(0.0, 0.07, size=9),
        exhale_density=float(np.clip(rng.normal(1.3, 0.07), 1.1, 1.5)),
    )


def _draw_poses(rng) -> dict:
    """The patient's place in the scanner, and the small change of it between the phases."""
    center = rng.normal(0.0, 15.0, size=3)
    origin = center + (0.0, 8.0, 18.0) + rng.normal(0.0, (7.0, 5.0, 20.0))
    angles = rng.normal(0.0, 2.2, size=3)
    inhale = Pose(rotation(angles), origin, center)
    exhale = Pose(
        rotation(angles + rng.normal(0.0, 0.7, size=3)),
        origin + rng.normal(0.0, (2.5, 2.0, 5.0)),
        center + rng.normal(0.0, (1.5, 1.5, 3.0)),
    )
    return {"inhale": inhale, "exhale": exhale}
