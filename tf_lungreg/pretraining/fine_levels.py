"""Training of the levels that correct a displacement (:mod:`tf_lungreg.models.fine`), on crops."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import tensorflow as tf

from tf_lungreg.models.fine import correct
from tf_lungreg.models.keras_state import keras_defaults
from tf_lungreg.models.presets import FineMatching, find_preset
from tf_lungreg.pretraining.loop import (
    BODIES_SEED,
    Course,
    clipped_step,
    kept_bodies,
    train_on_examples,
)
from tf_lungreg.pretraining.supervision import mean_distance
from tf_lungreg.synthetic import SyntheticCrop, draw_crop, load_bodies
from tf_lungreg.synthetic.bodies import FINE_STEP

PRESET = "fine"
_DISCOUNT = 0.8  # weight of an update's error, as a share of the next one's
_SIGNATURE = [
    tf.TensorSpec((1, None, None, None, 1)),
    tf.TensorSpec((1, None, None, None, 1)),
    tf.TensorSpec((1, None, None, None, 3)),
    tf.TensorSpec((1, None, None, None, 3)),
    tf.TensorSpec((1, None, None, None)),
]


def train_fine_levels(
    model: tf.keras.Model, course: Course, bodies: int, cache: Path, folder: Path
) -> None:
    """Trains the levels from the true displacement made worse.

    The model's weights become the average of those on the way.

    Args:
        model: of :func:`correction_model`.
        course: of the training.
        bodies: how many synthetic bodies the crops are of.
        cache: folder of the rendered bodies.
        folder: of the training's state and log.
    """
    load_bodies(bodies, BODIES_SEED, cache, FINE_STEP)  # rendered once, for the other process

    def errors(
        moving: tf.Tensor, fixed: tf.Tensor, start: tf.Tensor, truth: tf.Tensor, weight: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        shifts = model({"moving": moving, "fixed": fixed, "start": start}, training=True)
        return correction_errors(start, shifts, truth, weight)

    count = len(model.outputs)
    weights = {f"update_{n}": _DISCOUNT ** (count - n) for n in range(1, count + 1)}
    update, optimizer = clipped_step(model, errors, weights, _SIGNATURE)

    def step(number: int, crop: SyntheticCrop):
        images = (crop.moving[None, ..., None], crop.fixed[None, ..., None])
        return update(*images, crop.start[None], crop.displacement[None], crop.weight[None])

    draw = partial(draw_from, bodies, str(cache))
    train_on_examples(model.trainable_variables, optimizer, step, draw, course, folder)


@keras_defaults()
def correction_model() -> tf.keras.Model:
    """The fine levels alone: ``moving``, ``fixed``, ``start`` to the displacements they find."""
    names = {"moving": 1, "fixed": 1, "start": 3}
    inputs = {n: tf.keras.Input((None, None, None, size), name=n) for n, size in names.items()}
    images = inputs["moving"], inputs["fixed"]
    return tf.keras.Model(inputs, correct(*images, inputs["start"], _sizes()))


def _sizes() -> FineMatching:
    sizes = find_preset(PRESET).network
    assert isinstance(sizes, FineMatching)  # the preset is the one with fine levels
    return sizes


def correction_errors(
    start: tf.Tensor, shifts: Sequence[tf.Tensor], truth: tf.Tensor, weight: tf.Tensor
) -> dict[str, tf.Tensor]:
    """The mean error of each displacement, in voxels: ``start``, and ``update_1`` and so on.

    Args:
        start: (batch, D/2, H/2, W/2, 3) where the updates begin, in blocks of two voxels.
        shifts: of :func:`tf_lungreg.models.fine.correct`.
        truth: (batch, D, H, W, 3), voxels.
        weight: (batch, D, H, W) how much each voxel counts.
    """
    half_weight = tf.nn.avg_pool3d(weight[..., tf.newaxis], 2, 2, "VALID")[..., 0]
    halves = (tf.nn.avg_pool3d(truth, 2, 2, "VALID"), half_weight)
    errors = {"start": mean_distance(2 * start, *halves)}
    for number, shift in enumerate(shifts, start=1):
        half = number <= _sizes().half_updates
        found = (2 * shift, *halves) if half else (shift, truth, weight)
        errors[f"update_{number}"] = mean_distance(*found)
    return errors


def draw_from(count: int, cache: str, seed: int) -> SyntheticCrop:
    """A crop of the bodies in a cache, which a process reads once.

    Args:
        count: of the bodies.
        cache: their folder.
        seed: of the example.
    """
    bodies = kept_bodies(count, BODIES_SEED, cache, FINE_STEP)
    return draw_crop(bodies, seed)
