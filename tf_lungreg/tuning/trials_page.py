"""The report of a search: where in the plane of α and β it was, and what every trial gave."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from scipy.spatial import Delaunay, QhullError

from tf_lungreg.arrays import Array
from tf_lungreg.files import write_text
from tf_lungreg.reporting.pages import figure_source, render
from tf_lungreg.tuning.results import best_row
from tf_lungreg.tuning.settings import TuningSettings
from tf_lungreg.tuning.space import RANGES

_COLUMNS = ("val_dice", "folds_lung", "score", "seconds", "status", "message")


def search_figure(rows: Sequence[dict[str, Any]]) -> Figure:
    """The trials over α and β on logarithmic axes, coloured by the Dice of validation.

    Contours lie between the trials where there are enough of them; a ring marks those that folded
    too much, a cross those that failed, a star the best.

    Args:
        rows: of :func:`tf_lungreg.tuning.results.trial_rows`, at least one of which ended well.
    """
    scored = [row for row in rows if row["score"] is not None]
    alpha, beta, dice = (
        np.array([row[name] for row in scored], float) for name in ("alpha", "beta", "val_dice")
    )
    dice = 100 * dice
    figure = Figure(figsize=(7.5, 5.5), layout="constrained")
    panel = figure.subplots()
    panel.set(xscale="log", yscale="log", xlabel="α, affine term", ylabel="β, spatial gradients")
    panel.set(xlim=_wider(RANGES["alpha"]), ylim=_wider(RANGES["beta"]))
    shades: dict[str, Any] = {"cmap": "viridis", "vmin": dice.min(), "vmax": dice.max()}
    triangles = _triangles(alpha, beta)
    if triangles is not None and np.ptp(dice) > 0:
        panel.tricontourf(triangles, dice, levels=12, alpha=0.35, **shades)
    points = panel.scatter(alpha, beta, c=dice, s=60, edgecolors="white", zorder=3, **shades)
    figure.colorbar(points, ax=panel, label="Dice of the validation pairs (%)")
    best = best_row(rows)
    assert best is not None  # one ended well
    marks: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
        "best": ([best], {"marker": "*", "s": 260, "facecolors": "none", "edgecolors": "black"}),
        "folds too much": (
            [row for row in rows if row["status"] == "penalised"],
            {"marker": "o", "s": 130, "facecolors": "none", "edgecolors": "#d55e00"},
        ),
        "failed": (
            [row for row in rows if row["status"] == "failed"],
            {"marker": "x", "s": 60, "color": "#d55e00"},
        ),
    }
    for label, (marked, style) in marks.items():
        if marked:
            across, up = ([row[name] for row in marked] for name in ("alpha", "beta"))
            panel.scatter(across, up, label=label, zorder=4, **style)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def write_tuning_report(path: Path, rows: Sequence[dict[str, Any]], config: TuningSettings) -> None:
    """Writes the page: the best trial, the plane of α and β, the table of trials, settings.

    Args:
        path: the page, replaced where it exists.
        rows: of the table of trials.
        config: of the search.
    """
    best, training = best_row(rows), config.training
    assert best is not None  # otherwise the search ends before it writes the page
    lead = (
        f"{Path(training.cohort).name}, preset {training.preset}, {config.tuner} search, "
        f"{len(rows)} trials of at most {training.epochs} epochs of {training.steps} batches"
    )
    chosen = [(name, _text(name, best[name])) for name in config.searched]
    chosen += [
        ("Dice of the lung masks before", f"{100 * best['dice_before']:.2f} %"),
        ("Dice after", f"{100 * best['val_dice']:.2f} %"),
        ("Folded voxels in the lung", f"{100 * best['folds_lung']:.4f} %"),
    ]
    columns = [*config.searched, *(["epochs"] if "epochs" in rows[0] else []), *_COLUMNS]
    ranked = sorted(rows, key=lambda row: -np.inf if row["score"] is None else row["score"])[::-1]
    cells = [[str(row["trial"]), *(_text(name, row[name]) for name in columns)] for row in ranked]
    settings = sorted(config.record()["training"].items())
    values = {
        "lead": lead,
        "best": best["trial"],
        "chosen": chosen,
        "plane": figure_source(search_figure(rows)),
        "max_folds": config.max_folds,
        "trials": cells,
        "columns": ["trial", *columns],
        "settings": [setting for setting in settings if setting[0] not in config.searched],
    }
    write_text(path, render("trials", **values))


def _text(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in RANGES:
        return f"{value:.3g}"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _triangles(alpha: Array, beta: Array) -> Triangulation | None:
    """Triangles between the points, made on logarithms; None where the points span no area."""
    if len(alpha) < 4:
        return None
    try:
        corners = Delaunay(np.log10(np.stack([alpha, beta], axis=1))).simplices
    except QhullError:
        return None
    return Triangulation(alpha, beta, corners)


def _wider(limits: tuple[float, float]) -> tuple[float, float]:
    """The range with a margin, so that no mark at its end is cut."""
    return limits[0] / 1.5, limits[1] * 1.5
