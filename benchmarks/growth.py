"""How time and memory of the forward pass grow with the volume, and a power law through each.

Each size is a process of its own, whose peak is that pass's alone. Prints the row of one size.

    python benchmarks/growth.py --preset paper --size 64
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

PRESETS = ("fast", "general", "paper")
SIZES = (32, 48, 64, 96, 128, 192, 256)
LIMIT = 1200.0  # seconds that all passes of a size may take

_FIRST = 16  # size of the pass after which memory is counted; the graph and the libraries are there
_FITTED = 4  # largest sizes through which a law is laid: below, what any pass takes weighs too much
_COLOURS = ("#0072b2", "#d55e00", "#009e73")  # told apart by colour-blind readers


def measure(
    presets: Sequence[str] = PRESETS,
    sizes: Sequence[int] = SIZES,
    runs: int = 5,
    limit: float = LIMIT,
) -> list[dict]:
    """Time and peak memory of each preset on cubes of growing size.

    Args:
        presets: names of the networks.
        sizes: voxels along an edge, ascending.
        runs: that are counted; the median is taken.
        limit: seconds that all passes of a size may take.

    Returns:
        The rows of :func:`measure_pass`. The sizes of a preset that would take too long, or more
        memory than there is, are one row: ``preset``, ``sizes`` and the reason, ``left_out``.
    """
    rows = []
    for preset in presets:
        row = None
        for number, size in enumerate(sizes):
            reason = row and reason_to_leave_out(row, size, runs, limit)
            if not reason:
                row, reason = _in_its_own_process(preset, size, runs, limit)
            if reason:
                rows.append({"preset": preset, "sizes": list(sizes[number:]), "left_out": reason})
                break
            rows.append(row)
    return rows


def reason_to_leave_out(row: dict, size: int, runs: int, limit: float = LIMIT) -> str | None:
    """What speaks against measuring a size, if both costs grow with the voxels; None if nothing.

    Args:
        row: of the largest size that was measured.
        size: voxels along an edge.
        runs: passes that are counted, after one that is not.
        limit: seconds that all of them may take.
    """
    times = (size / row["size"]) ** 3
    memory = row["memory"] + (times - 1) * row["added"]
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if memory > 0.8 * there:  # the system and a wrong guess need some as well
        return f"about {memory / 1e9:.0f} GB are needed, the machine has {there / 1e9:.0f}"
    seconds = times * row["seconds"] * (runs + 1)
    if seconds > limit:
        return f"about {seconds / 60:.0f} minutes are needed, {limit / 60:.0f} allowed"
    return None


def _in_its_own_process(preset, size, runs, limit):
    """The row, or None and why there is none."""
    words = [sys.executable, __file__, "--preset", preset, "--size", str(size)]
    try:
        done = subprocess.run(
            [*words, "--runs", str(runs)],
            stdout=subprocess.PIPE,
            encoding="utf-8",
            timeout=2 * limit + 60,
        )
    except subprocess.TimeoutExpired as error:
        return None, f"it was not done after {error.timeout / 60:.0f} minutes"
    if done.returncode:
        return None, f"its process ended with status {done.returncode}"
    return json.loads(done.stdout.splitlines()[-1]), None


def measure_pass(preset: str, size: int, runs: int) -> dict:
    """The forward pass on a cube, with random weights, in this process, which is to be a new one.

    Args:
        preset: name of the network.
        size: voxels along an edge.
        runs: that are counted; the median is taken.

    Returns:
        ``preset``, ``size``, ``seconds``; ``memory``, peak of the process in bytes, and ``added``,
        how far that is above the peak of a pass on a small cube.
    """
    import tensorflow as tf
    from forward import seconds

    from tf_lungreg.models import build_registration_model

    model = build_registration_model(preset)
    volume = tf.TensorSpec((1, None, None, None, 1), tf.float32)
    forward = tf.function(
        lambda pair: model(pair, training=False)["warped"],
        input_signature=[{"moving": volume, "fixed": volume}],
    )

    def random_pair(edge):
        return {name: tf.random.uniform((1, *3 * [edge], 1)) for name in ("moving", "fixed")}

    forward(random_pair(_FIRST))
    before = _peak_memory()
    pair = random_pair(size)
    duration = statistics.median(seconds(lambda: forward(pair).numpy(), runs))
    memory = _peak_memory()
    costs = {"seconds": duration, "memory": memory, "added": memory - before}
    return {"preset": preset, "size": size, **costs}


def _peak_memory():
    """Most bytes that this process ever held; Linux.

    ``ru_maxrss`` will not do: it begins with what the parent held when it started the process.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def measured(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """The rows of :func:`measure` by preset, without those of what was left out."""
    found = {}
    for row in rows:
        if "left_out" not in row:
            found.setdefault(row["preset"], []).append(row)
    return found


def power_law(rows: list[dict], cost: str) -> tuple[float, float] | None:
    """The law ``cost = c · voxels^p`` nearest to the largest sizes of a preset, on log scales.

    Args:
        rows: of one preset, sizes ascending.
        cost: ``"seconds"`` or ``"added"``.

    Returns:
        c and p; None with fewer than two sizes.
    """
    points = [(row["size"] ** 3, row[cost]) for row in rows[-_FITTED:] if row[cost] > 0]
    if len(points) < 2:
        return None
    voxels, costs = np.log(np.array(points)).T
    power, factor = np.polyfit(voxels, costs, 1)
    return float(np.exp(factor)), float(power)


def growth_figure(rows: list[dict]) -> Figure:
    """Time and memory over the voxels on log scales, the laws as lines.

    Args:
        rows: of :func:`measure`.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    presets = measured(rows)
    sizes = sorted({row["size"] for each in presets.values() for row in each})
    titles = (("seconds", 1, "time (s)"), ("added", 1e-9, "memory of the pass (GB)"))
    for panel, (cost, unit, title) in zip(panels, titles):
        for (name, each), colour in zip(presets.items(), _COLOURS):
            voxels = np.array([row["size"] ** 3.0 for row in each])
            law, label = power_law(each, cost), name
            if law is not None:
                label = f"{name}: voxels$^{{{law[1]:.2f}}}$"
                fitted = voxels[-_FITTED:]
                panel.plot(fitted, unit * law[0] * fitted ** law[1], color=colour)
            costs = [unit * row[cost] for row in each]
            panel.plot(voxels, costs, "o", color=colour, markersize=4, label=label)
        panel.set(xscale="log", yscale="log", xlabel="volume (voxels)", ylabel=title)
        panel.set_xticks([size**3 for size in sizes], [f"{size}³" for size in sizes])
        panel.minorticks_off()
        panel.grid(alpha=0.3)
        panel.legend()
    return figure


def main() -> None:
    """Measures one size and prints its row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--size", type=int, default=64, help="of a cube's edge (%(default)s)")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(measure_pass(options.preset, options.size, options.runs)))


if __name__ == "__main__":
    main()
