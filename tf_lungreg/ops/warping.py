"""Sampling a volume at a grid of coordinates, with its own gradients (paper 2.1, Eq. 2)."""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg.errors import InputError

INTERPOLATIONS = ("linear", "nearest")

_BLOCK = 2**15  # samples at a time, at most


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
        sampled = tf.ensure_shape(sampled, (*grid.shape[:4], volume.shape[-1]))
    if isinstance(outside, str):
        if outside != "border":
            raise InputError(f"outside: 'border' or a number is needed, not {outside!r}.")
        return sampled
    size = tf.cast(tf.shape(volume)[1:4], grid.dtype)
    inside = tf.reduce_all((grid >= -0.5) & (grid < size - 0.5), axis=-1, keepdims=True)
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


def _nearest(volume, grid):
    size = tf.shape(volume)[1:4]
    voxel = [_to_index(tf.floor(x + 0.5), n) for x, n in zip(_axes(grid), tf.unstack(size))]
    rows = tf.squeeze(_row(voxel, size), -1) + tf.reshape(_first_rows(volume), (-1, 1, 1, 1))
    return tf.gather(_rows(volume), rows)


@tf.custom_gradient
def _linear(volume, grid):
    rows, size = _rows(volume), tf.shape(volume)[1:4]

    def sample(first, samples):
        base, place = _locate(samples, size)
        return _interpolate(_corners(rows, first + base, size), place)

    def slopes(first, samples, upstream):
        return _grid_gradient(rows, first, samples, upstream, size)

    def gradient(upstream):
        return _volume_gradient(upstream, volume, grid), _in_blocks(slopes, volume, grid, upstream)

    return _in_blocks(sample, volume, grid), gradient


def _in_blocks(function, volume, grid, *others):
    """A function of samples, a block of them at a time: their many arrays then stay in the cache.

    Args:
        function: of the first row of each sample's volume, (samples, 1), its coordinates,
            (samples, 3), and what belongs to it in ``others``; gives (samples, any).
        volume: (batch, D, H, W, C).
        grid: (batch, D', H', W', 3).
        *others: (batch, D', H', W', any).

    Returns:
        Tensor of shape (batch, D', H', W', any).
    """
    shape = tf.shape(grid)
    count = tf.reduce_prod(shape[:4])
    number = tf.maximum(1, _divide_up(count, _BLOCK))
    size = _divide_up(count, number)

    def blocks(tensor):
        width = tf.shape(tensor)[-1]
        filled = tf.pad(tf.reshape(tensor, [count, width]), [(0, number * size - count), (0, 0)])
        return tf.reshape(filled, [number, size, width])

    first = tf.reshape(_first_rows(volume), (-1, 1, 1, 1, 1)) + tf.zeros(
        tf.concat([shape[:4], [1]], 0), tf.int32
    )
    out = tf.map_fn(
        lambda parts: function(*parts),
        tuple(blocks(tensor) for tensor in (first, grid, *others)),
        fn_output_signature=grid.dtype,
    )
    width = tf.shape(out)[-1]
    return tf.reshape(tf.reshape(out, [-1, width])[:count], tf.concat([shape[:4], [width]], axis=0))


def _divide_up(count, by):
    return -(-count // by)


def _rows(volume: tf.Tensor) -> tf.Tensor:
    """The voxels of all volumes of a batch, (batch * D * H * W, C)."""
    return tf.reshape(volume, tf.stack([-1, tf.shape(volume)[-1]]))


def _first_rows(volume):
    """The row with which each volume of the batch begins, (batch,)."""
    shape = tf.shape(volume)
    return tf.range(shape[0]) * tf.reduce_prod(shape[1:4])


def _row(voxel, size):
    """Row within its volume of a voxel, three tensors of whole numbers."""
    return (voxel[0] * size[1] + voxel[1]) * size[2] + voxel[2]


def _axes(grid):
    """The three coordinates, (..., 1) each."""
    return tf.split(grid, 3, axis=-1)


def _to_index(coordinate, size):
    """Whole coordinates as voxels; one that is no number leads to some voxel, not to a crash."""
    return tf.clip_by_value(tf.cast(coordinate, tf.int32), 0, size - 1)


def _locate(grid, size, round_down=tf.floor):
    """The cell of each sample, or the nearest one.

    Args:
        grid: (..., 3).
        size: of the volume, (3,).
        round_down: what gives the cell from a coordinate.

    Returns:
        The row of its first corner, (..., 1), and the place in the cell along each axis, three
        tensors (..., 1) in [0, 1].
    """
    cell, place = [], []
    for coordinate, n in zip(_axes(grid), tf.unstack(size)):
        last = tf.cast(n, grid.dtype) - 2
        lower = tf.clip_by_value(round_down(coordinate), 0, last)
        place.append(tf.clip_by_value(coordinate - lower, 0, 1))
        cell.append(_to_index(lower, n - 1))
    return _row(cell, size), place


def _corners(rows, base, size):
    """Values at the eight corners of each sample's cell, in the order of D, H, W."""
    offsets = [(a * size[1] + b) * size[2] + c for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    # On a processor gather_nd takes two thirds of gather's time for rows of one number.
    return [tf.gather_nd(rows, base + offset) for offset in offsets]


def _interpolate(values, place):
    """Trilinear interpolation of the corners' values, the last axis first."""
    for t in reversed(place):
        values = [low + t * (high - low) for low, high in zip(values[::2], values[1::2])]
    return values[0]


def _volume_gradient(upstream, volume, grid):
    """Adds each sample's gradient, by its trilinear weights, to the eight corners of its cell."""
    shape = tf.shape(volume)
    size, count = shape[1:4], tf.reduce_prod(shape[:4])
    base, place = _locate(grid, size)
    base = tf.squeeze(base, -1) + tf.reshape(_first_rows(volume), (-1, 1, 1, 1))
    total = tf.zeros(tf.stack([count, shape[4]]), upstream.dtype)
    weight = [(1 - t, t) for t in place]
    for a in (0, 1):
        for b in (0, 1):
            for c in (0, 1):
                share = upstream * (weight[0][a] * weight[1][b] * weight[2][c])
                rows = base + ((a * size[1] + b) * size[2] + c)
                total += tf.math.unsorted_segment_sum(_rows(share), tf.reshape(rows, [-1]), count)
    return tf.reshape(total, shape)


def _grid_gradient(rows, first, grid, upstream, size):
    """Derivative of the samples along the three coordinates, times the gradient that came.

    Mean of the slopes to both sides of each sample: in the cell above it and in the one below,
    which are two for a sample on the lattice. Beyond the volume there is no slope.
    """
    total = [0.0, 0.0, 0.0]
    for cell in (tf.floor, _cell_below):
        base, place = _locate(grid, size, cell)
        slopes = _cell_slopes(_corners(rows, first + base, size), place)
        for axis, coordinate in enumerate(_axes(grid)):
            number, cells = cell(coordinate), tf.cast(size[axis] - 1, grid.dtype)
            half = tf.where((number >= 0) & (number < cells), 0.5, tf.zeros_like(number))
            total[axis] += half * tf.reduce_sum(upstream * slopes[axis], axis=-1, keepdims=True)
    return tf.concat(total, axis=-1)


def _cell_below(coordinate):
    """The cell below a coordinate: on the lattice, the one that ends there."""
    return tf.math.ceil(coordinate) - 1


def _cell_slopes(values, place):
    """Slopes along D, H, W of the trilinear interpolation of the corners' values."""
    slopes = []
    for axis in range(3):
        stride = (4, 2, 1)[axis]
        low = [v for number, v in enumerate(values) if not number & stride]
        high = [v for number, v in enumerate(values) if number & stride]
        across = [b - a for a, b in zip(low, high)]
        slopes.append(_interpolate(across, [t for a, t in enumerate(place) if a != axis]))
    return slopes
