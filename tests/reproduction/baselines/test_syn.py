"""SyN: the direction of its grid, and its grid against ANTs' own resampling."""

import numpy as np
import pytest
from scipy import ndimage

from tf_lungreg import ops
from tf_lungreg.reproduction.baselines import register_syn, syn

pytest.importorskip("ants")

SPACING = (4.0, 2.5, 3.0)
SHIFT = (2, -3, 1)
SHAPE = (16, 24, 28)


@pytest.fixture
def pair(rng):
    """``fixed(p) = moving(p + SHIFT)``, cut from one texture without a repeat."""
    texture = ndimage.gaussian_filter(rng.normal(size=[n + 20 for n in SHAPE]), 3)
    texture = ((texture - texture.min()) / np.ptp(texture)).astype(np.float32)
    cut = [
        texture[tuple(slice(10 - s, 10 - s + n) for s, n in zip(shift, SHAPE))]
        for shift in ((0, 0, 0), SHIFT)
    ]
    return cut[0], cut[1]


@pytest.fixture
def result(pair, tmp_path, monkeypatch):
    """The result, and what ANTs itself returned; temporary files go to an empty folder."""
    kept = {}

    def spy(*args):
        kept.update(run(*args))
        return kept

    run = syn.run
    monkeypatch.setattr(syn, "run", spy)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return register_syn(*pair, SPACING), kept


def test_a_translation_a_grid_and_no_files_left(pair, result, tmp_path):
    found, theirs = result
    assert found.grid.shape == (*SHAPE, 3) and found.grid.dtype == np.float32
    assert found.seconds > 0
    inner = (found.grid - ops.identity_grid(SHAPE)[0].numpy())[4:-4, 5:-5, 5:-5]
    np.testing.assert_allclose(inner.mean(axis=(0, 1, 2)), SHIFT, atol=0.25)

    warped = ops.warp(pair[1][None, ..., None], found.grid[None])[0, ..., 0].numpy()
    within = ((found.grid > 0) & (found.grid < np.array(SHAPE) - 1)).all(axis=-1)
    assert within.mean() > 0.5
    np.testing.assert_allclose(warped[within], theirs["warpedmovout"].numpy()[within], atol=1e-4)
    assert np.abs(warped - pair[1])[within].mean() > 0.02  # something has moved

    # TensorFlow writes what it converts to graphs into the folder of temporary files, too.
    assert [p for p in tmp_path.iterdir() if not p.name.startswith("__autograph")] == []
