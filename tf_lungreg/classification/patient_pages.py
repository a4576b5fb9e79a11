"""What drove one answer, for a person: a map on the fixed image, and a page that shows it."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from tf_lungreg import __version__
from tf_lungreg.arrays import Array
from tf_lungreg.files import write_text
from tf_lungreg.images.image import Image
from tf_lungreg.reporting.figures import mark_sides
from tf_lungreg.reporting.pages import figure_source, render

MAP, PAGE = "occlusion.nii.gz", "report.html"
_VIEWS = (("coronal", 0), ("axial", 1), ("sagittal", 2))


def write_report(
    out: str | os.PathLike[str], found: dict[str, Any], painted: Image, under: Array
) -> None:
    """Writes the map as NIfTI and the page; what is there is replaced.

    Args:
        out: folder.
        found: answer of :func:`tf_lungreg.classification.prediction.predict`.
        painted: of :func:`tf_lungreg.classification.occlusion.paint_map`.
        under: what the map is drawn on, (D, H, W), on the map's grid.
    """
    out = Path(out)
    Image(painted.data, painted.frame).save(out / MAP, overwrite=True)
    rows = [
        ("probability of disease", f"{found['probability']:.3f}"),
        ("called", found["called"]),
        ("single networks", ", ".join(f"{value:.2f}" for value in found["responses"])),
        ("classifier", found["model"]),
        *((name.replace("_", " "), path) for name, path in found["inputs"].items()),
        ("made by", f"tf_lungreg {__version__}, {datetime.date.today().isoformat()}"),
    ]
    values = {
        "lead": "A research tool: this is not a diagnosis.",
        "answer": rows,
        "slices": figure_source(occlusion_figure(painted, under)),
        "map": MAP,
    }
    write_text(out / PAGE, render("patient", **values))


def occlusion_figure(painted: Image, under: Array) -> Figure:
    """Three slices through the strongest voxel.

    Args:
        painted: the map.
        under: image or mask on the same grid, (D, H, W).
    """
    center = np.unravel_index(np.argmax(np.abs(painted.data)), painted.data.shape)
    limit = max(float(np.abs(painted.data).max()), 1e-6)
    low, high = np.percentile(under, (0.5, 99.5)) if under.dtype != bool else (0, 3)
    steps = painted.frame.spacing
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    panels = figure.subplots(1, 3)
    pictures: list[AxesImage] = []
    for panel, (title, axis) in zip(panels, _VIEWS):
        down, across = {0: (1, 2), 1: (0, 2), 2: (1, 0)}[axis]
        image, values = (np.take(v, center[axis], axis) for v in (under, painted.data))
        if down > across:
            image, values = image.T, values.T
        aspect = steps[down] / steps[across]
        panel.imshow(image, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
        picture = panel.imshow(
            np.ma.array(values, mask=values == 0),
            cmap="PuOr_r",
            vmin=-limit,
            vmax=limit,
            alpha=0.6,
            aspect=aspect,
        )
        pictures.append(picture)
        panel.set_title(title)
        panel.set_axis_off()
        mark_sides(panel, ("A", "P") if axis == 2 else ("R", "L"))
    figure.colorbar(pictures[-1], ax=list(panels), shrink=0.8).set_label("log-odds of disease")
    return figure
