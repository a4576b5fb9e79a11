"""The report of one registration: a page that holds all it shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from tf_lungreg.files import write_text
from tf_lungreg.quality.verdict import quality_line
from tf_lungreg.reporting.figures import jacobian_figure, overlay, registration_figure
from tf_lungreg.reporting.pages import figure_source, pixels_source, render
from tf_lungreg.reporting.views import PlaneView, plane_views

if TYPE_CHECKING:  # which imports this module
    from tf_lungreg.registration.result import RegistrationResult


def write_registration_report(path: str | Path, result: RegistrationResult) -> None:
    """Writes the page: verdict, numbers, before against after, Figure 2, volume change.

    Args:
        path: the page, replaced where it exists.
        result: of a registration, with its metrics.
    """
    views, metrics = plane_views(result), result.metrics
    recorded = ("settings", "refinement", "model", "inputs", "seconds", "software")
    record = {name: metrics[name] for name in recorded if metrics.get(name) is not None}
    quantiles = metrics["jacobian_quantiles"]
    values = {
        "lead": f"{Path(result.moving.path).name} (moving) to "
        f"{Path(result.fixed.path).name} (fixed)",
        "verdict": metrics["quality"],
        "quality_line": quality_line(metrics),
        "start": _start(metrics),
        "stages": _stages(metrics),
        "properties": _properties(metrics),
        "refinement": _refinement(metrics),
        "planes": [_plane(view) for view in views],
        "volume_change": figure_source(_volume_change(views)),
        "shares": ["", *(f"{100 * float(share):g} %" for share in quantiles)],
        "quantiles": [
            f"Quantiles in the {metrics['jacobian_region']}",
            *(f"{value:.2f}" for value in quantiles.values()),
        ],
        "record": json.dumps(record, indent=2),
    }
    write_text(path, render("registration", **values))


def _stages(metrics: dict) -> list[tuple[str, ...]]:
    """Rows of what is measured at each stage."""
    stages = ("world", "before", "after")

    def row(title, pattern, form):
        values = [metrics.get(pattern.format(stage)) for stage in stages]
        return (title, *("" if v is None else form.format(v) for v in values))

    rows = [
        row("Dice of the lung masks", "dice_{}", "{:.3f}"),
        row("Landmark error, mean (mm)", "tre_{}", "{:.2f}"),
        row("Landmark error, median (mm)", "tre_{}_median", "{:.2f}"),
        row("Landmark error, largest (mm)", "tre_{}_max", "{:.2f}"),
        row("Correlation of the images", "ncc_{}", "{:.3f}"),
        row("Mean squared difference", "mse_{}", "{:.5f}"),
    ]
    return [r for r in rows if any(r[1:])]


def _properties(metrics: dict) -> list[tuple[str, str]]:
    """Rows of what is measured of the transform."""
    rows = [
        ("Folded voxels in the " + where, f"{100 * metrics['folds_' + where]:.4f} %")
        for where in ("lung", "volume")
        if f"folds_{where}" in metrics
    ]
    return [
        *rows,
        ("Fixed image within the moving one", f"{100 * metrics['overlap']:.1f} %"),
        ("Spatial gradients at their limits", f"{100 * metrics['saturated']:.2f} %"),
        ("Time without writing", f"{sum(metrics['seconds'].values()):.1f} s"),
    ]


def _refinement(metrics: dict) -> list[tuple[str, str]]:
    """Rows of what became of ``--refine``; none where it was not asked for."""
    record = metrics.get("refinement")
    if record is None:
        return []
    begun = {"network": "the network's answer", "identity": "the identity"}[record["begun_from"]]
    kept = "the refined transform" if record["kept"] else "the network's answer, which is better"
    term = "{image_term_before:.4f} before, {image_term_after:.4f} after"
    return [
        ("Steps of refinement", f"{record['steps']} on {len(record['levels'])} levels"),
        ("It began from", begun),
        ("Its image term, 1 − NCC²", term.format(**record)),
        ("What was kept", kept),
    ]


def _start(metrics: dict) -> str:
    """Where the moving image lay when the network saw it."""
    return {"center": "centres aligned", "world": "before"}[metrics["settings"]["init"]]


def _plane(view: PlaneView) -> dict[str, object]:
    """What the page shows of one plane: the overlays that are wiped, and Figure 2."""
    fixed, before, after = (volume[0] for volume in (view.fixed, view.before, view.after))
    return {
        "name": view.name,
        "sides": view.sides,
        "shape": fixed.shape[1] / fixed.shape[0],
        "before": pixels_source(overlay(fixed, before)),
        "after": pixels_source(overlay(fixed, after)),
        "figure": figure_source(view_figure(view)),
    }


def _volume_change(views: list[PlaneView]) -> Figure:
    return jacobian_figure(
        [view.fixed[0] for view in views],
        [view.jacobian[0] for view in views],
        [None if view.lung is None else view.lung[0] for view in views],
        [view.frame.spacing[1] for view in views],
        [view.name for view in views],
        [view.sides for view in views],
    )


def view_figure(view: PlaneView) -> Figure:
    """The paper's Figure 2 of one slice.

    Args:
        view: of :func:`tf_lungreg.reporting.views.plane_views`.
    """
    arrays = (view.fixed, view.before, view.after, view.grid)
    return registration_figure(*arrays, view.frame.spacing, index=0, sides=view.sides)
