"""Draws the paper's Figures 1 and 3, ``network.png`` and ``classifier.png``, beside this file.

The numbers are those of the models, so that the pictures follow them.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from tf_lungreg.classification.features import SHAPE
from tf_lungreg.classification.settings import ClassifierSettings
from tf_lungreg.models.presets import PRESETS

HERE = Path(__file__).parent
DATA, LAYER, RESULT = "#eef1f4", "#cfe3f2", "#fbe3cc"


def canvas(width: float, height: float):
    """A figure and axes in inches, without frame."""
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return figure, axes


def box(axes, x, y, text, colour=LAYER, width=1.5, height=0.8):
    """A box about (x, y)."""
    corner = (x - width / 2, y - height / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, width, height, boxstyle=style, fc=colour, ec="#44505c"))
    axes.text(x, y, text, ha="center", va="center", fontsize=9)


def arrow(axes, start, end, bend=0.0):
    """An arrow between two points."""
    style = {"arrowstyle": "-|>", "color": "#44505c", "connectionstyle": f"arc3,rad={bend}"}
    axes.annotate("", end, start, arrowprops=style)


def registration() -> Figure:
    """Figure 1: the preset ``paper``."""
    sizes = PRESETS["paper"].network
    merged = 2 + sum(sizes.encoder)
    figure, axes = canvas(14, 4.6)
    box(axes, 0.85, 3.0, "moving", DATA, 1.2)
    box(axes, 0.85, 1.6, "fixed", DATA, 1.2)
    for y in (3.0, 1.6):
        arrow(axes, (1.45, y), (2.0, 2.3))
    places = [2.55 + 1.2 * n for n in range(len(sizes.encoder))]
    for number, (x, filters, dilation) in enumerate(zip(places, sizes.encoder, sizes.dilations)):
        box(axes, x, 2.3, f"{filters}\ndilation {dilation}", width=1.0)
        if number:
            arrow(axes, (x - 0.7, 2.3), (x - 0.5, 2.3))
    middle = sum(places) / len(places)
    axes.text(middle, 3.0, "encoder: 3 × 3 × 3, instance norm., LeakyReLU", ha="center", fontsize=9)
    axes.text(middle, 1.55, "the images and all maps go on", ha="center", fontsize=9, color="#666")
    box(axes, 8.85, 2.3, f"merged\n{merged} maps", DATA, 1.1)
    arrow(axes, (places[-1] + 0.5, 2.3), (8.3, 2.3))
    box(axes, 10.3, 3.7, "global average\nlinear, 12")
    box(
        axes, 10.3, 0.9, "squeeze, excite\n" + ", ".join(map(str, sizes.decoder)) + "\n3", width=1.7
    )
    arrow(axes, (9.4, 2.5), (9.55, 3.6))
    arrow(axes, (9.4, 2.1), (9.45, 1.0))
    box(axes, 11.85, 3.7, "A", RESULT, 0.7)
    box(axes, 11.85, 0.9, "Φ = 2 σ(·)\n∈ [0, 2]", RESULT, 1.0)
    arrow(axes, (11.05, 3.7), (11.5, 3.7))
    arrow(axes, (11.15, 0.9), (11.35, 0.9))
    box(axes, 12.7, 2.3, "G = G_N(G_A)\nG_N: sums of Φ", RESULT, 1.3)
    arrow(axes, (12.0, 3.3), (12.5, 2.7))
    arrow(axes, (12.0, 1.3), (12.5, 1.9))
    box(axes, 13.35, 0.9, "warped", DATA, 1.0)
    arrow(axes, (12.9, 1.9), (13.25, 1.3))
    axes.text(13.35, 0.35, "moving at G", ha="center", fontsize=9, color="#666")
    return figure


def classifier() -> Figure:
    """Figure 3, with what the paper leaves open as it is here."""
    settings = ClassifierSettings()
    half = [(n + 1) // 2 for n in SHAPE]
    steps = [
        ("Gδ = G − G_I\n" + " × ".join(map(str, (*SHAPE, 3))), DATA),
        (f"convolution\n3 × 3 × 3, stride 2\npadding 1, {settings.filters} filters", LAYER),
        ("batch\nnormalization\n" + " × ".join(map(str, (*half, settings.filters))), LAYER),
        (f"linear\n{settings.hidden} units", LAYER),
        ("Tanh", LAYER),
        ("batch\nnormalization", LAYER),
        ("linear\n1 unit, sigmoid", LAYER),
        ("probability\nof disease", RESULT),
    ]
    figure, axes = canvas(14, 1.6)
    for number, (text, colour) in enumerate(steps):
        x = 0.9 + 1.74 * number
        box(axes, x, 0.8, text, colour, 1.42, 1.0)
        if number:
            arrow(axes, (x - 1.03, 0.8), (x - 0.71, 0.8))
    return figure


if __name__ == "__main__":
    registration().savefig(HERE / "network.png", dpi=90)
    classifier().savefig(HERE / "classifier.png", dpi=90)
