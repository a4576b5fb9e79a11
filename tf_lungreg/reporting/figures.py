"""Pictures of a registration and of a training, as matplotlib figures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from tf_lungreg.arrays import Array

GRID_LINES = 16  # across the longer side of a slice, few enough to see the image behind

# Array axes down and across the picture: superior is up in a coronal and a sagittal slice and
# anterior in an axial one; the patient's right, or anterior in a sagittal slice, is on the left.
_VIEW = {0: (1, 2), 1: (0, 2), 2: (1, 0)}

_SIDES = {0: ("R", "L"), 1: ("R", "L"), 2: ("A", "P")}  # of the picture, left and right

_BLUE, _ORANGE = "#0072b2", "#d55e00"  # told apart by colour-blind readers


def registration_figure(
    reference: Array,
    moving: Array,
    warped: Array,
    grid: Array,
    spacing: Sequence[float] | Array,
    axis: int = 0,
    index: int | None = None,
    sides: tuple[str, str] | None = None,
) -> Figure:
    """The paper's Figure 2 for one slice: reference, moving, warped, difference.

    The moving image carries the regular grid, the warped one the same grid carried along with
    the anatomy: its lines are where the grid of sampling coordinates has constant values.

    Args:
        reference: fixed image, (D, H, W) in [0, 1].
        moving: moving image, (D, H, W).
        warped: warped image, (D, H, W).
        grid: sampling coordinates, (D, H, W, 3), in voxels.
        spacing: voxel size in mm along D, H, W.
        axis: the array axis that is cut: 0 gives a coronal slice, 1 axial, 2 sagittal.
        index: the slice, by default the middle one.
        sides: letters at the left and right of each panel; by default those of a volume in
            (P, I, L) order: the patient's R and L, or A and P in a sagittal slice.

    Returns:
        A figure of four panels.
    """
    place: int = reference.shape[axis] // 2 if index is None else index
    rows, columns = _VIEW[axis]
    lines_y, lines_x = (_cut(grid[..., a], axis, place) for a in (rows, columns))
    reference, moving, warped = (_cut(v, axis, place) for v in (reference, moving, warped))
    plain_y, plain_x = np.meshgrid(*[np.arange(n) for n in reference.shape], indexing="ij")
    aspect = spacing[rows] / spacing[columns]
    height = reference.shape[0] * aspect / reference.shape[1]
    width = min(14, 16 / height)  # no panel is higher than 4 inches
    figure = Figure(figsize=(width, width / 4 * height + 0.5), layout="constrained")
    panels = figure.subplots(1, 4)
    titles = ("Reference", "Moving", "Warped", "Difference (reference - warped)")
    for panel, image in zip(panels, (reference, moving, warped)):
        panel.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect)
    _draw_grid(panels[1], plain_y, plain_x)
    _draw_grid(panels[2], lines_y, lines_x)
    shown = panels[3].imshow(reference - warped, cmap="RdBu_r", vmin=-0.5, vmax=0.5, aspect=aspect)
    figure.colorbar(shown, ax=panels[3], shrink=0.8)
    for panel, title in zip(panels, titles):
        panel.set_title(title)
        panel.set_axis_off()
        mark_sides(panel, _SIDES[axis] if sides is None else sides)
    return figure


def mark_sides(panel: Axes, sides: tuple[str, str]) -> None:
    """Writes which side of the patient is at the left and at the right of a picture.

    Args:
        panel: with the picture.
        sides: two letters, such as R and L.
    """
    outline = [withStroke(linewidth=2, foreground="black")]
    for letter, x, align in zip(sides, (0.02, 0.98), ("left", "right")):
        panel.text(
            *(x, 0.98, letter),
            transform=panel.transAxes,
            horizontalalignment=align,
            verticalalignment="top",
            color="white",
            path_effects=outline,
        )


def jacobian_figure(
    images: Sequence[Array],
    determinants: Sequence[Array],
    masks: Sequence[Array | None],
    spacings: Sequence[float],
    titles: Sequence[str],
    sides: Sequence[tuple[str, str]],
) -> Figure:
    """The Jacobian determinant in colours over slices of the fixed image; black where it folds.

    The scale is logarithmic, so that a half and a double have equally strong colours.

    Args:
        images: of each slice, (rows, columns) in [0, 1].
        determinants: of each slice, the same shape.
        masks: of each slice, where to show the determinant; None shows it everywhere.
        spacings: of each slice, the pixels' size in mm, the same along rows and columns.
        titles: of each slice.
        sides: of each slice, see :func:`mark_sides`.
    """
    widths = [image.shape[1] * step for image, step in zip(images, spacings)]
    height = max(image.shape[0] * step for image, step in zip(images, spacings))
    figure = Figure(figsize=(13, 11.5 * height / sum(widths) + 0.5), layout="constrained")
    panels = figure.subplots(1, len(images), squeeze=False, width_ratios=widths)[0]
    pictures: list[AxesImage] = []
    colours = colormaps["RdBu"].with_extremes(under="#3b0011", over="#021a36")
    scale = LogNorm(0.5, 2)
    slices = zip(panels, images, determinants, masks, titles, sides)
    for panel, image, values, mask, title, letters in slices:
        hidden = np.zeros(values.shape, bool) if mask is None else ~mask
        panel.imshow(image, cmap="gray", vmin=0, vmax=1)
        shown = np.ma.array(np.maximum(values, 1e-3), mask=hidden)
        pictures.append(panel.imshow(shown, cmap=colours, norm=scale, alpha=0.7))
        folds = np.ma.array(np.ones(values.shape), mask=hidden | (values > 0))
        panel.imshow(folds, cmap="gray", vmin=1, vmax=2)
        panel.set_title(title)
        panel.set_axis_off()
        mark_sides(panel, letters)
    bar = figure.colorbar(pictures[-1], ax=list(panels), shrink=0.8, extend="both", pad=0.01)
    bar.set_ticks([0.5, 0.7, 1, 1.4, 2], labels=["0.5", "0.7", "1", "1.4", "2"])
    bar.minorticks_off()
    bar.set_label("volume in the moving image / in the fixed")
    return figure


def overlay(fixed: Array, other: Array) -> Array:
    """Two images in [0, 1] as one, (..., 3): grey where they agree, orange or blue where not.

    Orange is brighter in the fixed image, blue in the other one.
    """
    return np.stack([fixed, (fixed + other) / 2, other], axis=-1)


def learning_curves(history: Sequence[dict[str, float]]) -> Figure:
    """Each term of the loss over the epochs, in training and validation.

    Args:
        history: the logs of each epoch, as Keras names them.

    Returns:
        A figure with one panel a term.
    """
    titles = {
        "warped_loss": "Image term",
        "affine_loss": "Affine term",
        "spatial_gradients_loss": "Spatial gradients' term",
        "grid_loss": "Folding term",
    }
    terms = [name for name in titles if name in history[0]]
    epochs = np.arange(1, len(history) + 1)
    figure = Figure(figsize=(3.6 * len(terms), 3), layout="constrained")
    for panel, name in zip(figure.subplots(1, len(terms), squeeze=False)[0], terms):
        for prefix, label, colour in (("", "training", _BLUE), ("val_", "validation", _ORANGE)):
            values = [row[prefix + name] for row in history]
            panel.plot(epochs, values, ".-", color=colour, label=label)
        panel.set_title(titles[name])
        panel.set_xlabel("epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set_ylim(bottom=0)
        panel.ticklabel_format(axis="y", scilimits=(-3, 3))
        panel.grid(alpha=0.3)
    figure.axes[0].legend()
    return figure


def dice_figure(before: Sequence[float], after: Sequence[float], names: Sequence[str]) -> Figure:
    """Dice of each pair before and after registration, as lines between two points.

    Args:
        before: one value a pair, 0 to 1.
        after: those of the same pairs.
        names: of the pairs.
    """
    figure = Figure(figsize=(7, 0.9 + 0.28 * len(names)), layout="constrained")
    panel = figure.subplots()
    y = np.arange(len(names))
    panel.hlines(y, before, after, color="#999999")
    panel.plot(before, y, "o", color=_BLUE, label="before")
    panel.plot(after, y, "o", color=_ORANGE, label="after")
    panel.set_yticks(y, names, parse_math=False)  # names may hold a $
    panel.invert_yaxis()
    panel.set_xlabel("Dice of the lung masks")
    panel.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def _cut(volume: Array, axis: int, index: int) -> Array:
    """One slice, (rows, columns) as in ``_VIEW``."""
    cut = np.take(volume, index, axis=axis)
    return cut if _VIEW[axis][0] < _VIEW[axis][1] else cut.T


def _draw_grid(panel: Axes, y: Array, x: Array) -> None:
    step = max(y.shape) / GRID_LINES
    for values in (y, x):
        levels = np.arange(0, max(y.shape), step)
        inside = levels[(levels > values.min()) & (levels < values.max())]
        if inside.size:
            panel.contour(values, levels=inside, colors="#ffd400", linewidths=0.6)
