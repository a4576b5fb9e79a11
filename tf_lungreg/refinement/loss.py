"""The loss of one pair on one level, and its gradients with respect to Φ's logits and to A."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lungreg import losses, ops
from tf_lungreg.arrays import Array
from tf_lungreg.refinement.control_grid import (
    ControlGrid,
    control_points,
    separable,
    upsample,
)
from tf_lungreg.refinement.levels import LevelImages

WINDOW = 5  # voxels, of the local correlation, ...
STRIDE = 2  # ... and from one window to the next
NOISE = (
    1e-3  # variance in a window, of intensities in [0, 1], below which texture counts for little
)
ROUGHNESS = 0.1  # weight of the deformation's squared gradient
FOLDING = 1.0  # weight of the folding term

Windowed = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # a volume, its windows' means and variances

_BLOCK = 2**15  # samples at a time: their many arrays then stay in the cache


@dataclass(frozen=True, eq=False)
class PairLoss:
    """``1 - NCC²`` of both images between A and N, and the terms that keep N smooth.

    The images meet on the grid between the two parts, where ``fixed(A⁻¹(q))`` is compared with
    ``moving(N(q))``: both are samplings of a constant image, and no gradient has to pass through
    the interpolation of N.

    Attributes:
        images: of the level.
        control: the control grid over the level's.
    """

    images: LevelImages
    control: ControlGrid

    def of_logits(self, logits: Array) -> tuple[float, Array]:
        """The loss for Φ's logits, (d, h, w, 3), and its gradient."""
        loss, _, gradient = _of_logits(tf.constant(logits), self._fixed, *self._constants)
        return float(loss), gradient.numpy()

    def of_inverse(self, inverse: Array, logits: Array) -> tuple[float, Array]:
        """The loss for what is left of A⁻¹, and its gradient.

        Args:
            inverse: (3, 4) on the level's normalised coordinates; the identity where the level's
                A is right.
            logits: of Φ.
        """
        constants = (tf.constant(logits), self._fixed[0], *self._constants)
        loss, gradient = _of_inverse(tf.constant(inverse), *constants)
        return float(loss), gradient.numpy()

    def image_term(self, logits: Array) -> float:
        """``1 - NCC²`` alone, see :func:`image_term`.

        Args:
            logits: of Φ, (d, h, w, 3).
        """
        return float(_of_logits(tf.constant(logits), self._fixed, *self._constants)[1])

    @cached_property
    def _fixed(self) -> Windowed:
        return windowed(tf.constant(self.images.fixed), self._constants[-1])

    @cached_property
    def _constants(self) -> tuple[Any, ...]:
        images, control = self.images, self.control
        vectors = (images.pad, control.step, control.frame.spacing)
        return (
            tf.constant(images.moving),
            *(tf.constant(vector, tf.float32) for vector in vectors),
            control.matrices,
            window_matrices(images.frame.shape),
        )


_LOGITS, _INVERSE = tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([3, 4])
_VOLUME, _VECTOR, _MATRIX = (tf.TensorSpec(shape) for shape in ([None] * 3, [3], [None] * 2))
_CONSTANTS = [_VOLUME, _VECTOR, _VECTOR, _VECTOR, [_MATRIX] * 3, [_MATRIX] * 3]


# For volumes of any size: tracing takes as long as many steps.
@tf.function(input_signature=[_LOGITS, (_VOLUME,) * 3, *_CONSTANTS])
def _of_logits(
    logits: tf.Tensor, fixed: Windowed, *constants: Any
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(logits)
        term, smooth = _terms(fixed, logits, *constants)
        loss = term + smooth
    return loss, term, tape.gradient(loss, logits)


@tf.function(input_signature=[_INVERSE, _LOGITS, _VOLUME, *_CONSTANTS])
def _of_inverse(
    inverse: tf.Tensor, logits: tf.Tensor, fixed: tf.Tensor, *constants: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.GradientTape() as tape:
        tape.watch(inverse)
        grid = ops.affine_grid(inverse[tf.newaxis], tf.shape(fixed))[0]
        moved = sample(fixed, tf.unstack(grid, axis=-1))
        loss = tf.add(*_terms(windowed(moved, constants[-1]), logits, *constants))
    return loss, tape.gradient(loss, inverse)


def _terms(
    fixed: Windowed,
    logits: tf.Tensor,
    moving: tf.Tensor,
    pad: tf.Tensor,
    step: tf.Tensor,
    spacing: tf.Tensor,
    matrices: Sequence[tf.Tensor],
    windows: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    points = control_points(logits)
    steps = ops.displacement(points)[0]
    warped = sample(moving, _moving_coordinates(steps, pad, step, matrices))
    smooth = ROUGHNESS * roughness(steps, spacing) + FOLDING * losses.folding(None, points)[0]
    return image_term(fixed, warped, windows), smooth


def windowed(volume: tf.Tensor, windows: Sequence[tf.Tensor]) -> Windowed:
    """A volume (D, H, W), and its mean and variance in each window.

    Args:
        volume: in [0, 1].
        windows: of :func:`window_matrices`.
    """
    mean = separable(volume, windows)
    return volume, mean, tf.nn.relu(separable(volume**2, windows) - mean**2)


def image_term(fixed: Windowed, warped: tf.Tensor, windows: Sequence[tf.Tensor]) -> tf.Tensor:
    """``1 - mean(cov² / ((var + NOISE) (var + NOISE)))`` over the windows.

    What :func:`tf_lungreg.losses.ncc` is, but for ``NOISE``, which is far larger than its floor: a
    pair alone has no other pairs to average out what noise pulls at.

    Args:
        fixed: of :func:`windowed`; where it stays as it is, all its steps share that.
        warped: (D, H, W) in [0, 1], as the fixed volume.
        windows: of :func:`window_matrices`.
    """
    (fixed, mean, variance), (_, other, spread) = fixed, windowed(warped, windows)
    covariance = separable(fixed * warped, windows) - mean * other
    return 1 - tf.reduce_mean(covariance**2 / ((variance + NOISE) * (spread + NOISE)))


def window_matrices(shape: Sequence[int]) -> list[tf.Tensor]:
    """Along each axis, the mean of the ``WINDOW`` voxels in the volume around every second one.

    Windows overlap by so much that those around the voxels in between tell little more, and all of
    them take three times as long.
    """
    matrices = []
    for size in shape:
        distance = np.abs(np.arange(0, size, STRIDE)[:, np.newaxis] - np.arange(size))
        near = (distance <= WINDOW // 2).astype(np.float32)
        matrices.append(tf.constant(near / near.sum(axis=1, keepdims=True)))
    return matrices


def _moving_coordinates(
    steps: tf.Tensor, pad: tf.Tensor, step: tf.Tensor, matrices: Sequence[tf.Tensor]
) -> list[tf.Tensor]:
    """Voxels of the moving image for those of the level's grid: three tensors (D, H, W)."""
    coordinates = []
    for axis, part in enumerate(upsample(steps, matrices)):
        index = tf.range(tf.shape(part)[axis])
        place = tf.reshape(tf.cast(index, tf.float32), [-1 if a == axis else 1 for a in range(3)])
        coordinates.append(part * step[axis] + (place + pad[axis]))
    return coordinates


def roughness(steps: tf.Tensor, spacing: tf.Tensor) -> tf.Tensor:
    """Mean squared gradient of a displacement, mm per mm.

    Args:
        steps: (d, h, w, 3), in steps between the points.
        spacing: (3,), mm from point to point.
    """
    displacement = steps * spacing
    total = tf.zeros([])
    for axis in range(3):
        size = tf.shape(steps)[axis]
        after = tf.gather(displacement, tf.range(1, size), axis=axis)
        before = tf.gather(displacement, tf.range(size - 1), axis=axis)
        total += 3 * tf.reduce_mean(((after - before) / spacing[axis]) ** 2)
    return total


def sample(volume: tf.Tensor, coordinates: Sequence[tf.Tensor]) -> tf.Tensor:
    """Trilinear sampling of a constant volume, the outermost voxels continued.

    :func:`tf_lungreg.ops.warp` also has the gradient of the volume, and the mean of both slopes
    for samples on the lattice. Neither is needed here: a sample and its slopes come of the same
    eight voxels, a block at a time, which takes less than half the time.

    Args:
        volume: (D, H, W), each axis at least 2 long; it gets no gradient.
        coordinates: three tensors of one shape, zero-based voxels.

    Returns:
        Tensor of the shape of the coordinates.
    """
    return _sample(tf.stop_gradient(volume), *coordinates)


@tf.custom_gradient
def _sample(volume: tf.Tensor, *coordinates: tf.Tensor):
    shape, count = tf.shape(coordinates[0]), tf.size(coordinates[0])
    number = -(-count // _BLOCK)
    filling = -count % number
    blocks = [
        tf.reshape(tf.pad(tf.reshape(c, [-1]), [(0, filling)]), [number, -1]) for c in coordinates
    ]
    found = tf.map_fn(
        lambda block: _value_and_slopes(volume, block),
        blocks,
        fn_output_signature=(volume.dtype,) * 4,
    )
    value, *slopes = (tf.reshape(tf.reshape(x, [-1])[:count], shape) for x in found)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
        return (None, *(upstream * slope for slope in slopes))

    return value, gradient


def _value_and_slopes(volume: tf.Tensor, coordinates: Sequence[tf.Tensor]) -> tuple[tf.Tensor, ...]:
    """Samples and their derivatives along D, H, W; beyond the border these are zero."""
    shape = tf.unstack(tf.shape(volume))
    base, places, within = 0, [], []
    for coordinate, size in zip(coordinates, shape):
        last = tf.cast(size - 1, coordinate.dtype)
        clamped = tf.clip_by_value(coordinate, 0, last)
        lower = tf.minimum(tf.floor(clamped), last - 1)
        places.append(clamped - lower)
        within.append(tf.cast(clamped == coordinate, coordinate.dtype))
        base = base * size + tf.cast(lower, tf.int32)
    flat = tf.reshape(volume, [-1])
    offsets = [(a * shape[1] + b) * shape[2] + c for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    values, slopes = [tf.gather_nd(flat, (base + o)[:, tf.newaxis]) for o in offsets], []
    for place in reversed(places):  # along W, then H, then D
        rise = [high - low for low, high in zip(values[::2], values[1::2])]
        values = _between(values, place)
        slopes = [rise, *(_between(slope, place) for slope in slopes)]
    return (values[0], *(slope[0] * inside for slope, inside in zip(slopes, within)))


def _between(values: Sequence[tf.Tensor], place: tf.Tensor) -> list[tf.Tensor]:
    """Linear interpolation of each two of the values."""
    return [low + place * (high - low) for low, high in zip(values[::2], values[1::2])]
