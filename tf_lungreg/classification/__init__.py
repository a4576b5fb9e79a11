"""Interstitial lung disease from deformations: features, training, evaluation (Section 3.3)."""
