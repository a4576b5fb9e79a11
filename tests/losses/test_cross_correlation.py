import numpy as np
import pytest

from tf_lungreg import losses
from tf_lungreg.losses.cross_correlation import TEXTURE


def ncc_by_loop(fixed, warped, radius):
    """One pair, (D, H, W): each window cut out of the volume, its moments taken in two passes."""
    fixed, warped = ((x - x.mean()) / x.std() for x in (fixed, warped))
    total = 0
    for index in np.ndindex(fixed.shape):
        window = tuple(slice(max(i - radius, 0), i + radius + 1) for i in index)
        f, w = fixed[window] - fixed[window].mean(), warped[window] - warped[window].mean()
        total += np.mean(f * w) ** 2 / ((f.var() + TEXTURE) * (w.var() + TEXTURE))
    return 1 - total / fixed.size


@pytest.mark.parametrize("shape", [(7, 12, 11), (3, 4, 6)])
@pytest.mark.parametrize("window", [9, 5])
def test_it_is_the_loop_over_windows(textured, shape, window):
    fixed, warped = textured(1, (2, *shape)), 0.3 * textured(2, (2, *shape))
    warped = 0.5 * fixed + warped
    expected = [ncc_by_loop(f[..., 0], w[..., 0], window // 2) for f, w in zip(fixed, warped)]
    np.testing.assert_allclose(losses.ncc(fixed, warped, window), expected, rtol=1e-9)
    single = losses.ncc(fixed.astype(np.float32), warped.astype(np.float32), window)
    np.testing.assert_allclose(single, expected, atol=1e-5)
    assert 0.05 < min(expected) and max(expected) < 0.95


def test_the_default_window_is_nine_voxels(textured):
    fixed, warped = textured(3, (1, 12, 13, 14)), textured(4, (1, 12, 13, 14))
    np.testing.assert_array_equal(losses.ncc(fixed, warped), losses.ncc(fixed, warped, 9))
    assert losses.ncc(fixed, warped)[0] != losses.ncc(fixed, warped, 7)[0]


def test_windows_without_texture_count_as_uncorrelated(textured):
    volume = textured(5, (1, 40, 9, 10)).astype(np.float32)
    volume[:, 20:] = 0.8
    # Planes 0 to 23 see texture, the sixteen others none.
    np.testing.assert_allclose(losses.ncc(volume, volume), [16 / 40], atol=2e-3)
