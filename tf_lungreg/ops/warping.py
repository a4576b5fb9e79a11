"""Sampling a volume at a grid of coordinates, with its own gradients (paper 2.1, Eq. 2)."""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.errors import InputError

INTERPOLATIONS = ("linear", "nearest")


def warp(
    volume: tf.Tensor, grid: tf.Tensor, interpolation: str = "linear", outside="border"
) -> tf.Tensor:
    """Pull-back sampling: ``warped(p) = volume(G(p))`` (Eq. 2).

    The gradient of linear sampling with respect to the grid is exact between the lattice points.
    On them, where the derivative is one-sided, it is the mean of both slopes, so that it has no
    preferred direction at the identity, where every sample lies on the lattice. Outside the volume
    it is zero.

    Args:
        volume: (batch, D, H, W, C), each spatial axis at least 2 long.
        grid: (batch, D', H', W', 3), zero-based voxel coordinates in the volume, float.
        interpolation: ``"linear"`` (trilinear), or ``"nearest"`` for labels (halves round up).
        outside: ``"border"`` continues the outermost voxels; a number is the value of samples
            more than half a voxel beyond the centres of the outermost voxels, SimpleITK's rule.

    Returns:
        Tensor of shape (batch, D', H', W', C) in the volume's dtype.

    Raises:
        InputError: wrong ranks or sizes, or an unknown interpolation.
    """
    volume, grid = tf.convert_to_tensor(volume), tf.convert_to_tensor(grid)
    _check(volume, grid, interpolation)
    if interpolation == "nearest":
        sampled = _nearest(volume, grid)
    else:
        sampled = tf.cast(_linear(tf.cast(volume, grid.dtype), grid), volume.dtype)
    if isinstance(outside, str):
        if outside != "border":
            raise InputError(f"outside: 'border' or a number is needed, not {outside!r}.")
        return sampled
    size = tf.cast(tf.shape(volume)[1:4], grid.dtype)
    inside = tf.reduce_all((grid >= -0.5) & (grid <= size - 0.5), axis=-1, keepdims=True)
    return tf.where(inside, sampled, tf.cast(outside, volume.dtype))


def _check(volume, grid, interpolation):
    if interpolation not in INTERPOLATIONS:
        known = ", ".join(INTERPOLATIONS)
        raise InputError(f"interpolation: one of {known} is needed, not {interpolation!r}.")
    if volume.shape.rank not in (None, 5) or any(n in (0, 1) for n in volume.shape[1:4]):
        raise InputError(
            f"volume: (batch, D, H, W, C) with axes of at least 2 is needed, not {volume.shape}."
        )
    if grid.shape.rank not in (None, 5) or grid.shape[-1] not in (None, 3):
        raise InputError(f"grid: (batch, D, H, W, 3) is needed, not {grid.shape}.")


def _flat_index(corner: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Row of each voxel in the volume seen as (batch * D * H * W, C); (batch, D', H', W')."""
    voxel = (corner[..., 0] * size[1] + corner[..., 1]) * size[2] + corner[..., 2]
    first = tf.range(tf.shape(corner)[0]) * tf.reduce_prod(size)
    return voxel + tf.reshape(first, (-1, 1, 1, 1))


def _rows(volume: tf.Tensor) -> tf.Tensor:
    return tf.reshape(volume, tf.stack([-1, tf.shape(volume)[-1]]))


def _nearest(volume, grid):
    size = tf.shape(volume)[1:4]
    last = tf.cast(size, grid.dtype) - 1
    voxel = _to_index(tf.clip_by_value(tf.floor(grid + 0.5), 0, last), size - 1)
    return tf.gather(_rows(volume), _flat_index(voxel, size))


def _to_index(coordinate, last):
    """Whole coordinates as integers; one that is no number leads to some voxel, not to a crash."""
    return tf.clip_by_value(tf.cast(coordinate, tf.int32), 0, last)


def _locate(grid, size):
    """The cell of each sample.

    Returns:
        The row of its first corner, (batch, D', H', W'), and the place in the cell along each
        axis, three tensors (batch, D', H', W', 1) in [0, 1].
    """
    last = tf.cast(size, grid.dtype) - 1
    clamped = tf.clip_by_value(grid, 0, last)
    lower = tf.minimum(tf.floor(clamped), last - 1)
    place = tf.split(clamped - lower, 3, axis=-1)
    base = _flat_index(_to_index(lower, size - 2), size)
    return base, place


def _corners(rows, base, size):
    """Values at the eight corners of each sample's cell, as ``corners[a][b][c]``."""
    return [
        [
            [tf.gather(rows, base + ((a * size[1] + b) * size[2] + c)) for c in (0, 1)]
            for b in (0, 1)
        ]
        for a in (0, 1)
    ]


def _between(low, high, place):
    return low + place * (high - low)


def _interpolate(corners, place):
    """Trilinear interpolation, the last axis first."""
    edges = [[_between(low, high, place[2]) for low, high in face] for face in corners]
    faces = [_between(low, high, place[1]) for low, high in edges]
    return _between(*faces, place[0])


@tf.custom_gradient
def _linear(volume, grid):
    size = tf.shape(volume)[1:4]
    base, place = _locate(grid, size)
    sampled = _interpolate(_corners(_rows(volume), base, size), place)

    def gradient(upstream):
        return (
            _volume_gradient(upstream, tf.shape(volume), base, place),
            _grid_gradient(upstream, volume, grid),
        )

    return sampled, gradient


def _volume_gradient(upstream, shape, base, place):
    """Adds each sample's gradient, by its trilinear weights, to the eight corners of its cell."""
    size, count = shape[1:4], tf.reduce_prod(shape[:4])
    total = tf.zeros(tf.stack([count, shape[4]]), upstream.dtype)
    weight = [(1 - t, t) for t in place]
    for a in (0, 1):
        for b in (0, 1):
            for c in (0, 1):
                share = upstream * (weight[0][a] * weight[1][b] * weight[2][c])
                rows = base + ((a * size[1] + b) * size[2] + c)
                total += tf.math.unsorted_segment_sum(_rows(share), tf.reshape(rows, [-1]), count)
    return tf.reshape(total, shape)


def _grid_gradient(upstream, volume, grid):
    """Derivative of the samples along the three coordinates, times the gradient that came."""
    size = tf.shape(volume)[1:4]
    base, place = _locate(grid, size)
    # Four groups of C channels: the volume and the mean of both slopes at each voxel, per axis.
    packed = tf.concat([volume] + [_mean_slope(volume, axis) for axis in (1, 2, 3)], axis=-1)
    corners = _corners(_rows(packed), base, size)
    _, *on_lattice = tf.split(_interpolate(corners, place), 4, axis=-1)

    values = [[[tf.split(v, 4, axis=-1)[0] for v in edge] for edge in face] for face in corners]
    edges = [[_between(low, high, place[2]) for low, high in face] for face in values]
    faces = [_between(low, high, place[1]) for low, high in edges]
    across = [[high - low for low, high in face] for face in values]  # slope along W on each edge
    in_cell = [
        faces[1] - faces[0],
        _between(edges[0][1] - edges[0][0], edges[1][1] - edges[1][0], place[0]),
        _between(*(_between(low, high, place[1]) for low, high in across), place[0]),
    ]

    last = tf.cast(size, grid.dtype) - 1
    slopes = []
    for axis, (cell, lattice) in enumerate(zip(in_cell, on_lattice)):
        at_lattice = (place[axis] == 0) | (place[axis] == 1)
        coordinate = grid[..., axis : axis + 1]
        within = (coordinate >= 0) & (coordinate <= last[axis])
        slope = tf.where(at_lattice, lattice, cell)
        total = tf.reduce_sum(upstream * slope, axis=-1, keepdims=True)
        slopes.append(tf.where(within, total, tf.zeros_like(total)))
    return tf.concat(slopes, axis=-1)


def _mean_slope(volume, axis):
    """Mean of the slopes to both sides of each voxel, the outermost voxels continued outside."""
    size = tf.shape(volume)[axis]
    index = tf.range(size)
    after = tf.gather(volume, tf.minimum(index + 1, size - 1), axis=axis)
    before = tf.gather(volume, tf.maximum(index - 1, 0), axis=axis)
    return (after - before) / 2
