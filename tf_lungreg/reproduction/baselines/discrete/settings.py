"""The settings of the discrete method, with their reasons.

Those that were chosen by measurement were chosen by the distance to the true displacement in the
lung, not by overlap, on two phantom pairs (32 × 64 × 56 voxels of 10 × 6.4 × 6.4 mm); the sweeps on
one of them and two synthetic deformations. The other settings were compared with four sweeps.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """One level, coarse to fine.

    Attributes:
        control: distance of the control points, mm.
        voxel: voxel size in mm that the images are shrunk to; axes with larger voxels stay.
        sweeps: how often a labelling is found and applied.
    """

    control: float
    voxel: float
    sweeps: int


# Control points a lung's width apart first, halved twice. A level can move a point by REACH of the
# spacing times 1 + 0.75 + ... + 0.75^5 = 3.3, so 105 mm at the first, more than a diaphragm moves.
LEVELS = (Level(80, 20, 6), Level(40, 10, 6), Level(20, 0, 6))
CONTROL_VOXELS = 2  # control points are never closer: a spline would pass between the voxels

REACH = 0.4  # largest step in control spacings: below 1 / 2.48 cubic B-splines in 3D do not fold
STEPS = 4  # label lengths in each direction along an axis, evenly up to REACH
# Of the labels' lengths from sweep to sweep. Four sweeps of 0.66
# were faster and left larger errors; eight of 0.8 were slower and came closer to folding.
SHRINK = 0.75

# Of the pairwise term, against costs of about 1. From 0.005 to 0.02 the errors were alike; at 0.1
# they were 1.8 and 2.1 times as large for ncc and dwm.
SMOOTHNESS = 0.02
TRUNCATION = 0.4  # distance, in control spacings before shrinking, that costs no more: organs slide
CYCLES = 2  # of alpha expansion; a third lowered the energy by 2 in 100 000

NCC_WINDOW = 5  # voxels
NCC_VARIANCE = 1e-4  # added to local variances: a noise of 0.01 counts as flat

MI_BINS = 32  # 16 and 48 gave nearly the same
MI_SIGMA = 1.0  # smoothing of the joint histogram, bins
MI_FLOOR = 1e-6  # probability of pairs of intensities never seen

DWM_LEVELS = 2  # of the Haar transform: blocks of 2 and 4 voxels

# Metric → the weight of each cost. On a phantom pair the mean range of a control point's costs over
# the labels was 0.22 for ncc, 0.038 for dwm and 0.93 for mi: in the sum each weighs about the same.
METRICS = {
    "ncc": {"ncc": 1.0},
    "dwm": {"dwm": 5.0},
    "mi": {"mi": 1.0},
    "all": {"ncc": 1 / 3, "dwm": 5 / 3, "mi": 1 / 12},
}
