"""Pure functions on tensors: grids, integration, sampling, composition, Jacobians.

A grid holds, for each fixed voxel, the zero-based voxel coordinates to sample in the moving image:
``warped(p) = moving(G(p))``. Its shape is ``(batch, D, H, W, 3)``, last axis in array-axis order.
"""

from tf_lungreg.ops.correlation import expected_shift, fit_affine, local_correlation
from tf_lungreg.ops.grids import (
    affine_grid,
    compose,
    compose_affine,
    displacement,
    identity_affine,
    identity_grid,
    invert_affine,
)
from tf_lungreg.ops.integration import ANCHORS, check_anchor, integrate
from tf_lungreg.ops.jacobian import jacobian_determinant
from tf_lungreg.ops.local_statistics import (
    box_mean,
    central_differences,
    matching_step,
    normalize_locally,
)
from tf_lungreg.ops.resampling import upsample
from tf_lungreg.ops.warping import INTERPOLATIONS, warp

__all__ = [
    "ANCHORS",
    "INTERPOLATIONS",
    "affine_grid",
    "box_mean",
    "central_differences",
    "check_anchor",
    "compose",
    "compose_affine",
    "displacement",
    "expected_shift",
    "fit_affine",
    "identity_affine",
    "identity_grid",
    "integrate",
    "invert_affine",
    "jacobian_determinant",
    "local_correlation",
    "matching_step",
    "normalize_locally",
    "upsample",
    "warp",
]
