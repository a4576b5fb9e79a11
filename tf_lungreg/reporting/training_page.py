"""The report of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf_lungreg.cohorts.cache import PreparedPair, PreparedScan
from tf_lungreg.files import write_text
from tf_lungreg.inference.forward import register_arrays
from tf_lungreg.reporting.figures import dice_figure, learning_curves, registration_figure
from tf_lungreg.reporting.pages import figure_source, render


def write_training_report(
    path: Path,
    model: tf.keras.Model,
    validation: Sequence[PreparedPair],
    history: Sequence[dict[str, float]],
    metrics: Mapping[str, Any],
) -> None:
    """Writes a training's report: figures of merit, learning curves, the paper's Figure 2.

    Args:
        path: the HTML file.
        model: the trained model.
        validation: pairs (fixed, moving) on the network's grid.
        history: the logs of each epoch.
        metrics: what goes to ``metrics.json``.
    """
    settings = metrics["settings"]
    lead = (
        f"{Path(settings['cohort']).name}, preset {settings['preset']}, "
        f"{metrics['epochs']} epochs, {metrics['train_scans']} training images, "
        f"{metrics['validation_pairs']} validation pairs"
    )
    rows = metrics["pairs"]
    record = {**settings, **metrics["software"]}
    chosen = _median_pair(rows)
    values = {
        "lead": lead,
        "validated_on_training_set": metrics["validated_on_training_set"],
        "figures_of_merit": _figures_of_merit(metrics),
        "curves": figure_source(learning_curves(history)),
        "dice": _dice(rows),
        "example_name": _pair_name(rows[chosen]),
        "example": _example(model, *validation[chosen]),
        "record": "\n".join(f"{name}: {value}" for name, value in record.items()),
    }
    write_text(path, render("training", **values))


def _figures_of_merit(metrics: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Rows of measure, before, after."""
    rows: list[tuple[str, str, str]] = []
    if "dice_after" in metrics:
        before, after = (f"{100 * metrics[f'dice_{when}']:.2f} %" for when in ("before", "after"))
        rows.append(("Dice of the lung masks, mean", before, after))
    before, after = (f"{metrics[f'mse_{when}']:.5f}" for when in ("before", "after"))
    rows.append(("Mean squared difference of the images", before, after))
    for place in ("lung", "volume"):
        if f"folds_{place}" in metrics:
            share = f"{100 * metrics[f'folds_{place}']:.4f} %"
            rows.append((f"Folded voxels in the {place}", "", share))
    return rows


def _pair_name(row: Mapping[str, Any]) -> str:
    return f"{row['moving']} → {row['fixed']}"


def _dice(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """A picture of the pairs' Dice before and after; None without masks."""
    rows = [row for row in rows if "dice_after" in row]
    if not rows:
        return None
    before, after = ([row[f"dice_{when}"] for row in rows] for when in ("before", "after"))
    return figure_source(dice_figure(before, after, [_pair_name(row) for row in rows]))


def _median_pair(rows: Sequence[Mapping[str, Any]]) -> int:
    """The number of the pair that is neither the best nor the worst."""
    order = np.argsort([row.get("dice_after", -row["mse_after"]) for row in rows])
    return int(order[len(order) // 2])


def _example(
    model: tf.keras.Model, fixed: PreparedScan, moving: PreparedScan
) -> list[tuple[str, str]]:
    """Name and picture of three planes of a pair."""
    outputs = register_arrays(model, fixed.image, moving.image)
    warped = outputs["warped"][0, ..., 0].numpy()
    grid = outputs["grid"][0].numpy()
    arrays = (fixed.image, moving.image, warped, grid, fixed.frame.spacing)
    return [
        (plane, figure_source(registration_figure(*arrays, axis, _slice(fixed, axis))))
        for axis, plane in enumerate(("Coronal", "Axial", "Sagittal"))
    ]


def _slice(scan: PreparedScan, axis: int) -> int:
    """The slice with the most lung, or the middle one."""
    if scan.mask is None:
        return scan.image.shape[axis] // 2
    others = tuple(a for a in range(3) if a != axis)
    return int(np.argmax(scan.mask.sum(axis=others)))
