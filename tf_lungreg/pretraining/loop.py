"""A long training on synthetic examples, one a step: it can be interrupted, and goes on.

Example ``i`` of a training is a function of its seed and of i, drawn in a process of its own. The
learning rate is constant but for a warm-up and a cosine over the last steps, so that the number of
steps may be raised later. What is exported is a moving average of the weights.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.files import one_line, replacing
from tf_lungreg.interruption import end_with_parent
from tf_lungreg.synthetic import load_bodies

_Example = TypeVar("_Example")

BODIES_SEED = 1000  # of the bodies that all examples are views of

# For the process that draws: it reads the bodies once.
kept_bodies = functools.lru_cache(maxsize=1)(load_bodies)

_WARM_UP = 50  # steps over which the learning rate rises
_CLIP = 1.0  # of the gradients' norm
_MEMORY = 0.995  # of the moving average of the weights
_LOGGED = 50  # steps a line of the log is the mean of
_SAVED = 100  # steps from one saved state to the next
_AHEAD = 3  # examples that are drawn before they are needed


@dataclass(frozen=True)
class Course:
    """How long a training lasts, and how fast it learns.

    Attributes:
        steps: in all.
        learning_rate: of Adam.
        tail: last steps, over which the rate falls to a hundredth.
        seed: of the weights and the examples.
    """

    steps: int
    learning_rate: float
    tail: int
    seed: int

    def rate(self, number: int) -> float:
        """The learning rate of a step, the first being 0."""
        warm = min(1.0, (number + 1) / _WARM_UP)
        left = (self.steps - number) / self.tail
        return self.learning_rate * warm * (1.0 if left >= 1 else _cosine(1 - left))


def _cosine(share: float) -> float:
    return 0.01 + 0.99 * 0.5 * (1 + float(np.cos(np.pi * share)))


def clipped_step(
    model: tf.keras.Model,
    errors: Callable[..., dict[str, tf.Tensor]],
    weights: Mapping[str, float],
    signature: Sequence[tf.TensorSpec],
) -> tuple[Callable[..., dict[str, tf.Tensor]], tf.keras.optimizers.Optimizer]:
    """A function that trains a model one step, and the optimizer that it uses.

    Args:
        model: whose weights are trained.
        errors: of an example's tensors, the terms of the loss by name.
        weights: of the terms that count.
        signature: of the example's tensors.
    """
    optimizer = tf.keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)

    @tf.function(input_signature=signature)
    def update(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            terms = errors(*tensors)
            loss = sum(weight * terms[name] for name, weight in weights.items())
        gradients = tape.gradient(loss, model.trainable_variables)
        gradients, _ = tf.clip_by_global_norm(gradients, _CLIP)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return terms

    return update, optimizer


def train_on_examples(
    variables: list[tf.Variable],
    optimizer: tf.keras.optimizers.Optimizer,
    step: Callable[[int, _Example], dict[str, tf.Tensor]],
    draw: Callable[[int], _Example],
    course: Course,
    folder: Path,
) -> None:
    """Trains up to the last step, from the state in the folder where there is one.

    In the end the variables are the moving average of what they were.

    Args:
        variables: what is trained.
        optimizer: built for the variables; this function sets its rate.
        step: trains on an example, of that number, and returns the terms of the loss.
        draw: an example from its number; it must be importable in another process.
        course: of the training.
        folder: of ``state.npz`` and ``log.jsonl``: a JSON object a line, with the step, seconds
            since the start and mean terms.

    Raises:
        InputError: the folder's state is of another network or seed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state, log = folder / "state.npz", folder / "log.jsonl"
    tracked = [*variables, *optimizer.variables]
    first, average = _restore(state, tracked, len(variables), course.seed)
    started, recent = time.monotonic(), []
    examples = _drawn_ahead(draw, course.seed * 10**6, first, course.steps)
    bar = tqdm(examples, "Training", total=course.steps, initial=first, disable=None)
    for number, example in enumerate(bar, start=first):
        optimizer.learning_rate = course.rate(number)
        recent.append({name: float(value) for name, value in step(number, example).items()})
        memory = min(_MEMORY, (number + 1) / (number + 10))
        for value, variable in zip(average, variables):
            value *= memory
            value += (1 - memory) * variable.numpy()
        done = number + 1
        if done % _LOGGED == 0 or done == course.steps:
            means = {n: round(float(np.mean([r[n] for r in recent])), 4) for n in recent[0]}
            line = {"step": done, "seconds": round(time.monotonic() - started), **means}
            with one_line(log), log.open("a", encoding="utf-8") as lines:
                print(json.dumps(line), file=lines)
            recent.clear()
        if done % _SAVED == 0 or done == course.steps:
            _save(state, done, course.seed, tracked, average)
    for variable, value in zip(variables, average):
        variable.assign(value)


def _drawn_ahead(
    draw: Callable[[int], _Example], offset: int, first: int, last: int
) -> Iterator[_Example]:
    """The examples in order, drawn in a process of their own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, end_with_parent) as pool:
        waiting: deque[Future[_Example]] = deque()
        for number in range(first, last):
            waiting.append(pool.submit(draw, offset + number))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _save(
    path: Path, done: int, seed: int, tracked: Sequence[tf.Variable], average: Sequence[Array]
) -> None:
    arrays: dict[str, Any] = {
        f"variable/{i}": variable.numpy() for i, variable in enumerate(tracked)
    }
    arrays.update({f"average/{i}": value for i, value in enumerate(average)})
    with replacing(path, overwrite=True) as temporary:
        np.savez(temporary, done=done, seed=seed, **arrays)


def _restore(
    path: Path, tracked: Sequence[tf.Variable], count: int, seed: int
) -> tuple[int, list[Array]]:
    """The steps that were done, and the average; the variables are set."""
    if not path.exists():
        return 0, [variable.numpy() for variable in tracked[:count]]
    try:
        with np.load(path) as stored:
            content = dict(stored)
        done, stored_seed = int(content["done"]), int(content["seed"])
    except Exception as error:  # zipfile and numpy raise anything on a damaged file
        raise InputError(f"{path}: damaged; remove it, and the training begins anew.") from error
    values = [content.get(f"variable/{i}") for i in range(len(tracked))]
    fits = all(v is not None and v.shape == tuple(t.shape) for v, t in zip(values, tracked))
    if not fits or stored_seed != seed:
        raise InputError(f"{path}: the state of another training; choose another folder.")
    for variable, value in zip(tracked, values):
        variable.assign(value)
    return done, [content[f"average/{i}"] for i in range(count)]
