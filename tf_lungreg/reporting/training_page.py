"""The report of a training."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tf_lungreg.cohorts.cache import PreparedPair
from tf_lungreg.files import write_text
from tf_lungreg.inference.forward import register_arrays
from tf_lungreg.reporting.figures import dice_figure, learning_curves, registration_figure
from tf_lungreg.reporting.pages import page, picture, table


def write_training_report(
    path: Path,
    model,
    validation: Sequence[PreparedPair],
    history: Sequence[dict[str, float]],
    metrics: dict,
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
    sections = [
        ("Result", _note(metrics) + table(_figures_of_merit(metrics), ("", "before", "after"))),
        ("Learning curves", picture(learning_curves(history), "Loss terms over the epochs")),
    ]
    pairs = [row for row in metrics["pairs"] if "dice_after" in row]
    if pairs:
        names = [_pair_name(row) for row in pairs]
        before, after = ([row[f"dice_{w}"] for row in pairs] for w in ("before", "after"))
        figure = dice_figure(before, after, names)
        sections.append(("Validation pairs", picture(figure, "Dice before and after")))
    sections.append(_example(model, validation, metrics["pairs"]))
    record = "\n".join(f"{k}: {v}" for k, v in {**settings, **metrics["software"]}.items())
    sections.append(("Settings and software", f"<pre>{html.escape(record)}</pre>"))
    write_text(path, page("Training report", lead, sections))


def _note(metrics) -> str:
    if not metrics["validated_on_training_set"]:
        return ""
    return (
        '<p class="note">The cohort has fewer than four patients: these figures are from the '
        "images that the model was trained on, not from unseen ones.</p>"
    )


def _figures_of_merit(metrics) -> list[tuple[str, str, str]]:
    """Rows of measure, before, after."""
    rows = []
    if "dice_after" in metrics:
        dice = [f"{100 * metrics[f'dice_{when}']:.2f} %" for when in ("before", "after")]
        rows.append(("Dice of the lung masks, mean", *dice))
    image = [f"{metrics[f'mse_{when}']:.5f}" for when in ("before", "after")]
    rows.append(("Mean squared difference of the images", *image))
    for place in ("lung", "volume"):
        if f"folds_{place}" in metrics:
            share = f"{100 * metrics[f'folds_{place}']:.4f} %"
            rows.append((f"Folded voxels in the {place}", "", share))
    return rows


def _pair_name(row) -> str:
    return f"{row['moving']} → {row['fixed']}"


def _example(model, validation, rows) -> tuple[str, str]:
    """The median pair, neither the best nor the worst, in three planes."""
    order = np.argsort([row.get("dice_after", -row["mse_after"]) for row in rows])
    chosen = int(order[len(order) // 2])
    fixed, moving = validation[chosen]
    outputs = register_arrays(model, fixed.image, moving.image)
    warped = outputs["warped"][0, ..., 0].numpy()
    grid = outputs["grid"][0].numpy()
    spacing = fixed.frame.spacing
    body = "".join(
        f"<h3>{plane}</h3>"
        + picture(
            registration_figure(
                fixed.image, moving.image, warped, grid, spacing, axis, _slice(fixed, axis)
            ),
            f"{plane} slice: reference, moving, warped, difference",
        )
        for axis, plane in enumerate(("Coronal", "Axial", "Sagittal"))
    )
    return f"The median pair: {_pair_name(rows[chosen])}", body


def _slice(scan, axis) -> int:
    """The slice with the most lung, or the middle one."""
    if scan.mask is None:
        return scan.image.shape[axis] // 2
    others = tuple(a for a in range(3) if a != axis)
    return int(np.argmax(scan.mask.sum(axis=others)))
