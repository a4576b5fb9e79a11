"""Reading a server's answers, which may come from another server or model than was meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from tf_lungreg.arrays import Array
from tf_lungreg.errors import InputError
from tf_lungreg.files import parse_json
from tf_lungreg.serving.wire import plain

# The network's outputs and their shapes after (batch, D, H, W), or in place of D, H, W.
_VOXELWISE = {"warped": 1, "grid": 3, "spatial_gradients": 3}
ALL = (*_VOXELWISE, "affine")


def read_card(response: predict_pb2.PredictResponse) -> dict[str, Any]:
    """The model card in an answer.

    Raises:
        InputError: there is none in it.
    """
    content = _read(response, "card")
    try:
        card = parse_json(content.reshape(-1)[0])
        dict(card.get("settings", {}))
        return card
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise InputError("answers without a model card") from error


def read_registration(
    response: predict_pb2.PredictResponse, names: Sequence[str], shape: tuple[int, ...]
) -> dict[str, tf.Tensor]:
    """The network's outputs in an answer.

    Args:
        response: the answer.
        names: of the outputs that were asked for.
        shape: (batch, D, H, W) of the images.

    Raises:
        InputError: one is missing, of another type or shape, or not finite.
    """
    outputs: dict[str, tf.Tensor] = {}
    for name in names:
        value = _read(response, name)
        needed = (shape[0], 3, 4) if name == "affine" else (*shape, _VOXELWISE[name])
        if value.dtype != np.float32 or value.shape != needed:
            raise InputError(
                f"answers with {name} as {value.dtype} of {value.shape}, where float32 of {needed} "
                "is needed"
            )
        bad = value.size - np.count_nonzero(np.isfinite(value))
        if bad:
            raise InputError(f"answers with {bad} values in {name} that are not finite")
        outputs[name] = tf.constant(value)
    return outputs


def _read(response: predict_pb2.PredictResponse, name: str) -> Array:
    if name not in response.outputs:
        found = ", ".join(sorted(response.outputs)[:8]) or "nothing"
        raise InputError(f"answers without {name!r}, with {found}")
    try:
        return tf.make_ndarray(response.outputs[name])
    except (TypeError, ValueError, KeyError) as error:
        reason = plain(str(error))[:200]
        raise InputError(f"answers with {name} that cannot be read ({reason})") from error
