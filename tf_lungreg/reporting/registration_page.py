"""The report of one registration: a page that holds all it shows."""

from __future__ import annotations

import base64
import html
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

from tf_lungreg.files import write_text
from tf_lungreg.quality.verdict import quality_line
from tf_lungreg.reporting.figures import jacobian_figure, overlay, registration_figure
from tf_lungreg.reporting.pages import page, picture, table
from tf_lungreg.reporting.views import PlaneView, plane_views

if TYPE_CHECKING:  # which imports this module
    from tf_lungreg.registration.result import RegistrationResult

_STYLE = """
table { margin-bottom: 1.2rem; } details { margin: 0; } td + td { white-space: nowrap; }
.verdict { padding: .6rem .9rem; border-left: 4px solid; font-weight: 600; }
.verdict.ok { background: #e6f4ea; border-color: #1e7e34; }
.verdict.check { background: #fff6dd; border-color: #d9a400; }
.verdict.failed { background: #fde8e6; border-color: #c0291b; }
.compare { --at: 50%; }
.compare .planes { display: flex; flex-wrap: wrap; gap: 1rem; align-items: end; }
.compare figure { margin: 0; max-width: 100%;  /* as wide as gives all the same height */
                  flex: var(--shape) 1 calc(14rem * var(--shape)); }
.compare figcaption { color: #5b6670; }
.compare .stack { position: relative; background: #000; line-height: 0; }
.compare .stack img { width: 100%; max-height: 75vh; object-fit: contain; }
.compare .stack .over { position: absolute; inset: 0; height: 100%;
                        clip-path: inset(0 calc(100% - var(--at)) 0 0); }
.compare .stack::after { content: ""; position: absolute; top: 0; bottom: 0; left: var(--at);
                         width: 2px; margin-left: -1px; background: #fff; }
.compare .side { position: absolute; top: .4rem; color: #fff; line-height: 1; font-weight: 600;
                 text-shadow: 0 0 3px #000; }
.compare .side.left { left: .5rem; } .compare .side.right { right: .5rem; }
.compare label { display: flex; gap: .7rem; align-items: center; padding: .4rem 0;
                 position: sticky; bottom: 0; background: #fff; }
.compare input { flex: 1; min-width: 0; height: 2rem; }
.key { display: inline-block; width: .9em; height: .9em; vertical-align: -.1em; }
"""

_FILES = (
    ("warped.nii.gz", "the moving image on the fixed image's grid, in its own intensities"),
    ("displacement.nii.gz", "the whole transform, for ITK, ANTs and tf-lungreg apply"),
    ("affine.tfm", "its affine part, which comes first"),
    ("deformation.nii.gz", "the rest of it, which comes second"),
    ("jacobian.nii.gz", "local volume change, on the fixed image's grid"),
    ("metrics.json", "all numbers of this page and more"),
)


def write_registration_report(path: str | Path, result: RegistrationResult) -> None:
    """Writes the page: verdict, numbers, before against after, Figure 2, volume change.

    Args:
        path: the page, replaced where it exists.
        result: of a registration, with its metrics.
    """
    views, metrics = plane_views(result), result.metrics
    lead = f"{Path(result.moving.name).name} (moving) to {Path(result.fixed.name).name} (fixed)"
    verdict = f'<p class="verdict {metrics["quality"]}">{html.escape(quality_line(metrics))}</p>'
    figures = "".join(f"<h3>{view.name}</h3>" + _figure_2(view) for view in views)
    numbers = _comparison(metrics) + _properties(metrics) + _refinement(metrics)
    recorded = ("settings", "refinement", "model", "inputs", "seconds", "software")
    record = {name: metrics[name] for name in recorded if metrics.get(name) is not None}
    sections = [
        ("Result", verdict + numbers),
        ("Before and after", _sliders(views, _start(metrics))),
        ("Local volume change", _volume_change(views, metrics)),
        ("Images and deformed grid", figures),
        ("Files", _files()),
        ("How it was made", _record(record)),
    ]
    write_text(path, page("Registration report", lead, sections, _STYLE))


def _comparison(metrics: dict) -> str:
    """What is measured at each stage."""
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
    header = ("", "as the files lie", _start(metrics), "registered")
    return table([r for r in rows if any(r[1:])], header)


def _properties(metrics: dict) -> str:
    """What is measured of the transform."""
    rows = [
        ("Folded voxels in the " + where, f"{100 * metrics['folds_' + where]:.4f} %")
        for where in ("lung", "volume")
        if f"folds_{where}" in metrics
    ]
    rows += [
        ("Fixed image within the moving one", f"{100 * metrics['overlap']:.1f} %"),
        ("Spatial gradients at their limits", f"{100 * metrics['saturated']:.2f} %"),
        ("Time without writing", f"{sum(metrics['seconds'].values()):.1f} s"),
    ]
    return table(rows)


def _refinement(metrics: dict) -> str:
    """What became of ``--refine``, where it was asked for."""
    record = metrics.get("refinement")
    if record is None:
        return ""
    begun = {"network": "the network's answer", "identity": "the identity"}[record["begun_from"]]
    kept = "the refined transform" if record["kept"] else "the network's answer, which is better"
    term = "{image_term_before:.4f} before, {image_term_after:.4f} after"
    return table(
        [
            ("Steps of refinement", f"{record['steps']} on {len(record['levels'])} levels"),
            ("It began from", begun),
            ("Its image term, 1 − NCC²", term.format(**record)),
            ("What was kept", kept),
        ]
    )


def _start(metrics: dict) -> str:
    """Where the moving image lay when the network saw it."""
    return {"center": "centres aligned", "world": "before"}[metrics["settings"]["init"]]


def _sliders(views: list[PlaneView], start: str) -> str:
    """The overlays of all planes before and after, wiped by one control."""
    planes = ""
    for view in views:
        fixed, before, after = (v[0] for v in (view.fixed, view.before, view.after))
        planes += (
            f'<figure style="--shape: {fixed.shape[1] / fixed.shape[0]:.3f}">'
            f'<div class="stack"><img alt="{view.name}, after" '
            f'src="{_png(overlay(fixed, after))}"><img class="over" alt="{view.name}, before" '
            f'src="{_png(overlay(fixed, before))}">{_letters(view)}</div>'
            f"<figcaption>{view.name}</figcaption></figure>"
        )
    return (
        '<p>Grey where both images agree; <span class="key" style="background:#ff8000"></span> '
        'orange where the fixed image is brighter, <span class="key" style="background:#0080ff">'
        "</span> blue where the moving one is. Left of the line: the moving image "
        f"{start}; right of it: registered.</p>"
        f'<div class="compare"><div class="planes">{planes}</div>'
        '<label>all registered <input type="range" min="0" max="100" value="50" '
        'aria-label="how much is shown before registration" '
        "oninput=\"this.closest('.compare').style.setProperty('--at', this.value + '%')\">"
        " all before</label></div>"
    )


def _letters(view: PlaneView) -> str:
    left, right = view.sides
    return f'<span class="side left">{left}</span><span class="side right">{right}</span>'


def _volume_change(views: list[PlaneView], metrics: dict) -> str:
    figure = jacobian_figure(
        [view.fixed[0] for view in views],
        [view.jacobian[0] for view in views],
        [None if view.lung is None else view.lung[0] for view in views],
        [view.frame.spacing[1] for view in views],
        [view.name for view in views],
        [view.sides for view in views],
    )
    where = metrics["jacobian_region"]
    quantiles = metrics["jacobian_quantiles"].items()
    return (
        "<p>The volume that a piece of tissue has in the moving image, as a multiple of that in "
        "the fixed image: below 1 (red) it is smaller there. Black where the transform folds.</p>"
        + picture(figure, "Jacobian determinant in three planes, with a colour bar")
        + table(
            [(f"Quantiles in the {where}", *(f"{value:.2f}" for _, value in quantiles))],
            ("", *(f"{100 * float(q):g} %" for q, _ in quantiles)),
        )
    )


def view_figure(view: PlaneView) -> Figure:
    """The paper's Figure 2 of one slice.

    Args:
        view: of :func:`tf_lungreg.reporting.views.plane_views`.
    """
    arrays = (view.fixed, view.before, view.after, view.grid)
    return registration_figure(*arrays, view.frame.spacing, index=0, sides=view.sides)


def _figure_2(view: PlaneView) -> str:
    return picture(view_figure(view), f"{view.name}: reference, moving, warped, difference")


def _files() -> str:
    lines = "".join(f"<li><code>{name}</code>: {html.escape(text)}</li>" for name, text in _FILES)
    return f"<ul>{lines}</ul>"


def _record(record: dict) -> str:
    text = html.escape(json.dumps(record, indent=2))
    return f"<details><summary>Settings, files, versions</summary><pre>{text}</pre></details>"


def _png(colours: np.ndarray) -> str:
    data = io.BytesIO()
    imsave(data, np.clip(colours, 0, 1), format="png")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")
