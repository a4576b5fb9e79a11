import io

import numpy as np
import pytest

from tf_lungreg import ops
from tf_lungreg.reporting.figures import dice_figure, learning_curves, registration_figure

SHAPE = (6, 9, 12)


@pytest.mark.parametrize(
    "axis, size, place", [(0, (9, 12), (1, 3)), (1, (6, 12), (2, 3)), (2, (9, 6), (1, 2))]
)
def test_slices_lie_as_radiologists_expect(axis, size, place):
    """A bright voxel anterior, superior and right of the middle: up, and left."""
    volume = np.zeros(SHAPE)
    volume[2, 1, 3] = 1
    grid = ops.identity_grid(SHAPE)[0].numpy()
    figure = registration_figure(
        volume, volume, volume, grid, (4, 3, 3), axis, index=(2, 1, 3)[axis]
    )
    shown = [panel.images[0].get_array() for panel in figure.axes[:4]]
    assert shown[0].shape == size
    assert np.unravel_index(np.argmax(shown[0]), size) == place
    letters = ["A", "P"] if axis == 2 else ["R", "L"]
    assert all([text.get_text() for text in panel.texts] == letters for panel in figure.axes[:4])
    assert np.abs(shown[3]).max() == 0  # no difference between an image and itself


def test_the_deformed_grid_follows_the_anatomy():
    """A line of the moving image's regular grid is drawn where the grid samples that line."""
    volume = np.random.default_rng(0).uniform(size=(4, 32, 32))
    grid = ops.identity_grid((4, 32, 32))[0].numpy().copy()
    grid[..., 1] += 3  # row r of the warped image shows row r + 3 of the moving one
    figure = registration_figure(volume, volume, volume, grid, (1, 1, 1))
    rows = {n: horizontal_lines(figure.axes[n]) for n in (1, 2)}
    assert len(rows[1]) > 10
    np.testing.assert_allclose(rows[2], [r - 3 for r in rows[1] if r - 3 > 0], atol=1e-6)


def horizontal_lines(panel):
    """The heights of the contour lines that run across the whole panel."""
    found = set()
    for collection in panel.collections:
        for path in collection.get_paths():
            y = path.vertices[:, 1] if len(path.vertices) else np.array([0.0, 1.0])
            if np.ptp(y) < 1e-6:
                found.add(round(float(y[0]), 6))
    return sorted(found)


def test_learning_curves_show_each_term_that_was_logged():
    terms = ("warped_loss", "affine_loss", "spatial_gradients_loss")
    history = [{prefix + t: 0.5 for t in terms for prefix in ("", "val_")} for _ in range(3)]
    figure = learning_curves(history)
    assert len(figure.axes) == 3
    assert all(len(panel.lines) == 2 for panel in figure.axes)


def test_a_name_is_no_formula():
    name = r"sub-$\frac{1$ → sub-$2$"
    figure = dice_figure([0.5], [0.9], [name])
    figure.savefig(io.BytesIO())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [name]
