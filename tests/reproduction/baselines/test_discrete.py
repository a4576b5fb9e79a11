"""The discrete method as a whole: known deformations, phantoms, folding."""

import numpy as np
import pytest
from scipy import ndimage

from tf_lungreg import ops
from tf_lungreg.cohorts.cache import prepare_scans
from tf_lungreg.cohorts.cohort import load_cohort, phase_pairs
from tf_lungreg.errors import InputError
from tf_lungreg.inference.forward import warp_mask
from tf_lungreg.quality.scores import dice
from tf_lungreg.reproduction.baselines import find_baseline, register_discrete

pytest.importorskip("maxflow")

SHAPE = (32, 48, 44)
SPACING = (5.0, 4.0, 4.5)


@pytest.fixture
def deformed(rng):
    """A textured body, the same one deformed by up to 6 voxels, and the true grid."""
    noise = sum(s * ndimage.gaussian_filter(rng.normal(size=SHAPE), s) * s**0.5 for s in (1, 2, 4))
    noise = (noise - noise.min()) / np.ptp(noise)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in SHAPE), indexing="ij")
    body = np.sqrt(sum(axis**2 for axis in axes)) < 0.85
    moving = ndimage.gaussian_filter(np.where(body, 0.2 + 0.8 * noise, 0), 0.5).astype(np.float32)
    knots = rng.normal(size=(3, 3, 3, 3))
    factors = [n / 3 for n in SHAPE]
    displacement = np.stack(
        [ndimage.zoom(knots[..., a], factors, order=3, mode="nearest") for a in range(3)], axis=-1
    )
    displacement *= 6 / np.linalg.norm(displacement, axis=-1).max()
    grid = (np.moveaxis(np.indices(SHAPE), 0, -1) + displacement).astype(np.float32)
    assert ops.jacobian_determinant(grid[None]).numpy().min() > 0.1
    where = np.moveaxis(grid, -1, 0)
    fixed = ndimage.map_coordinates(moving, where, order=1, mode="nearest")
    inside = ndimage.map_coordinates(body.astype(np.uint8), where, order=0, mode="nearest") == 1
    return fixed, moving, grid, inside


@pytest.mark.long
@pytest.mark.parametrize("metric", ["ncc", "dwm", "mi", "all"])
def test_a_known_deformation(deformed, metric):
    fixed, moving, grid, inside = deformed
    found = find_baseline(f"discrete-{metric}")(fixed, moving, SPACING)
    assert found.grid.shape == (*SHAPE, 3) and found.grid.dtype == np.float32
    error = np.linalg.norm(found.grid - grid, axis=-1)[inside].mean()
    before = np.linalg.norm(grid - ops.identity_grid(SHAPE)[0], axis=-1)[inside].mean()
    assert before > 2 and error < 1
    determinant = ops.jacobian_determinant(found.grid[None]).numpy()
    assert (determinant <= 0).mean() == 0


@pytest.mark.long
def test_lungs_of_a_phantom(cohort):
    scans = load_cohort(cohort)
    fixed, moving = phase_pairs(scans)[1]
    spacing = (15.0, 16.0, 15.0)
    fixed, moving = prepare_scans([fixed, moving], spacing, (16, 32, 32), progress=False)
    found = register_discrete(fixed.image, moving.image, spacing, "all").grid
    before = dice(fixed.mask, moving.mask)
    after = dice(fixed.mask, warp_mask(moving.mask, found[None]))
    assert after > before + 0.1


@pytest.mark.long
def test_the_same_twice(deformed):
    fixed, moving = (v[::2, ::2, ::2] for v in deformed[:2])
    twice = [register_discrete(fixed, moving, SPACING, "mi").grid for _ in range(2)]
    np.testing.assert_array_equal(*twice)


def test_an_unknown_metric(rng):
    volume = rng.random((4, 5, 6), np.float32)
    with pytest.raises(InputError, match="ncc, dwm, mi, all.*'mse'"):
        register_discrete(volume, volume, (1, 1, 1), "mse")
