import numpy as np
import pytest
from scipy import ndimage


@pytest.fixture
def textured():
    """A function of (seed, shape): smooth texture in [0, 1], (batch, D, H, W, 1), float64."""

    def make(seed, shape):
        rng = np.random.default_rng(seed)
        volume = ndimage.gaussian_filter(rng.normal(size=shape), (0, 1, 1.3, 0.8))
        volume -= volume.min(axis=(1, 2, 3), keepdims=True)
        return (volume / volume.max(axis=(1, 2, 3), keepdims=True))[..., np.newaxis]

    return make
