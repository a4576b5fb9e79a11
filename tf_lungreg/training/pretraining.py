"""Training on randomised synthetic pairs alone, for a model that registers what it never saw."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_lungreg.data.synthetic import SyntheticPair, draw_pair, load_bodies
from tf_lungreg.errors import InputError
from tf_lungreg.export import export_model, read_weights
from tf_lungreg.files import one_line
from tf_lungreg.interruption import end_with_parent
from tf_lungreg.models import build_registration_model, find_preset
from tf_lungreg.models.weights import assign_weights
from tf_lungreg.training.supervision import WEIGHTS, supervised_errors, with_parts
from tf_lungreg.versions import software

PRESET, ANCHOR = "general", "ends"

# Sizes of the pairs, margin included, and how often each is drawn.
SHAPES = ((32, 64, 48), (40, 64, 56), (48, 72, 72), (48, 96, 96), (56, 128, 128))
_SHARES = (0.3, 0.2, 0.2, 0.2, 0.1)

_WARM_UP = 50  # steps over which the learning rate rises
_CLIP = 1.0  # of the gradients' norm
_MEMORY = 0.995  # of the moving average of the weights, which is what is exported
_LOGGED = 50  # steps a line of the log is the mean of


@dataclass(frozen=True)
class PretrainingConfig:
    """What decides the result.

    Attributes:
        steps: pairs to train on.
        learning_rate: of Adam at its highest; it falls with a cosine.
        bodies: how many synthetic bodies the pairs are views of.
        seed: of weights and pairs.
        init_from: exported model whose weights training begins with.
    """

    steps: int = 6000
    learning_rate: float = 1e-3
    bodies: int = 72
    seed: int = 0
    init_from: str | None = None

    def check(self) -> None:
        """Raises an InputError that names a value which cannot be used."""
        for name in ("steps", "bodies"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: at least 1 is needed, not {getattr(self, name)}.")
        if not 0 < self.learning_rate < np.inf:
            raise InputError(f"learning_rate: more than 0 is needed, not {self.learning_rate}.")
        if not 0 <= self.seed < 2**16:
            raise InputError(f"seed: 0 to 65535 is needed, not {self.seed}.")


def pretrain(config: PretrainingConfig, models: Path, cache: Path, log: Path) -> Path:
    """Trains the preset ``general`` and exports the next version.

    Args:
        config: checked.
        models: folder of the exported model.
        cache: folder of the rendered bodies.
        log: a new file, one JSON object a line: step, seconds, mean errors in voxels.

    Returns:
        The version's folder.

    Raises:
        InputError, MissingFileError: the model to start from cannot be used.
    """
    tf.keras.utils.set_random_seed(config.seed)
    model = build_registration_model(PRESET, anchor=ANCHOR)
    if config.init_from:
        assign_weights(model, read_weights(config.init_from), config.init_from)
    load_bodies(config.bodies, seed=1000, cache=cache)  # rendered once, read by the other process
    average = _MovingAverage(model.trainable_variables)
    step = _make_step(model, config)
    history = defaultdict(list)
    started = time.monotonic()
    with one_line(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        lines = open(log, "x", encoding="utf-8")
    with one_line(log), lines:
        pairs = synthetic_pairs(config, cache)
        for number, pair in enumerate(tqdm(pairs, "Training", total=config.steps, disable=None)):
            for name, value in step(number, pair).items():
                history[name].append(float(value))
            average.update(number)
            if (number + 1) % _LOGGED == 0:
                means = {
                    name: round(float(np.mean(v[-_LOGGED:])), 4) for name, v in history.items()
                }
                seconds = round(time.monotonic() - started)
                print(json.dumps({"step": number + 1, "seconds": seconds, **means}), file=lines)
                lines.flush()
    average.assign()
    last = {name: float(np.mean(v[-_LOGGED:])) for name, v in history.items()}
    return export_model(model, models, model_card(config, last))


def model_card(config: PretrainingConfig, errors: dict[str, float]) -> dict:
    """What a user of the model must know.

    Args:
        config: of the training.
        errors: the last ones, by name.
    """
    preset = find_preset(PRESET)
    return {
        "settings": {
            "preset": PRESET,
            "affine": True,
            "deformable": True,
            "anchor": ANCHOR,
            "spacing": preset.spacing,
            "shape": preset.shape,
            "margin": preset.margin,
            "window": "auto",
            **dataclasses.asdict(config),
        },
        "training_data": "randomised synthetic pairs of phantom bodies; no patient's image",
        "metrics": {f"training_{name}_voxels": round(v, 4) for name, v in errors.items()},
        "software": software(),
    }


def synthetic_pairs(config: PretrainingConfig, cache: Path) -> Iterator[SyntheticPair]:
    """The pairs of all steps in order, drawn in a process of their own.

    Args:
        config: of the training.
        cache: folder of the bodies.
    """
    first = config.seed * 10**6
    context = multiprocessing.get_context("spawn")
    setup = (config.bodies, str(cache))
    with context.Pool(1, initializer=_load, initargs=setup) as pool:
        yield from pool.imap(_draw, range(first, first + config.steps))


_loaded = {}  # of the process that draws


def _load(count, cache):
    end_with_parent()
    _loaded["bodies"] = load_bodies(count, seed=1000, cache=cache)


def _draw(seed) -> SyntheticPair:
    shape = SHAPES[np.random.default_rng(seed).choice(len(SHAPES), p=_SHARES)]
    return draw_pair(_loaded["bodies"], seed, shape, margin=find_preset(PRESET).margin)


def _make_step(model, config: PretrainingConfig):
    """A function of (number, pair) that trains one step and gives the terms of the loss."""
    optimizer = tf.keras.optimizers.Adam(config.learning_rate)
    variables = model.trainable_variables
    parts = with_parts(model)

    @tf.function
    def train(moving, fixed, grid, weight, offset):
        with tf.GradientTape() as tape:
            outputs = parts({"moving": moving, "fixed": fixed}, training=True)
            errors = supervised_errors(outputs, grid, weight, offset, ANCHOR)
            loss = sum(WEIGHTS[name] * value for name, value in errors.items())
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), _CLIP)
        optimizer.apply_gradients(zip(gradients, variables))
        return errors

    def step(number, pair):
        warm = min(1, (number + 1) / _WARM_UP)
        falling = 0.5 * (1 + np.cos(np.pi * number / config.steps)) + 0.01
        optimizer.learning_rate = config.learning_rate * warm * falling
        offset = np.random.default_rng(number).integers(0, 2, 3).astype(np.int32)
        images = (pair.moving[None, ..., None], pair.fixed[None, ..., None])
        arrays = (*images, pair.grid[None], pair.weight[None], offset)
        return train(*map(tf.constant, arrays))

    return step


class _MovingAverage:
    """Exponential moving average of variables, nearly a plain mean at first."""

    def __init__(self, variables):
        self._variables = variables
        self._values = [variable.numpy() for variable in variables]

    def update(self, number: int) -> None:
        memory = min(_MEMORY, (number + 1) / (number + 10))
        for value, variable in zip(self._values, self._variables):
            value *= memory
            value += (1 - memory) * variable.numpy()

    def assign(self) -> None:
        for value, variable in zip(self._values, self._variables):
            variable.assign(value)
