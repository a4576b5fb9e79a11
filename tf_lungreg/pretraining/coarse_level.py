"""Training of the network that compares features (:mod:`tf_lungreg.models.matching`), on pairs."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from tf_lungreg.models.presets import find_preset
from tf_lungreg.pretraining.loop import (
    BODIES_SEED,
    Course,
    clipped_step,
    kept_bodies,
    train_on_examples,
)
from tf_lungreg.pretraining.supervision import WEIGHTS, supervised_errors, with_parts
from tf_lungreg.synthetic import SyntheticPair, draw_pair, load_bodies

PRESET = "general"

# Size in mm of what the pairs show, and how often each is drawn.
FIELDS = (
    (160, 320, 240),
    (200, 320, 280),
    (240, 360, 360),
    (240, 480, 480),
    (280, 640, 640),
)
_SHARES = (0.3, 0.2, 0.2, 0.2, 0.1)
_SPACINGS = (5.0, 9.0)  # mm, smallest and largest voxel
_VOXELS = 180_000  # of a field, about: what the spacing follows from
_MULTIPLE = 4  # voxels that every axis is divisible by

_SIGNATURE = [
    tf.TensorSpec((1, None, None, None, 1)),
    tf.TensorSpec((1, None, None, None, 1)),
    tf.TensorSpec((1, None, None, None, 3)),
    tf.TensorSpec((1, None, None, None)),
    tf.TensorSpec((3,), tf.int32),
]


def train_coarse_level(
    model: tf.keras.Model, course: Course, anchor: str, bodies: int, cache: Path, folder: Path
) -> None:
    """Trains the model on whole pairs; its weights become the average of those on the way.

    Args:
        model: of the preset ``general``.
        course: of the training.
        anchor: the model's.
        bodies: how many synthetic bodies the pairs are views of.
        cache: folder of the rendered bodies.
        folder: of the training's state and log.
    """
    load_bodies(bodies, BODIES_SEED, cache)  # rendered once, for the other process
    parts = with_parts(model)

    def errors(
        moving: tf.Tensor, fixed: tf.Tensor, grid: tf.Tensor, weight: tf.Tensor, offset: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        outputs = parts({"moving": moving, "fixed": fixed}, training=True)
        return supervised_errors(outputs, grid, weight, offset, anchor)

    update, optimizer = clipped_step(model, errors, WEIGHTS, _SIGNATURE)

    def step(number: int, pair: SyntheticPair):
        offset = np.random.default_rng(number).integers(0, 2, 3).astype(np.int32)
        images = (pair.moving[None, ..., None], pair.fixed[None, ..., None])
        return update(*images, pair.grid[None], pair.weight[None], offset)

    draw = partial(draw_from, bodies, str(cache))
    train_on_examples(model.trainable_variables, optimizer, step, draw, course, folder)


def draw_from(count: int, cache: str, seed: int) -> SyntheticPair:
    """A pair of the bodies in a cache, which a process reads once.

    Args:
        count: of the bodies.
        cache: their folder.
        seed: of the example.
    """
    bodies = kept_bodies(count, BODIES_SEED, cache)
    shape, spacing = draw_grid(seed)
    return draw_pair(bodies, seed, shape, (spacing,) * 3, find_preset(PRESET).margin)


def draw_grid(seed: int) -> tuple[tuple[int, int, int], float]:
    """Voxels (D, H, W), margin included, and their size in mm.

    Args:
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    field = np.array(FIELDS[rng.choice(len(FIELDS), p=_SHARES)])
    wanted = (field.prod() / _VOXELS) ** (1 / 3)
    spacing = float(np.clip(wanted * rng.uniform(0.9, 1.25), *_SPACINGS))
    margin = 2 * find_preset(PRESET).margin
    shape = (_MULTIPLE * math.ceil((n / spacing + margin) / _MULTIPLE) for n in field)
    return tuple(shape), spacing
