"""The image terms by name, and their weighted sums."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tf_lungreg.errors import InputError
from tf_lungreg.losses.cross_correlation import ncc
from tf_lungreg.losses.mutual_information import mi
from tf_lungreg.losses.wavelet import dwm

Similarity = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

_PLUS = re.compile(r"(?<!\d[eE])\+")  # not the one of 1e+3


def mse(fixed: tf.Tensor, warped: tf.Tensor) -> tf.Tensor:
    """``‖R - W(S, G)‖²`` divided by the number of voxels; volumes (batch, D, H, W, 1).

    Args:
        fixed: R, (batch, D, H, W, 1).
        warped: W(S, G), of the same shape.
    """
    return tf.reduce_mean(tf.math.squared_difference(fixed, warped), axis=(1, 2, 3, 4))


SIMILARITIES: dict[str, Similarity] = {"mse": mse, "ncc": ncc, "mi": mi, "dwm": dwm}


def find_similarity(expression: str) -> Similarity:
    """The image term of that name, or a weighted sum such as ``mse + 0.5*ncc``.

    Args:
        expression: names of :data:`SIMILARITIES`, weights before a star.

    Returns:
        A function of (fixed, warped), volumes (batch, D, H, W, 1), with one value a pair,
        (batch,), lower for more similar images.

    Raises:
        InputError: a name is unknown or comes twice, or a weight is not a positive number; the
            message lists the names there are.

    Example:
        >>> fixed = tf.reshape(tf.range(8.0), (1, 2, 2, 2, 1)) / 8
        >>> find_similarity("mse")(fixed, fixed + 0.5).numpy().tolist()
        [0.25]
        >>> find_similarity("2*mse")(fixed, fixed + 0.5).numpy().tolist()
        [0.5]
    """
    if expression in SIMILARITIES:
        return SIMILARITIES[expression]
    terms: dict[str, float] = {}
    for term in _PLUS.split(expression):
        name, weight = _parse_term(term, expression)
        if name in terms:
            raise _refusal(expression, f"{name} comes twice")
        terms[name] = weight

    def weighted_sum(fixed: tf.Tensor, warped: tf.Tensor) -> tf.Tensor:
        return tf.add_n([w * SIMILARITIES[name](fixed, warped) for name, w in terms.items()])

    return weighted_sum


def _parse_term(term: str, expression: str) -> tuple[str, float]:
    """The name and the weight of ``name`` or ``weight*name``."""
    factor, star, name = (part.strip() for part in term.rpartition("*"))
    if not name:
        raise _refusal(expression, "a term is empty")
    if name not in SIMILARITIES:
        raise _refusal(expression, f"{name!r} is unknown")
    if not star:
        return name, 1.0
    try:
        weight = float(factor)
    except ValueError:
        weight = np.nan
    if not 0 < weight < np.inf:
        raise _refusal(expression, f"the weight {factor!r} is not a positive number")
    return name, weight


def _refusal(expression: str, reason: str) -> InputError:
    return InputError(
        f"similarity: {', '.join(SIMILARITIES)} or a sum such as mse+0.5*ncc is needed, "
        f"not {expression!r}: {reason}."
    )
