"""The classifier of interstitial lung disease on deformations (paper Section 3.3, Fig. 3).

``p = σ(w · BN(tanh(W · BN(conv(Gδ)) + b)) + c)`` with ``Gδ = G − G_I``, the displacement.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from tf_lungreg.classification.settings import POOLINGS
from tf_lungreg.errors import InputError
from tf_lungreg.models.keras_state import keras_defaults

# Keras' 0.99 would need more steps than a training of some hundred has.
_MOMENTUM = 0.9


@keras_defaults()
def build_ild_classifier(
    shape: Sequence[int],
    filters: int = 8,
    pooling: str = "flatten",
    hidden: int = 100,
    seed: int = 0,
) -> tf.keras.Model:
    """Builds the network.

    The paper gives one convolution of 3 × 3 × 3, stride 2, padding 1, then a perceptron with 100
    hidden units and Tanh, with batch normalizations. Its text leaves open how many filters there
    are, and what becomes of the map before the perceptron; both are arguments here. One batch
    normalization stands behind the convolution, one behind Tanh.

    Args:
        shape: voxels of the displacement along D, H, W.
        filters: of the convolution.
        pooling: ``"flatten"`` keeps where in the lung something moves, ``"average"`` is the mean
            over the map.
        hidden: units of the perceptron.
        seed: of the random weights.

    Returns:
        A model from (batch, D, H, W, 3), see :mod:`tf_lungreg.classification.features`, to the
        probability of disease, (batch, 1).

    Raises:
        InputError: an unknown pooling, or a size below 1.
    """
    if pooling not in POOLINGS:
        raise InputError(f"pooling: one of {', '.join(POOLINGS)} is needed, not {pooling!r}.")
    if min(filters, hidden, *shape) < 1:
        raise InputError(
            f"filters, hidden, shape: 1 or more is needed, not {filters}, {hidden}, {tuple(shape)}."
        )
    layers = tf.keras.layers
    seeds = iter(range(3 * seed, 3 * seed + 3))

    def weights():
        return tf.keras.initializers.GlorotUniform(seed=next(seeds))

    displacement = tf.keras.Input((*shape, 3), name="displacement")
    # Keras' own "same" would pad an even axis on one side only.
    x = layers.ZeroPadding3D(1, name="padding")(displacement)
    x = layers.Conv3D(filters, 3, strides=2, kernel_initializer=weights(), name="downsampling")(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, name="normalization")(x)
    if pooling == "flatten":
        x = layers.Flatten(name="flatten")(x)
    else:
        x = layers.GlobalAveragePooling3D(name="average")(x)
    x = layers.Dense(hidden, kernel_initializer=weights(), name="hidden")(x)
    x = layers.Activation("tanh", name="tanh")(x)
    x = layers.BatchNormalization(momentum=_MOMENTUM, name="hidden_normalization")(x)
    x = layers.Dense(1, "sigmoid", kernel_initializer=weights(), name="probability")(x)
    return tf.keras.Model(displacement, x, name="ild")
