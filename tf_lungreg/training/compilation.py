"""The loss of Eq. 4 on a registration model."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tf_lungreg import losses
from tf_lungreg.models.keras_state import keras_defaults


@keras_defaults()
def compile_registration_model(
    model: tf.keras.Model,
    similarity: str = "mse",
    alpha: float = 1e-6,
    beta: float = 1e-6,
    gamma: float = 0.0,
    learning_rate: float = 1e-3,
) -> tf.keras.Model:
    """Compiles the model with one loss an output: ``similarity + α affine + β Φ + γ folding``.

    Each term is logged on its own, unweighted, as ``warped_loss``, ``affine_loss``,
    ``spatial_gradients_loss`` and, where γ is not 0, ``grid_loss``.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`.
        similarity: see :func:`tf_lungreg.losses.find_similarity`.
        alpha: weight of ``‖A - A_I‖₁``, the sum of 12 entries.
        beta: weight of ``‖Φ - Φ_I‖₁``, a mean over voxels as the image term is.
        gamma: weight of the folding term on the Jacobian determinant of the grid.
        learning_rate: of Adam.

    Returns:
        The same model.

    Raises:
        InputError: the similarity is no known name or sum of them.
    """
    terms = {
        "warped": (losses.find_similarity(similarity), 1.0),
        "affine": (losses.affine_l1, alpha),
        "spatial_gradients": (losses.spatial_gradients_l1, beta),
    }
    if gamma:
        terms["grid"] = (losses.folding, gamma)
    model.compile(
        optimizer=tf.keras.optimizers.Adam(learning_rate),
        loss={output: _Term(function) for output, (function, _) in terms.items()},
        loss_weights={output: weight for output, (_, weight) in terms.items()},
    )
    return model


class _Term(tf.keras.losses.Loss):
    """A term of the loss as an object.

    Keras 3 casts the arguments of a bare function to its global float type when training starts.
    An object keeps the type that was set when it was created.
    """

    def __init__(self, function: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]):
        super().__init__()
        self._function = function

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        return self._function(y_true, y_pred)
