"""Sampling a volume, and its gradient for the grid, beside other ways to do it."""

from __future__ import annotations

import itertools

import numpy as np
import SimpleITK as sitk
import tensorflow as tf
from scipy import ndimage
from timing import alternate

from tf_lungreg import ops

TOLERANCE = 1e-3  # between the methods, of volumes in [0, 1]


def eight_gathers(volume: tf.Tensor, grid: tf.Tensor) -> tf.Tensor:
    """The plain way: eight gathers of the corners, weighed; the gradient is TensorFlow's own.

    Args:
        volume: (1, D, H, W, 1).
        grid: (1, D, H, W, 3).

    Returns:
        Tensor of shape (1, D, H, W, 1).
    """
    size = tf.shape(volume)[1:4]
    last = tf.cast(size, grid.dtype) - 1
    grid = tf.clip_by_value(grid, 0.0, last)
    lower = tf.minimum(tf.floor(grid), last - 1)
    part, cell = grid - lower, tf.cast(lower, tf.int32)
    total = 0.0
    for corner in itertools.product((0, 1), repeat=3):
        weight = tf.reduce_prod(tf.where(tf.constant(corner) == 1, part, 1 - part), -1)
        total += weight * tf.gather_nd(volume[0, ..., 0], cell + tf.constant(corner))
    return total[..., tf.newaxis]


def make_inputs(shape: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A random volume, (1, D, H, W, 1), and a smooth grid of a few voxels, (1, D, H, W, 3)."""
    draw = np.random.default_rng(0)
    volume = draw.random((1, *shape, 1), np.float32)
    identity = np.moveaxis(np.indices(shape, np.float32), 0, -1)
    waves = [2 * np.sin(identity[..., axis] / 7 + axis) for axis in (1, 2, 0)]
    return volume, (identity + np.stack(waves, axis=-1))[np.newaxis].astype(np.float32)


def measure(shape: tuple[int, int, int], runs: int = 5) -> list[dict]:
    """Median seconds of each method.

    Args:
        shape: D, H, W.
        runs: that are counted.

    Returns:
        Rows of ``method``, ``forward`` and, of TensorFlow's, ``gradient``: both passes, for the
        grid. A method that gives another image inside the volume raises an AssertionError.
    """
    volume, grid = make_inputs(shape)
    methods = _forward(volume, grid)
    expected = methods["ops.warp"]()
    # Beyond the border ITK takes the nearest voxel, not the nearest point: compared inside only.
    inside = np.all((grid[0] >= 0) & (grid[0] <= np.array(shape) - 1), axis=-1)
    for name, method in methods.items():
        np.testing.assert_allclose(method()[inside], expected[inside], atol=TOLERANCE, err_msg=name)
    forward, gradient = alternate(methods, runs), alternate(_gradients(volume, grid), runs)
    return [{"method": n, "forward": s, "gradient": gradient.get(n)} for n, s in forward.items()]


def _forward(volume, grid):
    tensors = tf.constant(volume), tf.constant(grid)
    methods = {
        name: lambda f=function: f(*tensors).numpy()[0, ..., 0]
        for name, function in _compiled(lambda function: function).items()
    }
    array, coordinates = volume[0, ..., 0], np.moveaxis(grid[0], -1, 0)
    methods["scipy map_coordinates"] = lambda: ndimage.map_coordinates(
        array, coordinates, order=1, mode="nearest"
    )
    image, transform = _sitk_inputs(array, grid[0])

    def resample():
        resampler = sitk.ResampleImageFilter()
        resampler.SetReferenceImage(image)
        resampler.SetTransform(transform)
        resampler.SetInterpolator(sitk.sitkLinear)
        resampler.UseNearestNeighborExtrapolatorOn()
        return sitk.GetArrayFromImage(resampler.Execute(image))

    methods["SimpleITK"] = resample
    return methods


def _sitk_inputs(array, grid):
    identity = np.moveaxis(np.indices(array.shape), 0, -1)
    vectors = (grid - identity)[..., ::-1].astype(np.float64)  # ITK's order is x, y, z
    field = sitk.GetImageFromArray(vectors, isVector=True)
    return sitk.GetImageFromArray(array), sitk.DisplacementFieldTransform(field)


def _gradients(volume, grid):
    def differentiated(function):
        def gradient(volume, grid):
            with tf.GradientTape() as tape:
                tape.watch(grid)
                total = tf.reduce_sum(function(volume, grid) ** 2)
            return tape.gradient(total, grid)

        return gradient

    tensors = tf.constant(volume), tf.constant(grid)
    return {
        name: lambda f=function: f(*tensors).numpy()
        for name, function in _compiled(differentiated).items()
    }


def _compiled(change):
    """Ours and the plain way, as graphs, without and with XLA."""
    functions = {}
    for name, function in (("ops.warp", ops.warp), ("eight gathers", eight_gathers)):
        functions[name] = tf.function(change(function))
        functions[f"{name}, XLA"] = tf.function(change(function), jit_compile=True)
    return functions
