"""Training of the levels that correct a displacement (:mod:`tf_lungreg.models.fine`), on crops."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_lungreg.data.synthetic import SyntheticCrop, draw_crop, load_bodies
from tf_lungreg.data.synthetic.bodies import FINE_STEP
from tf_lungreg.models.fine import correct
from tf_lungreg.models.presets import find_preset
from tf_lungreg.models.weights import named_weights
from tf_lungreg.training.supervision import mean_distance
from tf_lungreg.training.synthetic import Course, train_on_examples

PRESET = "fine"
_BODIES_SEED = 1000
_DISCOUNT = 0.8  # weight of an update's error, as a share of the next one's
_CLIP = 1.0  # of the gradients' norm


def train_fine_levels(course: Course, bodies: int, cache: Path, folder: Path) -> dict:
    """Trains the levels apart, from the true displacement made worse.

    Args:
        course: of the training.
        bodies: how many synthetic bodies the crops are of.
        cache: folder of the rendered bodies.
        folder: of the training's state and log.

    Returns:
        The averaged weights under the names of :func:`named_weights`.
    """
    tf.keras.utils.set_random_seed(course.seed)
    model = correction_model()
    load_bodies(bodies, _BODIES_SEED, cache, FINE_STEP)  # rendered once, for the other process
    optimizer = tf.keras.optimizers.Adam(course.learning_rate)
    variables = model.trainable_variables
    draw = partial(draw_from, bodies, str(cache))
    step = _make_step(model, optimizer)
    average = train_on_examples(variables, optimizer, step, draw, course, folder)
    for variable, value in zip(variables, average):
        variable.assign(value)
    return {name: variable.numpy() for name, variable in named_weights(model).items()}


def correction_model() -> tf.keras.Model:
    """The fine levels alone: ``moving``, ``fixed``, ``start`` to the displacements they find."""
    names = {"moving": 1, "fixed": 1, "start": 3}
    inputs = {n: tf.keras.Input((None, None, None, size), name=n) for n, size in names.items()}
    sizes = find_preset(PRESET).network
    return tf.keras.Model(inputs, correct(inputs["moving"], inputs["fixed"], inputs["start"], sizes))


def correction_errors(shifts, truth, weight) -> dict[str, tf.Tensor]:
    """The mean error of each displacement, in voxels.

    Args:
        shifts: of :func:`tf_lungreg.models.fine.correct`.
        truth: (batch, D, H, W, 3), voxels.
        weight: (batch, D, H, W) how much each voxel counts.
    """
    halves = _halves(truth, weight)
    errors = {}
    for number, shift in enumerate(shifts, start=1):
        if shift.shape[1] == truth.shape[1]:
            errors[f"update_{number}"] = mean_distance(shift, truth, weight)
        else:
            errors[f"update_{number}"] = mean_distance(2 * shift, *halves)
    return errors


def draw_from(count: int, cache: str, seed: int) -> SyntheticCrop:
    """A crop of the bodies in a cache, which a process reads once."""
    key = (count, cache)
    if key not in _loaded:
        _loaded[key] = load_bodies(count, _BODIES_SEED, cache, FINE_STEP)
    return draw_crop(_loaded[key], seed)


_loaded = {}  # of the process that draws


def _make_step(model, optimizer):
    @tf.function
    def train(moving, fixed, start, truth, weight):
        with tf.GradientTape() as tape:
            shifts = model({"moving": moving, "fixed": fixed, "start": start}, training=True)
            errors = correction_errors(shifts, truth, weight)
            shares = [_DISCOUNT**number for number in reversed(range(len(errors)))]
            loss = sum(share * error for share, error in zip(shares, errors.values()))
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, model.trainable_variables), _CLIP)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return {"start": mean_distance(2 * start, *_halves(truth, weight)), **errors}

    def step(crop: SyntheticCrop):
        images = (crop.moving[..., np.newaxis], crop.fixed[..., np.newaxis])
        arrays = (*images, crop.start, crop.displacement, crop.weight)
        return train(*(tf.constant(array[np.newaxis]) for array in arrays))

    return step


def _halves(truth, weight):
    share = tf.nn.avg_pool3d(weight[..., tf.newaxis], 2, 2, "VALID")
    return tf.nn.avg_pool3d(truth, 2, 2, "VALID"), share[..., 0]
