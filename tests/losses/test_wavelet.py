import numpy as np
import pytest
import pywt

from tf_lungreg import losses


def dwm_by_pywt(fixed, warped, levels):
    """One pair, (D, H, W): the coefficients of both images, level by level."""
    total = 0
    for _ in range(levels):
        first, second = (pywt.dwtn(x, "haar", mode="symmetric") for x in (fixed, warped))
        total += sum(np.abs(first[key] - second[key]).sum() for key in first if key != "aaa")
        fixed, warped = first["aaa"], second["aaa"]
    return total + np.abs(fixed - warped).sum()


@pytest.mark.parametrize("shape", [(8, 16, 24), (9, 13, 18), (2, 5, 8)])
@pytest.mark.parametrize("levels", [1, 3])
def test_it_is_the_difference_of_the_coefficients(textured, shape, levels):
    fixed, warped = textured(1, (2, *shape)), textured(2, (2, *shape)) ** 2
    expected = [dwm_by_pywt(f[..., 0], w[..., 0], levels) for f, w in zip(fixed, warped)]
    found = losses.dwm(fixed, warped, levels)
    np.testing.assert_allclose(found, np.array(expected) / np.prod(shape), rtol=1e-9)


def test_three_levels_are_the_default_and_even_sizes_the_mean_of_the_coefficients(textured):
    fixed, warped = textured(3, (1, 8, 16, 24)), textured(4, (1, 8, 16, 24))
    first, second = (
        pywt.coeffs_to_array(pywt.wavedecn(x[0, ..., 0], "haar", level=3))[0]
        for x in (fixed, warped)
    )
    expected = np.abs(first - second).mean()
    np.testing.assert_allclose(losses.dwm(fixed, warped), [expected], rtol=1e-9)
