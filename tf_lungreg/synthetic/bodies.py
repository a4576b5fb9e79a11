"""Bodies of the phantom at inspiration, rendered once, with the motion of their breathing.

Axes are (D, H, W) as everywhere, coordinates millimetres along them from the grid's first voxel.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage
from tqdm.auto import tqdm

from tf_lungreg.arrays import Array
from tf_lungreg.files import replacing
from tf_lungreg.images.geometry import DIRECTIONS, apply_affine
from tf_lungreg.images.sampling import sample_linear
from tf_lungreg.phantom.anatomy import lung_distance
from tf_lungreg.phantom.subject import by_slice, make_subject
from tf_lungreg.phantom.tissue import paint

IMAGE_STEP, IMAGE_SHAPE = 4.0, (72, 124, 120)  # mm, voxels: shoulders to the upper abdomen
FINE_STEP = 2.0  # mm, of bodies whose vessels divide further
MOTION_STEP, MOTION_SHAPE = 8.0, (36, 62, 60)
_CENTER = (0.0, -6.0, -30.0)  # of both grids in the body frame, RAS mm
_FINE_VESSELS = (700, 0.75)  # ends of each tree and their radius in mm
_BODY = 30.0  # intensity above which there is tissue
_FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gaussian with sigma 1
_DIAGNOSES = ("healthy", "ssc")  # in turn: they breathe differently
CENTER = (np.array(IMAGE_SHAPE) - 1) / 2 * IMAGE_STEP

_Motion = Callable[[Array, Array, Array], tuple[Array, Array, Array]]  # of the body frame, mm


@dataclass(frozen=True, eq=False)
class Bodies:
    """A number of bodies.

    Attributes:
        images: (n, D, H, W) intensity at inspiration without noise, float16.
        step: voxel size of the images, mm.
        lungs: (n, D, H, W) bool, on voxels of ``IMAGE_STEP``.
        distance: to the lungs' surface, negative inside, of the same shape; whole mm, up to 127.
        exhale: (n, d, h, w, 3) displacement from inspiration to expiration, mm, float32.
        inhale: the same from expiration to inspiration.
    """

    images: Array
    step: float
    lungs: Array
    distance: Array
    exhale: Array
    inhale: Array


def load_bodies(
    count: int, seed: int, cache: str | os.PathLike[str] | None = None, step: float = IMAGE_STEP
) -> Bodies:
    """Renders bodies, or finds them in a folder where an earlier call has put them.

    Args:
        count: how many.
        seed: body i is the phantom's subject of seed ``seed + i``.
        cache: the folder.
        step: voxel size of the images, ``IMAGE_STEP`` or ``FINE_STEP``.
    """
    file = None if cache is None else Path(cache) / f"bodies-{count}-{seed}-{step:g}mm.npz"
    stored = None if file is None else _read(file, step)
    if stored is not None:
        return stored
    numbers = tqdm(range(count), "Rendering bodies", unit="body", disable=None)
    parts = zip(*(_render(seed + i, _DIAGNOSES[i % 2], step) for i in numbers))
    names = ("images", "lungs", "distance", "exhale", "inhale")
    arrays = dict(zip(names, map(np.stack, parts)))
    if file is not None:
        with replacing(file, overwrite=True) as temporary:
            np.savez(temporary, **arrays)
    return Bodies(step=step, **arrays)


def _read(file: Path, step: float) -> Bodies | None:
    """None where there is no such file, or a damaged one: the bodies are rendered again."""
    try:
        with np.load(file) as stored:
            return Bodies(step=step, **stored)
    except Exception:  # zipfile and numpy raise anything on a damaged file
        return None


def sample(values: Array, points: Array, step: float) -> Array:
    """A field of one of the grids at points, linearly, its border continued.

    Args:
        values: (D, H, W) or (D, H, W, channels).
        points: (..., 3) mm.
        step: voxel size of the grid, mm.
    """
    origin = CENTER - (np.array(values.shape[:3]) - 1) / 2 * step
    return sample_linear(values, (points - origin) / step, np.float32)


def picture(image: Array, points: Array, step: float, spacing: Array) -> Array:
    """The intensity of a body at points, smoothed to the distance between them.

    Args:
        image: (D, H, W) of the body.
        points: (d, h, w, 3) mm.
        step: voxel size of the image, mm.
        spacing: distance of the points along their axes, mm; at most rotated a little.
    """
    origin = CENTER - (np.array(image.shape) - 1) / 2 * step
    voxels = (points - origin) / step
    low = np.clip(np.floor(voxels.min(axis=(0, 1, 2))) - 2, 0, np.array(image.shape) - 4)
    low = low.astype(int)
    high = np.maximum(np.ceil(voxels.max(axis=(0, 1, 2))).astype(int) + 3, low + 4)
    part = image[tuple(slice(a, b) for a, b in zip(low, high))].astype(np.float32)
    ratio = np.abs(spacing) / step
    part = ndimage.gaussian_filter(part, np.sqrt(np.maximum(ratio**2 - 1, 0)) / _FWHM)
    return sample_linear(part, voxels - low, np.float32)


def importance(intensity: Array, lungs: Array) -> Array:
    """How much each voxel's truth counts: most in the lungs, less in the body, hardly in air.

    Args:
        intensity: of the body, without noise.
        lungs: the share of a voxel that they fill, of the same shape.
    """
    return 0.05 + 0.5 * (intensity > _BODY) + 1.5 * lungs


def _render(seed: int, diagnosis: str, step: float) -> tuple[Array, Array, Array, Array, Array]:
    subject = make_subject(np.random.SeedSequence(seed), diagnosis, IMAGE_SHAPE)
    trees = subject.finer_trees(*_FINE_VESSELS) if step == FINE_STEP else subject.trees
    tissue = subject.tissue_at((step,) * 3, trees)
    shape = tuple(np.round(np.array(IMAGE_SHAPE) * IMAGE_STEP / step).astype(int))
    image = by_slice(lambda x, y, z: paint(tissue, x, y, z), _grid(shape, step))
    points = _grid(IMAGE_SHAPE, IMAGE_STEP)
    distance = by_slice(lambda x, y, z: lung_distance(subject.anatomy, x, y, z), points)
    places = _grid(MOTION_SHAPE, MOTION_STEP)
    motions = (subject.motion.forward, subject.motion.inverse)
    exhale, inhale = (_displacement(motion, places) for motion in motions)
    whole = np.clip(distance, -127, 127).round().astype(np.int8)
    return image.astype(np.float16), distance < 0, whole, exhale, inhale


def _displacement(motion: _Motion, points: Array) -> Array:
    """(d, h, w, 3), mm along D, H, W, of a map of the body frame."""
    moved = by_slice(lambda x, y, z: np.stack(motion(x, y, z)), points)
    return (np.moveaxis(moved - points, 0, -1) @ DIRECTIONS).astype(np.float32)


def _grid(shape: Sequence[int], step: float) -> Array:
    """Body positions of the voxels, (3, D, H, W) RAS mm."""
    affine = np.eye(4)
    affine[:3, :3] = DIRECTIONS * step
    affine[:3, 3] = np.array(_CENTER) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    index = np.stack(list(np.indices(shape)), axis=-1).astype(np.float64)
    return np.moveaxis(apply_affine(affine, index), -1, 0)
