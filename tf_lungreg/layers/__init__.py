"""Keras layers of the registration network."""

from tf_lungreg.layers.attention import SqueezeExcitation3D
from tf_lungreg.layers.evidence import LocalDeviation3D, LocalNormalization3D, MatchingStep3D
from tf_lungreg.layers.matching import (
    AffineComposition,
    BackAlignment3D,
    DisplacedSampling3D,
    DisplacementGradients,
    ExpectedShift,
    FadedGradients,
    FittedAffine,
    LocalCorrelation3D,
    RescaledAffine,
)
from tf_lungreg.layers.normalization import instance_normalization
from tf_lungreg.layers.resampling import BorderContinuation3D, LinearUpsampling3D
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
    "AffineComposition",
    "AffineGrid",
    "AffineMatrix",
    "BackAlignment3D",
    "BorderContinuation3D",
    "CumulativeIntegration",
    "DisplacedSampling3D",
    "DisplacementGradients",
    "ExpectedShift",
    "FadedGradients",
    "FittedAffine",
    "GridComposition",
    "IdentityAffine",
    "LinearUpsampling3D",
    "LocalCorrelation3D",
    "LocalDeviation3D",
    "LocalNormalization3D",
    "MatchingStep3D",
    "RescaledAffine",
    "SpatialGradients",
    "SpatialTransformer3D",
    "SqueezeExcitation3D",
    "UnitSpatialGradients",
    "instance_normalization",
]
