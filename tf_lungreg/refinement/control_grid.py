"""The deformation on a coarse control grid: logits of Φ, integrated, upsampled by a B-spline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from scipy import ndimage

from tf_lungreg import ops
from tf_lungreg.arrays import Array
from tf_lungreg.images.geometry import Frame
from tf_lungreg.images.sampling import world_points
from tf_lungreg.transforms.transform import Transform

ANCHOR = "ends"  # the ends of the lines lie outside the image, by the margin
_LARGEST = 0.9  # of |Φ - 1| at the start, where the logits still have gradients


class ControlGrid:
    """Control points over an image grid and a margin around it.

    The logits, (d, h, w, 3), give the spatial gradients ``Φ = 2 sigmoid(logits)`` in control
    steps, their integration the control grid, and the cubic B-spline with these coefficients the
    grid between the points. Coefficients that never decrease along a line give a B-spline that
    never decreases, so that what Φ >= 0 promises holds between the points as well.

    Args:
        image: the grid of the images.
        step: voxels from one control point to the next, (3,), each at least 1.
        margin: mm around the image that the control points cover.
    """

    def __init__(self, image: Frame, step: Array, margin: float):
        self.image = image
        self.step = np.asarray(step, np.float64)
        self._outside = np.ceil(np.maximum(2, margin / (self.step * image.spacing)))
        steps = (np.array(image.shape) - 1) / self.step + 2 * self._outside
        affine = image.affine.copy()
        affine[:3, :3] *= self.step
        affine[:3, 3] -= affine[:3, :3] @ self._outside
        self.frame = Frame(np.ceil(steps - 1e-6).astype(int) + 1, affine)
        self.matrices = [
            tf.constant(_spline_matrix(*sizes))
            for sizes in zip(image.shape, self.frame.shape, self.step, self._outside)
        ]

    def start(self, displacement: Transform, translation: Array) -> Array:
        """The logits whose field is nearest to a displacement in the world, less a translation.

        Within the margin each component fades out along its own axis, since the ends stay.
        """
        points = world_points(self.frame, slice(0, self.frame.shape[0]))
        world = displacement.displacement(points) - translation
        steps = world @ np.linalg.inv(self.frame.affine[:3, :3]).T
        gradients = []
        for axis in range(3):
            spline = ndimage.spline_filter(steps[..., axis], 3, mode="nearest")
            spline *= self._fading(axis)
            last = np.take(spline, [-1], axis=axis)
            gradients.append(np.diff(spline, axis=axis, append=last))
        gradients = np.clip(np.stack(gradients, axis=-1), -_LARGEST, _LARGEST)
        return np.log((1 + gradients) / (1 - gradients)).astype(np.float32)

    def field(self, logits: Array, translation: Array) -> Transform:
        """The displacement in the world on the image grid, with the initial translation."""
        steps = ops.displacement(control_points(tf.constant(logits)))[0]
        voxels = np.stack([part.numpy() for part in upsample(steps, self.matrices)], axis=-1)
        world = (voxels * self.step) @ self.image.affine[:3, :3].T + translation
        return Transform(world.astype(np.float32), self.image)

    def _fading(self, axis: int) -> Array:
        """1 over the image, down to 0 at the ends of the lines along an axis."""
        index = np.arange(self.frame.shape[axis])
        weights = np.minimum(1, np.minimum(index, index[::-1]) / self._outside[axis])
        return weights.reshape([-1 if a == axis else 1 for a in range(3)])


def spatial_gradients(logits: tf.Tensor) -> tf.Tensor:
    """Φ in [0, 2]; 1 where the logits are 0."""
    return 2 * tf.sigmoid(logits)


def control_points(logits: tf.Tensor) -> tf.Tensor:
    """Where the control points go, (1, d, h, w, 3) in control steps."""
    return ops.integrate(spatial_gradients(logits)[tf.newaxis], ANCHOR)


def upsample(coefficients: tf.Tensor, matrices: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """The B-spline of each component at the image's voxels.

    Args:
        coefficients: (d, h, w, 3).
        matrices: along the three axes, (D, d), (H, h) and (W, w). As products with matrices the
            three axes take some milliseconds for two million voxels.

    Returns:
        Three tensors (D, H, W).
    """
    return [separable(part, matrices) for part in tf.unstack(coefficients, axis=-1)]


def separable(volume: tf.Tensor, matrices: Sequence[tf.Tensor]) -> tf.Tensor:
    """A volume (d, h, w) times a matrix along each axis, (D, d), (H, h), (W, w): (D, H, W).

    Args:
        volume: (d, h, w).
        matrices: three.
    """
    along_d, along_h, along_w = matrices
    rows = tf.matmul(volume, along_w, transpose_b=True)  # (d, h, W)
    planes = tf.matmul(along_h, rows)  # (d, H, W)
    return tf.tensordot(along_d, planes, 1)


def _spline_matrix(length: int, points: int, step: float, outside: float) -> Array:
    """Weights of the cubic B-spline: (length, points), row sums 1 within the points."""
    position = np.arange(length)[:, np.newaxis] / step + outside
    distance = np.abs(position - np.arange(points))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)
