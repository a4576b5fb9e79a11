"""The paper's Figure 2 of one registered pair."""

from __future__ import annotations

from pathlib import Path

from tf_lungreg.files import replacing
from tf_lungreg.images.image import Image
from tf_lungreg.images.preparation import Window
from tf_lungreg.reporting.figures import registration_figure
from tf_lungreg.reporting.views import plane_views
from tf_lungreg.reproduction.pair_measures import Case
from tf_lungreg.transforms.transform import Transform


def write_figure(
    path: Path, title: str, field: Transform, fixed: Case, moving: Case, window: Window
) -> None:
    """Draws reference, moving, warped and difference, coronal, where there is most lung.

    The moving image is shown with the volume centres aligned, and the grids show what
    the transform does beyond that.

    Args:
        path: a .png file; one that is there is replaced.
        title: of the picture.
        field: the transform, on the fixed image's grid.
        fixed: the fixed scan.
        moving: the moving scan.
        window: see :func:`tf_lungreg.images.preparation.window_limits`.
    """
    translation = moving.image.frame.center - fixed.image.frame.center
    jacobian = Image(field.jacobian(), field.frame, fixed.image.name)
    pair = (fixed.image, moving.image)
    view = plane_views(*pair, field, jacobian, translation, window, fixed.mask)[0]
    arrays = (view.fixed, view.before, view.after, view.grid)
    figure = registration_figure(*arrays, view.frame.spacing, index=0, sides=view.sides)
    figure.suptitle(title, parse_math=False)  # names may hold a $
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110)
