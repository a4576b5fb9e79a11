"""The paper's own figures, as printed in its Tables 1 to 3: another cohort than anyone else's."""

from __future__ import annotations

from typing import TypedDict


class Row(TypedDict, total=False):
    """A row of Table 1.

    Attributes:
        inhale_exhale: Dice in percent, mean and standard deviation, of each patient's two images.
        all_combinations: the same of all pairs.
        seconds: as printed.
    """

    inhale_exhale: tuple[float, float]
    all_combinations: tuple[float, float]
    seconds: str


SOURCE = (
    "Christodoulidis et al., Linear and Deformable Image Registration with 3D Convolutional Neural "
    "Networks, 2018, Tables 1 and 2 (MRI of 13 validation patients, not public)"
)

TABLE_1: dict[str, Row] = {
    "unregistered": {"inhale_exhale": (75.62, 10.89), "all_combinations": (57.22, 12.90)},
    "discrete-ncc": {
        "inhale_exhale": (84.25, 6.89),
        "all_combinations": (76.10, 7.92),
        "seconds": "~1 (GPU)",
    },
    "discrete-dwm": {
        "inhale_exhale": (88.63, 4.67),
        "all_combinations": (75.92, 8.81),
        "seconds": "~2 (GPU)",
    },
    "discrete-mi": {
        "inhale_exhale": (88.86, 5.13),
        "all_combinations": (76.33, 8.74),
        "seconds": "~2 (GPU)",
    },
    "discrete-all": {
        "inhale_exhale": (88.81, 5.85),
        "all_combinations": (78.71, 8.56),
        "seconds": "~2 (GPU)",
    },
    "syn": {"inhale_exhale": (83.86, 6.04), "seconds": "~2500 (CPU)"},
    "proposed-no-affine": {
        "inhale_exhale": (91.28, 2.47),
        "all_combinations": (81.75, 7.88),
        "seconds": "~0.5 (GPU)",
    },
    "proposed": {
        "inhale_exhale": (91.48, 2.33),
        "all_combinations": (82.34, 7.68),
        "seconds": "~0.5 (GPU)",
    },
}

# Mean distances; the paper names no unit.
TABLE_2 = {
    "inter-observer": {"dx": 1.664, "dy": 2.545, "dz": 1.555, "ds": 3.905},
    "discrete-all": {"dx": 1.855, "dy": 3.169, "dz": 2.229, "ds": 4.699},
    "proposed-no-affine": {"dx": 2.014, "dy": 2.947, "dz": 1.858, "ds": 4.569},
    "proposed": {"dx": 1.793, "dy": 2.904, "dz": 1.822, "ds": 4.358},
}

# Accuracy in percent, on the deformations of each method.
TABLE_3 = {
    "discrete-all": {"accuracy": 69.23},
    "proposed": {"accuracy": 84.62},
}
