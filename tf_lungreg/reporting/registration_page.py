"""The report of one registration: a page that holds all it shows."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from tf_lungreg.files import write_text
from tf_lungreg.refinement.optimisation import Refinement
from tf_lungreg.registration.result import RegistrationResult
from tf_lungreg.registration.settings import RegistrationSettings
from tf_lungreg.reporting.figures import jacobian_figure, overlay, registration_figure
from tf_lungreg.reporting.pages import figure_source, pixels_source, render
from tf_lungreg.reporting.views import PlaneView, plane_views


def write_report(path: str | Path, result: RegistrationResult) -> None:
    """Writes the page: verdict, numbers, before against after, Figure 2, volume change.

    Args:
        path: the page, replaced where it exists.
        result: of a registration.
    """
    views, measures = result_views(result), result.measures
    record = {"settings": asdict(result.settings), **asdict(result.provenance)}
    quantiles = measures.jacobian_quantiles
    values = {
        "lead": f"{Path(result.moving.name).name} (moving) to "
        f"{Path(result.fixed.name).name} (fixed)",
        "verdict": result.quality.verdict,
        "quality_line": str(result.quality),
        "start": _start(result.settings),
        "stages": _stages(measures.given()),
        "properties": _properties(result),
        "refinement": _refinement(result.provenance.refinement),
        "planes": [_plane(view) for view in views],
        "volume_change": figure_source(_volume_change(views)),
        "shares": ["", *(f"{100 * float(share):g} %" for share in quantiles)],
        "quantiles": [
            f"Quantiles in the {measures.jacobian_region}",
            *(f"{value:.2f}" for value in quantiles.values()),
        ],
        "record": json.dumps(record, indent=2),
    }
    write_text(path, render("registration", **values))


def result_views(result: RegistrationResult) -> list[PlaneView]:
    """Slices of a result in three planes.

    Args:
        result: of a registration.
    """
    return plane_views(
        result.fixed,
        result.moving,
        result.displacement,
        result.jacobian,
        result.parts.translation,
        result.settings.window,
        result.lung,
    )


def _stages(measures: dict[str, Any]) -> list[tuple[str, ...]]:
    """Rows of what is measured at each stage."""
    stages = ("world", "before", "after")

    def row(title: str, pattern: str, form: str) -> tuple[str, ...]:
        values = [measures.get(pattern.format(stage)) for stage in stages]
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


def _properties(result: RegistrationResult) -> list[tuple[str, str]]:
    """Rows of the measures of the transform."""
    measures = result.measures
    folds = (("lung", measures.folds_lung), ("volume", measures.folds_volume))
    rows = [
        (f"Folded voxels in the {where}", f"{100 * share:.4f} %")
        for where, share in folds
        if share is not None
    ]
    return [
        *rows,
        ("Fixed image within the moving one", f"{100 * measures.overlap:.1f} %"),
        ("Spatial gradients at their limits", f"{100 * measures.saturated:.2f} %"),
        ("Time without writing", f"{sum(result.provenance.seconds.values()):.1f} s"),
    ]


def _refinement(record: Refinement | None) -> list[tuple[str, str]]:
    """Rows of what became of ``--refine``; none where it was not asked for."""
    if record is None:
        return []
    begun = {"network": "the network's answer", "identity": "the identity"}[record.begun_from]
    kept = "the refined transform" if record.kept else "the network's answer, which is better"
    term = f"{record.image_term_before:.4f} before, {record.image_term_after:.4f} after"
    return [
        ("Steps of refinement", f"{record.steps} on {len(record.levels)} levels"),
        ("It began from", begun),
        ("Its image term, 1 − NCC²", term),
        ("What was kept", kept),
    ]


def _start(settings: RegistrationSettings) -> str:
    """Where the moving image lay when the network saw it."""
    return {"center": "centres aligned", "world": "before"}[settings.init]


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
