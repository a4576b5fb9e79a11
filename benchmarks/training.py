"""Where the time of a training step goes: input, forward, backward, update.

Prints the median time of a step and of its parts, the share of a loop of steps that waits for
input, the rate of the convolutions' multiplications and additions in a step, that of a float32
matrix product measured before and after in the same process, their ratio, and the peak memory.

    python benchmarks/training.py --preset small
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from forward import convolution_operations, matrix_product_rate, seconds

from tf_lungreg import losses
from tf_lungreg.data.pairs import stack_images, training_pairs
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


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="small")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("D", "H", "W"))
    parser.add_argument("--batch", type=int)
    parser.add_argument("--mixed-precision", action="store_true")
    parser.add_argument("--runs", type=int, default=10)
    options = parser.parse_args()
    preset = find_preset(options.preset)
    shape = tuple(options.shape or preset.shape)
    count = options.batch or preset.batch

    product = [matrix_product_rate()]
    model = build_registration_model(options.preset, mixed_precision=options.mixed_precision)
    batches = make_batches(shape, count)
    batch = next(batches)
    parts = make_parts(model, preset.alpha, preset.beta)
    until = {
        name: statistics.median(seconds(lambda part=part: part(*batch).numpy(), options.runs))
        for name, part in parts.items()
    }
    waiting = waiting_share(parts["update"], batches, options.runs)
    alone = statistics.median(seconds(lambda: next(batches), options.runs))
    product.append(matrix_product_rate())

    voxels = count * shape[0] * shape[1] * shape[2]
    # Backward, each convolution is done once for its input and once for its kernel.
    rate = 3 * convolution_operations(model, voxels) / until["update"]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{options.preset}, {count} x {' x '.join(map(str, shape))}, TensorFlow {tf.__version__}")
    print(f"step             {until['update']:.3f} s (median of {options.runs})")
    print(f"  forward        {until['forward']:.3f} s")
    print(f"  backward       {until['backward'] - until['forward']:.3f} s")
    print(f"  update         {until['update'] - until['backward']:.3f} s")
    print(f"input alone      {alone:.4f} s a batch")
    print(f"waits for input  {100 * waiting:.1f} % of a loop of steps")
    print(f"convolutions     {rate / 1e9:.0f} GFLOP/s")
    print(f"matrix product   {statistics.mean(product) / 1e9:.0f} GFLOP/s")
    print(f"ratio            {100 * rate / statistics.mean(product):.0f} %")
    print(f"peak memory      {memory:.2f} GiB ({memory * 1.073741824:.2f} GB)")


if __name__ == "__main__":
    main()
