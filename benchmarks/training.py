"""Where the time of a training step goes: input, forward, backward, update.

Prints the median time of a step and of its parts, the share of a loop of steps that waits for
input, the rate of the convolutions' multiplications and additions in a step, that of a float32
matrix product measured before and after in the same process, their ratio, and the peak memory;
with --recompute all of it with gradient checkpointing. Each is a process of its own, so that the
peak is that of the one:

    python benchmarks/training.py --preset small
    python benchmarks/training.py --preset small --recompute
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from forward import convolution_operations, matrix_product_rate, print_rates, seconds

from tf_lungreg import losses
from tf_lungreg.cohorts.random_pairs import stack_images, training_pairs
from tf_lungreg.models import build_registration_model, find_preset

_IMAGES = 4  # from which pairs are drawn


def make_batches(shape: tuple[int, int, int], batch: int) -> Iterator:
    """The input of a training, of random images in memory."""
    draw = np.random.default_rng(0)
    images = stack_images([draw.random(shape, np.float32) for _ in range(_IMAGES)])
    pairs = [(m, f) for m in range(_IMAGES) for f in range(_IMAGES) if m != f]
    return iter(training_pairs(images, pairs, 0, batch))


def make_parts(model: tf.keras.Model, alpha: float, beta: float) -> dict[str, Callable]:
    """Functions of a batch that do a step up to its forward pass, its backward pass, its end."""
    optimizer = tf.keras.optimizers.Adam(1e-3)
    variables = model.trainable_variables
    optimizer.build(variables)
    terms = {
        "warped": (losses.find_similarity("mse"), 1.0),
        "affine": (losses.affine_l1, alpha),
        "spatial_gradients": (losses.spatial_gradients_l1, beta),
    }

    def loss(inputs, targets):
        outputs = model(inputs, training=True)
        weighed = [w * term(targets[name], outputs[name]) for name, (term, w) in terms.items()]
        return tf.reduce_mean(tf.add_n(weighed))

    def gradients(inputs, targets):
        with tf.GradientTape() as tape:
            value = loss(inputs, targets)
        return tape.gradient(value, variables)

    @tf.function
    def backward(inputs, targets):
        # One number from each, so that none is left out of the graph.
        return tf.add_n([tf.reduce_sum(g) for g in gradients(inputs, targets)])

    @tf.function
    def update(inputs, targets):
        optimizer.apply_gradients(zip(gradients(inputs, targets), variables))
        return optimizer.iterations + 0

    return {"forward": tf.function(loss), "backward": backward, "update": update}


def waiting_share(step: Callable, batches: Iterator, runs: int) -> float:
    """Share of a loop of steps in which the step that comes next waits for its batch."""
    waited, started = 0.0, time.perf_counter()
    for _ in range(runs):
        before = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - before
        step(*batch).numpy()
    return waited / (time.perf_counter() - started)


def measure(
    preset: str,
    shape: tuple[int, int, int] | None = None,
    batch: int | None = None,
    mixed_precision: bool = False,
    recompute: bool = False,
    runs: int = 5,
) -> dict:
    """A step of training and its parts, medians.

    Args:
        preset: name of the network.
        shape: D, H, W; by default the preset's.
        batch: pairs of a step; by default the preset's.
        mixed_precision: see :func:`tf_lungreg.models.build_registration_model`.
        recompute: see there too.
        runs: that are counted.

    Returns:
        ``preset``, ``shape``, ``batch``; in seconds ``forward``, ``backward``, ``update``, each
        the time up to its end, and ``input`` of a batch; ``waiting``, a share; and in operations a
        second ``convolutions`` and ``matrix_product``.
    """
    settings = find_preset(preset)
    shape, count = tuple(shape or settings.shape), batch or settings.batch
    product = [matrix_product_rate()]
    model = build_registration_model(preset, mixed_precision=mixed_precision, recompute=recompute)
    batches = make_batches(shape, count)
    first = next(batches)
    parts = make_parts(model, settings.alpha, settings.beta)
    row = {
        name: statistics.median(seconds(lambda part=part: part(*first).numpy(), runs))
        for name, part in parts.items()
    }
    row["waiting"] = waiting_share(parts["update"], batches, runs)
    row["input"] = statistics.median(seconds(lambda: next(batches), runs))
    product.append(matrix_product_rate())
    # Backward, each convolution is done once for its input and once for its kernel.
    row["convolutions"] = 3 * convolution_operations(model, (count, *shape)) / row["update"]
    named = {"preset": preset, "shape": list(shape), "batch": count}
    return {**named, **row, "matrix_product": statistics.mean(product)}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("D", "H", "W"))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--recompute", action="store_true", help="gradient checkpointing")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    row = measure(
        options.preset,
        options.shape,
        options.batch,
        options.mixed_precision,
        options.recompute,
        options.runs,
    )
    size = " x ".join(map(str, row["shape"]))
    how = ", gradient checkpointing" if options.recompute else ""
    print(f"{options.preset}, {row['batch']} x {size}, TensorFlow {tf.__version__}{how}")
    print(f"step             {row['update']:.3f} s (median of {options.runs})")
    print(f"  forward        {row['forward']:.3f} s")
    print(f"  backward       {row['backward'] - row['forward']:.3f} s")
    print(f"  update         {row['update'] - row['backward']:.3f} s")
    print(f"input alone      {row['input']:.4f} s a batch")
    print(f"waits for input  {100 * row['waiting']:.1f} % of a loop of steps")
    print_rates(row)


if __name__ == "__main__":
    main()
