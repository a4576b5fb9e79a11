"""How near the network's forward pass comes to the machine's floating-point rate, and its memory.

Prints the time of one pair, the rate of the convolutions' multiplications and additions, the
rate of a 4096 x 4096 float32 matrix product measured before and after in the same process, their
ratio, and the peak memory of the process.

    python benchmarks/forward.py --preset paper --shape 64 192 192
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf

from tf_lungreg.models import build_registration_model, find_preset


def seconds(function, runs: int) -> list[float]:
    """Durations of a function's calls after one that is not counted."""
    function()
    durations = []
    for _ in range(runs):
        start = time.perf_counter()
        function()
        durations.append(time.perf_counter() - start)
    return durations


def matrix_product_rate(runs: int = 5, size: int = 4096) -> float:
    """Floating-point operations a second of a float32 matrix product, median of several."""
    a = tf.random.normal((size, size))
    product = tf.function(lambda: tf.reduce_sum(a @ a))
    return 2 * size**3 / statistics.median(seconds(lambda: product().numpy(), runs))


def convolution_operations(model: tf.keras.Model, shape: tuple[int, int, int, int]) -> float:
    """Multiplications and additions of all convolutions of a forward pass.

    A dilated convolution is done in blocks; the zeros that fill up the last ones are counted too,
    0.3 % of what ``paper`` does.

    Args:
        model: a registration network.
        shape: batch, D, H, W.
    """
    pair = {name: tf.TensorSpec((*shape, 1), tf.float32) for name in ("moving", "fixed")}
    traced = tf.function(lambda pair: model(pair, training=False)).get_concrete_function(pair)
    convolutions = [op for op in traced.graph.get_operations() if op.type == "Conv3D"]
    # Every value of the output sums up kernel size times channels products.
    return 2.0 * sum(
        op.outputs[0].shape.num_elements() * op.inputs[1].shape[:-1].num_elements()
        for op in convolutions
    )


def measure(preset: str, shape: tuple[int, int, int] | None = None, runs: int = 5) -> dict:
    """The forward pass of one pair, with random weights.

    Args:
        preset: name of the network.
        shape: D, H, W; by default the preset's.
        runs: that are counted; the median is taken.

    Returns:
        ``preset``, ``shape``, ``seconds``, and in operations a second ``convolutions`` and
        ``matrix_product``.
    """
    shape = tuple(shape or find_preset(preset).shape)
    before = matrix_product_rate()
    model = build_registration_model(preset)
    pair = {name: tf.random.uniform((1, *shape, 1)) for name in ("moving", "fixed")}
    forward = tf.function(lambda: model(pair, training=False)["warped"])
    duration = statistics.median(seconds(lambda: forward().numpy(), runs))
    product = statistics.mean([before, matrix_product_rate()])
    return {
        "preset": preset,
        "shape": list(shape),
        "seconds": duration,
        "convolutions": convolution_operations(model, (1, *shape)) / duration,
        "matrix_product": product,
    }


def print_rates(row: dict) -> None:
    """The rates of a row, and the peak memory of this process."""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"convolutions     {row['convolutions'] / 1e9:.0f} GFLOP/s")
    print(f"matrix product   {row['matrix_product'] / 1e9:.0f} GFLOP/s")
    print(f"ratio            {100 * row['convolutions'] / row['matrix_product']:.0f} %")
    print(f"peak memory      {memory:.2f} GiB ({memory * 1.073741824:.2f} GB)")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--shape", type=int, nargs=3, metavar=("D", "H", "W"))
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    row = measure(options.preset, options.shape, options.runs)
    size = " x ".join(map(str, row["shape"]))
    print(f"{options.preset}, 1 x {size}, TensorFlow {tf.__version__}")
    print(f"forward          {row['seconds']:.2f} s (median of {options.runs})")
    print_rates(row)


if __name__ == "__main__":
    main()
