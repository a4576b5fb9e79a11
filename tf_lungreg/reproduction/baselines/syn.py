"""Symmetric normalisation (SyN) of ANTs, through antspyx: an affine stage, then the deformable one.

The settings are those of ANTs' own ``SyN`` but for more iterations on one more level, which on
phantom pairs gave a little more overlap than the default (40, 20, 0). Local cross-correlation in
place of mutual information took ten to thirty times as long there and gave no more.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tf_lungreg.arrays import Array
from tf_lungreg.reproduction.baselines.packages import require
from tf_lungreg.reproduction.baselines.result import BaselineResult, identity_grid

# Affine: from the centres of mass, Mattes mutual information of 32 bins on a fifth of the voxels.
# SyN: gradient step 0.2, update field smoothed with 3 voxels, the total field not at all.
SETTINGS = {
    "type_of_transform": "SyN",
    "aff_metric": "mattes",
    "aff_sampling": 32,
    "aff_random_sampling_rate": 0.2,
    "syn_metric": "mattes",
    "syn_sampling": 32,
    "grad_step": 0.2,
    "flow_sigma": 3,
    "total_sigma": 0,
    "reg_iterations": (100, 70, 50, 20),  # volumes shrunk 8, 4, 2 and 1 times
}
SEED = 1  # of the voxels that the affine stage samples; threads still round differently


def register_syn(fixed: Array, moving: Array, spacing: Sequence[float]) -> BaselineResult:
    """Registers with SyN; see :data:`tf_lungreg.reproduction.baselines.result.Baseline`.

    Args:
        fixed: (D, H, W), float32 in [0, 1].
        moving: of the same shape.
        spacing: voxel size in mm along D, H, W.

    Raises:
        InputError: antspyx is not installed.
    """
    ants = require("ants")
    start = time.perf_counter()
    fixed_image, moving_image = _image(fixed, spacing), _image(moving, spacing)
    with tempfile.TemporaryDirectory() as folder:
        registration = run(fixed_image, moving_image, folder)
        # Affine and warp as one field, on the fixed grid: the vectors, in mm, lead from a fixed
        # voxel to its point in the moving image.
        file = ants.apply_transforms(
            fixed_image, moving_image, registration["fwdtransforms"], compose=str(Path(folder, "t"))
        )
        displacement = ants.image_read(file).numpy()
    grid = identity_grid(fixed.shape) + displacement / np.asarray(spacing)
    return BaselineResult(grid.astype(np.float32), time.perf_counter() - start)


def run(fixed: Any, moving: Any, folder: str) -> dict[str, Any]:
    """ANTs' own registration of two of its images, with its files in a folder.

    Args:
        fixed: an ANTs image.
        moving: an ANTs image.
        folder: for the files that ANTs writes.
    """
    ants = require("ants")
    ants.config.set_ants_deterministic(on=False, seed_value=SEED)  # seeds; keeps all threads
    return ants.registration(fixed, moving, outprefix=str(Path(folder, "syn")), **SETTINGS)


def _image(volume: Array, spacing: Sequence[float]):
    """An ANTs image whose axes are the array's, in the same order, with the same directions."""
    ants = require("ants")
    return ants.from_numpy(
        np.asarray(volume, np.float32), spacing=tuple(float(step) for step in spacing)
    )
