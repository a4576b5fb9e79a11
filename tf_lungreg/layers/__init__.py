"""Keras layers of the registration network."""

from tf_lungreg.layers.attention import SqueezeExcitation3D
from tf_lungreg.layers.normalization import instance_normalization
from tf_lungreg.layers.transformer import (
    AffineGrid,
    AffineMatrix,
    CumulativeIntegration,
    GridComposition,
    IdentityAffine,
    SpatialGradients,
    SpatialTransformer3D,
    UnitSpatialGradients,
)

__all__ = [
    "AffineGrid",
    "AffineMatrix",
    "CumulativeIntegration",
    "GridComposition",
    "IdentityAffine",
    "SpatialGradients",
    "SpatialTransformer3D",
    "SqueezeExcitation3D",
    "UnitSpatialGradients",
    "instance_normalization",
]
