"""Times what gpu_export.py wrote; needs JAX and numpy only, and this file.

Prints the median time of a pass in each precision, the rate of its convolutions, the rate's share
of the card's peak, and how far the grid is from that of float32.

    python gpu_time.py exported
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import jax
import numpy as np

# Dense peaks in TFLOP/s, what NVIDIA states with sparsity halved; float32 is without tensor cores.
# H100 and H200: "NVIDIA H100 Tensor Core GPU Architecture" and the H200's datasheet; A100: "NVIDIA
# A100 Tensor Core GPU Architecture". The names are parts of JAX's ``device_kind``.
PEAKS = {
    "H100 PCIe": {"float32": 51.2, "tensorfloat32": 378.0, "bfloat16": 756.0},
    "H100 80GB HBM3": {"float32": 66.9, "tensorfloat32": 494.7, "bfloat16": 989.4},
    "H200": {"float32": 66.9, "tensorfloat32": 494.7, "bfloat16": 989.4},
    "A100": {"float32": 19.5, "tensorfloat32": 156.0, "bfloat16": 312.0},
}


def peak_of(card: str, precision: str) -> float | None:
    """Operations a second that a card can do at most; None for one that is not in the table.

    Args:
        card: JAX's name of it.
        precision: of the convolutions.
    """
    return next((1e12 * peaks[precision] for name, peaks in PEAKS.items() if name in card), None)


def measure(folder: str | os.PathLike, runs: int = 50, peak: list[float] | None = None) -> dict:
    """Times every precision of an export on JAX's first device.

    Args:
        folder: what gpu_export.py wrote.
        runs: that are counted, after two that are not; the median is taken.
        peak: TFLOP/s of the card in each precision, in the export's order; by default from
            :data:`PEAKS`.

    Returns:
        What the export says of itself, ``card``, ``jax``, and ``rows`` of ``precision``,
        ``seconds``, ``rate`` of the convolutions in operations a second, ``share`` of the peak or
        None, and ``largest`` and ``mean`` distance of the grid's coordinates from float32's, in
        voxels.
    """
    folder = Path(folder)
    description = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    card = jax.devices()[0].device_kind
    with np.load(folder / "pair.npz") as stored:
        pair = [jax.device_put(stored[name]) for name in ("moving", "fixed")]
    rows, reference = [], None
    for number, precision in enumerate(description["precisions"]):  # float32 is the first
        seconds, grid = _time(folder / f"{precision}.stablehlo", pair, runs)
        reference = grid if reference is None else reference
        distance = np.abs(grid - reference)
        rate = description["operations"] / seconds
        most = 1e12 * peak[number] if peak else peak_of(card, precision)
        rows.append(
            {
                "precision": precision,
                "seconds": seconds,
                "rate": rate,
                "share": most and rate / most,
                "largest": float(distance.max()),
                "mean": float(distance.mean()),
            }
        )
    return {**description, "card": card, "jax": jax.__version__, "rows": rows}


def _time(file, pair, runs):
    """Median seconds of a pass, and its grid."""
    forward = jax.jit(jax.export.deserialize(bytearray(file.read_bytes())).call)
    for _ in range(2):  # compiles; then everything is in its place
        outputs = jax.block_until_ready(forward(*pair))
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        jax.block_until_ready(forward(*pair))
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds), np.asarray(outputs[1])


def table(results: dict) -> str:
    """The results in Markdown.

    Args:
        results: of :func:`measure`.
    """
    lines = [
        "| preset | precision | seconds | TFLOP/s | of the peak (%) | grid, largest error (voxels) "
        "| grid, mean error (voxels) |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in results["rows"]:
        share = "" if row["share"] is None else f"{100 * row['share']:.1f}"
        cells = [results["preset"], row["precision"], f"{row['seconds']:.4f}"]
        cells += [f"{row['rate'] / 1e12:.2f}", share]
        cells += [f"{row['largest']:.2g}", f"{row['mean']:.2g}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what gpu_export.py wrote")
    parser.add_argument("--runs", type=int, default=50, help="that are counted (%(default)s)")
    parser.add_argument(
        "--peak",
        type=float,
        nargs=3,
        metavar=("FLOAT32", "TENSORFLOAT32", "BFLOAT16"),
        help="TFLOP/s of the card, where it is not known here",
    )
    options = parser.parse_args()
    results = measure(options.folder, options.runs, options.peak)
    print(table(results))
    size = " × ".join(map(str, results["shape"]))
    print(
        f"\nOne pair of {size} on {results['card']}: the graph of TensorFlow "
        f"{results['tensorflow']}, compiled by XLA with JAX {results['jax']}. Median of "
        f"{options.runs}, warm, both volumes on the card."
    )


if __name__ == "__main__":
    main()
