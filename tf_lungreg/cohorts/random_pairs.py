"""Pairs of images for training and validation, as ``tf.data`` datasets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tf_lungreg.arrays import Array


def stack_images(images: Sequence[Array]) -> tf.Tensor:
    """Volumes (D, H, W) in one tensor (count, D, H, W, 1), in the processor's memory."""
    with tf.device("CPU"):
        return tf.convert_to_tensor(np.stack(images)[..., np.newaxis], tf.float32)


def draw_pairs(seed: int, step: int | tf.Tensor, batch: int, pairs: tf.Tensor) -> tf.Tensor:
    """Random pairs of a list, a function of seed and step alone.

    Args:
        seed: of the run.
        step: number of the training step, an integer or an integer tensor.
        batch: how many pairs.
        pairs: int32 tensor of shape (count, 2), the moving and the fixed image of each pair.

    Returns:
        int32 tensor of shape (batch, 2).
    """
    key = tf.stack([tf.cast(seed, tf.int64), tf.cast(step, tf.int64)])
    draws = tf.random.stateless_uniform((batch,), key, 0, tf.shape(pairs)[0], tf.int32)
    return tf.gather(pairs, draws)


def pair_inputs(images: tf.Tensor, pairs: tf.Tensor):
    """Inputs and targets, as the compiled model takes them.

    Args:
        images: (count, D, H, W, 1).
        pairs: (batch, 2), moving and fixed.

    Returns:
        The inputs ``{"moving", "fixed"}`` and the target of each output: the fixed image, the
        identity matrix, Φ = 1, and for the grid, which has none, a zero.
    """
    moving, fixed = tf.gather(images, pairs[:, 0]), tf.gather(images, pairs[:, 1])
    batch = tf.shape(pairs)[0]
    targets = {
        "warped": fixed,
        "grid": tf.zeros((batch, 1, 1, 1, 3)),
        "affine": tf.eye(3, 4, batch_shape=[batch]),
        "spatial_gradients": tf.ones((batch, 1, 1, 1, 3)),
    }
    return {"moving": moving, "fixed": fixed}, targets


def training_pairs(
    images: tf.Tensor,
    pairs: Sequence[tuple[int, int]],
    seed: int,
    batch: int,
    first_step: int = 0,
) -> tf.data.Dataset:
    """Endless batches of random ones of the (moving, fixed) pairs, from ``first_step`` on.

    Step n of a run that was resumed sees the pairs of step n of one that was not.

    Args:
        images: (N, D, H, W, 1), all of them.
        pairs: the (moving, fixed) indices to draw from.
        seed: of the order.
        batch: pairs a batch.
        first_step: batches that were drawn before.
    """
    listed = tf.constant(pairs, tf.int32)

    def load(step: tf.Tensor):
        return pair_inputs(images, draw_pairs(seed, step, batch, listed))

    steps = tf.data.Dataset.range(first_step, np.iinfo(np.int64).max)
    return steps.map(load, num_parallel_calls=2, deterministic=True).prefetch(2)


def fixed_pairs(images: tf.Tensor, pairs: Sequence[tuple[int, int]], batch: int) -> tf.data.Dataset:
    """Batches of a fixed list of (moving, fixed) pairs, in its order.

    Args:
        images: (N, D, H, W, 1), all of them.
        pairs: (moving, fixed) indices.
        batch: pairs a batch.
    """
    listed = tf.data.Dataset.from_tensor_slices(np.asarray(pairs, np.int32)).batch(batch)
    return listed.map(lambda chosen: pair_inputs(images, chosen)).prefetch(2)
