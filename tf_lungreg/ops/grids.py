"""Grids of sampling coordinates: the identity, the affine one (paper 2.1), their composition."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tf_lungreg.ops.warping import warp


def identity_grid(shape: Sequence[int] | tf.Tensor, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """The grid that samples every voxel at itself: ``G[0, i, j, k] = (i, j, k)``.

    Args:
        shape: the three sizes (D, H, W), integers or a tensor of shape (3,).
        dtype: type of the coordinates.

    Returns:
        Tensor of shape (1, D, H, W, 3).

    Example:
        >>> grid = identity_grid((2, 3, 4))
        >>> grid.shape
        TensorShape([1, 2, 3, 4, 3])
        >>> grid[0, 1, 2, 3].numpy().tolist()
        [1.0, 2.0, 3.0]
    """
    axes = [tf.cast(tf.range(shape[axis]), dtype) for axis in range(3)]
    return tf.stack(tf.meshgrid(*axes, indexing="ij"), axis=-1)[tf.newaxis]


def displacement(grid: tf.Tensor) -> tf.Tensor:
    """``u(p) = G(p) - p`` in voxels, the shape of the grid.

    Example:
        The grid that samples one voxel farther along W:

        >>> shifted = identity_grid((2, 2, 2)) + [0.0, 0.0, 1.0]
        >>> displacement(shifted)[0, 0, 0, 0].numpy().tolist()
        [0.0, 0.0, 1.0]
    """
    return grid - identity_grid(tf.shape(grid)[1:4], grid.dtype)


def identity_affine(batch: int | tf.Tensor = 1, dtype: tf.DType = tf.float32) -> tf.Tensor:
    """The affine matrices ``[I | 0]``, shape (batch, 3, 4).

    Args:
        batch: how many, all the same.
        dtype: type of the numbers.
    """
    return tf.eye(3, 4, batch_shape=[batch], dtype=dtype)


def affine_grid(affine: tf.Tensor, shape: Sequence[int] | tf.Tensor) -> tf.Tensor:
    """The grid of an affine transform, ``G_A(p) = A [p, 1]`` (paper 2.1).

    The matrix acts on coordinates normalised so that -1 and 1 are the centres of the first and
    last voxel of each axis. What is computed is the displacement ``(A - [I | 0]) [p, 1]``, so that
    the identity matrix gives the identity grid exactly.

    Args:
        affine: (batch, 3, 4), rows and columns in the order (D, H, W, 1).
        shape: the three sizes (D, H, W), each at least 2, integers or a tensor of shape (3,).

    Returns:
        Tensor of shape (batch, D, H, W, 3), voxel coordinates.
    """
    dtype = affine.dtype
    identity = identity_grid(shape, dtype)  # (1, D, H, W, 3)
    half = (tf.cast(tf.stack([shape[axis] for axis in range(3)]), dtype) - 1) / 2
    normalised = identity / half - 1
    difference = affine - identity_affine(1, dtype)  # (batch, 3, 4)
    linear = tf.einsum("bxy,odhwy->bdhwx", difference[..., :3], normalised)
    shift = difference[:, tf.newaxis, tf.newaxis, tf.newaxis, :, 3]
    return identity + (linear + shift) * half


def compose(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The grid of ``first``, then ``second``: ``G(p) = second(first(p))``.

    Sampling an image with the second grid and the result with the first is, up to interpolation,
    sampling it once with their composition (Eq. 3 with first = G_A and second = G_N). Outside the
    volume the displacement of ``second``, not its coordinate, continues:
    ``G(p) = first(p) + u(clamp(first(p)))``.

    Args:
        first: (batch, D, H, W, 3).
        second: (batch, D', H', W', 3).

    Returns:
        Tensor of the shape of ``first``.
    """
    return first + warp(displacement(second), first)


def compose_affine(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """The matrix of ``first``, then ``second``: ``A [p, 1] = second [first [p, 1], 1]``.

    Args:
        first: (batch, 3, 4).
        second: the same shape.

    Returns:
        Tensor of shape (batch, 3, 4).
    """
    linear = second[..., :3]
    shift = linear @ first[..., 3:] + second[..., 3:]
    return tf.concat([linear @ first[..., :3], shift], axis=-1)


def invert_affine(affine: tf.Tensor) -> tf.Tensor:
    """The matrix of the inverse transform, (batch, 3, 4).

    Args:
        affine: (batch, 3, 4), not singular.
    """
    linear = tf.linalg.inv(affine[..., :3])
    return tf.concat([linear, -linear @ affine[..., 3:]], axis=-1)
