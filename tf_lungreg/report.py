"""Reports: one HTML page with its pictures inside, no script and no outside request."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tf_lungreg.evaluation import PreparedPair, register_arrays
from tf_lungreg.figures import dice_figure, learning_curves, registration_figure
from tf_lungreg.files import write_text

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2126; background: #fff;
       max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } img { max-width: 100%; height: auto; }
.scroll img { min-width: 44rem; }
table { border-collapse: collapse; } td, th { padding: .25rem .9rem .25rem 0; text-align: left;
        border-bottom: 1px solid #dde2e7; font-variant-numeric: tabular-nums; }
.note { background: #fff6dd; border-left: 4px solid #d9a400; padding: .6rem .9rem; }
.muted { color: #5b6670; } details { margin-top: 2rem; } pre { overflow-x: auto; }
"""


def page(title: str, lead: str, sections: Sequence[tuple[str, str]], style: str = "") -> str:
    """A whole HTML page.

    Args:
        title: plain text.
        lead: a sentence under the title, plain text.
        sections: heading (plain text) and body (HTML) of each section.
        style: CSS beside the one of all reports.
    """
    body = "\n".join(f"<section><h2>{html.escape(h)}</h2>\n{b}</section>" for h, b in sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}{style}</style>\n</head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        f'<p class="muted">{html.escape(lead)}</p>\n{body}\n</body>\n</html>\n'
    )


def picture(figure: Figure, description: str) -> str:
    """A figure as an image inside the page; wide ones scroll on a narrow screen.

    Args:
        figure: of matplotlib.
        description: what it shows, for those who do not see it.
    """
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    source = f"data:image/png;base64,{encoded}"
    return f'<div class="scroll"><img alt="{html.escape(description)}" src="{source}"></div>'


def table(rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> str:
    """A table of plain texts.

    Args:
        rows: of cells.
        header: cells of the first line; none without it.
    """

    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    lines = [line(header, "th")] if header else []
    lines += [line(cells, "td") for cells in rows]
    return '<div class="scroll"><table>' + "\n".join(lines) + "</table></div>"


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
