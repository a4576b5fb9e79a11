"""Coarse to fine: a labelling of the control points in each sweep, its deformation composed."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.reproduction.baselines.discrete import fields, labels, settings, splines
from tf_lungreg.reproduction.baselines.discrete.costs import weighted_cost
from tf_lungreg.reproduction.baselines.packages import require
from tf_lungreg.reproduction.baselines.result import BaselineResult, identity_grid

_FWHM = 2 * np.sqrt(2 * np.log(2))  # of a Gaussian with sigma 1


def register_discrete(
    fixed: Array, moving: Array, spacing: Sequence[float], metric: str
) -> BaselineResult:
    """Registers by a Markov random field on control points; there is no affine stage.

    A sweep gives each control point one of a few displacements. Their B-spline deformation, too
    small to fold, is composed with the grid so far, ``G(p) ← G(p + u(p))``: maps that do not fold
    stay so when composed, which sums of displacements need not.

    Args:
        fixed: (D, H, W) float32 in [0, 1].
        moving: the same shape.
        spacing: voxel size in mm along D, H, W.
        metric: a name in :data:`tf_lungreg.reproduction.baselines.discrete.settings.METRICS`.

    Returns:
        The grid and the seconds; the same input gives the same grid.

    Raises:
        InputError: an unknown metric, or PyMaxflow is not installed.
    """
    if metric not in settings.METRICS:
        known = ", ".join(settings.METRICS)
        raise InputError(f"metric: one of {known} is needed, not {metric!r}.")
    require("maxflow.fastmin")
    start = time.perf_counter()
    grid = identity_grid(fixed.shape)
    for level in settings.LEVELS:
        grid = _register_level(fixed, moving, grid, np.asarray(spacing, float), metric, level)
    return BaselineResult(grid, time.perf_counter() - start)


def _register_level(
    fixed: Array, moving: Array, grid: Array, spacing: Array, metric: str, level: settings.Level
) -> Array:
    """The grid (D, H, W, 3) after the sweeps of one level."""
    steps = np.maximum(1, np.round(level.voxel / spacing)).astype(int)
    smoothing = np.sqrt(steps**2 - 1) / _FWHM  # as in preprocessing.resample
    fixed, moving = (ndimage.gaussian_filter(v, smoothing, mode="nearest") for v in (fixed, moving))
    control = np.maximum(level.control / spacing, settings.CONTROL_VOXELS)
    dense = [splines.cubic_basis(n, h) for n, h in zip(fixed.shape, control)]
    shrunk = [basis[:, ::step] for basis, step in zip(dense, steps)]
    weights = settings.METRICS[metric]
    for sweep in range(level.sweeps):
        found = labels.displacements(sweep)
        warped = fields.sample(moving, grid)
        unary = _unary_costs(fixed, warped, found * control, steps, shrunk, weights)
        chosen = labels.choose(unary, found, sweep)
        update = splines.spread((found * control).astype(np.float32)[chosen], dense)
        grid = fields.compose(identity_grid(fixed.shape) + update, grid)
    return grid


def _unary_costs(
    fixed: Array,
    warped: Array,
    displacements: Array,
    steps: Array,
    basis: Sequence[Array],
    weights: dict[str, float],
) -> Array:
    """Cost of moving the image so far by each displacement, about each control point.

    Args:
        fixed: (D, H, W).
        warped: (D, H, W), the moving image under the grid so far.
        displacements: (labels, 3) in voxels.
        steps: the cost is computed at every so-manieth voxel along each axis.
        basis: the splines' values at those voxels.
        weights: cost name → weight.

    Returns:
        (a, b, c, labels): means over the voxels, weighted by the control points' splines.
    """
    still = np.zeros(3)
    cost = weighted_cost(
        weights, *(fields.translated(volume, still, steps) for volume in (fixed, warped))
    )
    candidates = (fields.translated(warped, d, steps) for d in displacements)
    return np.stack([splines.gather(cost(c), basis) for c in candidates], axis=-1)
