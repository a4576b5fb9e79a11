"""The terms of the loss, Eq. 4: similarity of the images, and the regularisation of A and Φ.

Each function takes ``(true, predicted)``, as Keras calls it, and returns one value a pair,
``(batch,)``; Keras takes their mean.
"""

from tf_lungreg.losses.cross_correlation import ncc
from tf_lungreg.losses.mutual_information import mi
from tf_lungreg.losses.regularisation import (
    FOLDING_MARGIN,
    affine_l1,
    folding,
    spatial_gradients_l1,
)
from tf_lungreg.losses.similarity import SIMILARITIES, find_similarity, mse
from tf_lungreg.losses.wavelet import dwm

__all__ = [
    "FOLDING_MARGIN",
    "SIMILARITIES",
    "affine_l1",
    "dwm",
    "find_similarity",
    "folding",
    "mi",
    "mse",
    "ncc",
    "spatial_gradients_l1",
]
