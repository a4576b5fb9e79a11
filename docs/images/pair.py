"""Draws one registration as the paper's Figure 2, the coronal slice of its report.

python docs/images/pair.py FIXED MOVING PICTURE.png [REFINE]
"""

import sys

from tf_lungreg import register, result_views
from tf_lungreg.reporting.registration_page import view_figure


def main(fixed: str, moving: str, picture: str, refine: str = "0") -> None:
    """Registers with the default model and writes the picture."""
    view = result_views(register(fixed, moving, refine=int(refine)))[0]
    view_figure(view).savefig(picture, dpi=80)


if __name__ == "__main__":
    main(*sys.argv[1:])
