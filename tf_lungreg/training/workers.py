"""Several workers in one training: the first of them, the chief, keeps the files for all."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def is_chief() -> bool:
    """Whether this process writes the files of a training; alone, it always does."""
    return tf.distribute.get_strategy().extended.should_checkpoint


def from_chief(content: bytes | None) -> bytes | None:
    """The chief's bytes in every worker; each must call it, within the scope of the strategy.

    They go over the network, so that the workers need no folder that all of them see.

    Args:
        content: what the chief has, None for nothing; that of the others is not looked at.
    """
    if not isinstance(tf.distribute.get_strategy(), tf.distribute.MultiWorkerMirroredStrategy):
        return content
    size = int(_of_first_replica(tf.constant(-1 if content is None else len(content))))
    if size < 1:
        return None if size < 0 else b""
    words = np.zeros(-(-size // 4), np.int32)
    if is_chief() and content is not None:  # of which the size was
        words.view(np.uint8)[:size] = np.frombuffer(content, np.uint8)
    return _of_first_replica(tf.constant(words)).numpy().tobytes()[:size]


def _of_first_replica(value: tf.Tensor) -> tf.Tensor:
    """An integer tensor as the first replica, one of the chief's, has it."""
    strategy = tf.distribute.get_strategy()

    def sum_with_zeros(value: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, value, 0))

    run = tf.function(lambda value: strategy.run(sum_with_zeros, args=(value,)))
    return strategy.experimental_local_results(run(value))[0]
