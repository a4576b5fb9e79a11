"""HTML pages from the templates beside this module; their pictures are inside them."""

from __future__ import annotations

import base64
import functools
import io

import jinja2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import imsave

from tf_lungreg.arrays import Array


def render(template: str, **values: object) -> str:
    """Fills a template; every value is escaped.

    Args:
        template: its name in the folder ``templates``, without ``.html.j2``.
        **values: what the template names.
    """
    return _templates().get_template(f"{template}.html.j2").render(values)


@functools.lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("tf_lungreg.reporting"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def figure_source(figure: Figure) -> str:
    """A figure of matplotlib as the source of an image in a page."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    return _source(data)


def pixels_source(colours: Array) -> str:
    """An array of colours, (H, W, 3) in [0, 1], as the source of an image in a page."""
    data = io.BytesIO()
    imsave(data, np.clip(colours, 0, 1), format="png")
    return _source(data)


def _source(png: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode("ascii")
