"""What an exported model offers: registration, sampling and its own card, each as one graph.

TensorFlow Serving does not compare what it is sent with a signature's shapes, and a NaN spreads
over the whole volume through the normalizations. Intensities that were not windowed to [0, 1] give
a plausible grid that is wrong. A short request can claim all of a server's memory, because
TensorFlow repeats the last value of a message up to the shape that the message states. So the
graphs check their inputs themselves.
"""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.models.presets import least_size
from tf_lungreg.models.weights import named_weights

_VOLUME = tf.TensorSpec((None, None, None, None, 1), tf.float32)
# Labels may be larger than 2**24, above which float32 has no longer every whole number.
_LABELS = tf.TensorSpec((None, None, None, None, 1), tf.int64)
_GRID = tf.TensorSpec((None, None, None, None, 3), tf.float32)

# Clients may resample after windowing, and a cubic spline exceeds the range by 0.36 at the corner
# of a bright cube. Images in other units (HU, 0 to 255, z-scores) exceed it by more.
_OVERSHOOT = 0.5

# At this limit the pretrained model takes 8.9 GB, which a container of 12 GB bears.
VOXELS = 32_000_000
_VOLUMES_PER_GRID = 4  # voxels of a volume that is sampled: it is only read, and may be a whole CT
_QUERIES = 64  # each is answered with the whole card


class RegistrationModule(tf.Module):
    """What is exported: the functions, and the weights by name.

    Args:
        model: of :func:`tf_lungreg.models.build_registration_model`.
        card: what a user of the model must know of it; ``limits.voxels`` bounds the requests.
    """

    def __init__(self, model: tf.keras.Model, card: dict[str, Any]):
        super().__init__()
        self.weights = {
            name: v if isinstance(v, tf.Variable) else v.value  # Keras 3 wraps the variable
            for name, v in named_weights(model).items()
        }
        # Held by a function, out of sight of tf.Module: a Keras model that is tracked would be
        # saved as well, with a graph for each of its layers.
        self._register = lambda pair: model(pair, training=False)
        self._card = json.dumps(card)
        preset = card.get("settings", {}).get("preset")
        self._least = least_size(preset) if preset else 1
        self._voxels = card.get("limits", {}).get("voxels", VOXELS)

    def signatures(self) -> dict[str, Any]:
        """The functions under the names that TensorFlow Serving knows them by.

        - ``serving_default``: ``moving``, ``fixed`` → ``warped``, ``grid``, ``affine``,
          ``spatial_gradients``, as the Keras model gives them;
        - ``warp``: ``volume``, ``grid`` → ``warped``, linear;
        - ``warp_labels``: the same for integers, int64, nearest;
        - ``card``: ``query``, (batch,), of any value → ``card``, (batch,), the model card as JSON,
          for a client without the files. (A server that batches needs inputs and their size.)

        Volumes are (batch, D, H, W, 1), grids (batch, D', H', W', 3). A batch of images or grids
        holds at most ``limits.voxels`` of the card, a batch of volumes to sample four times as
        many, and a query 64 values. A larger request is an InvalidArgumentError.
        """

        @tf.function(input_signature=[_VOLUME, _VOLUME])
        def register(moving: tf.Tensor, fixed: tf.Tensor):
            moving, fixed = (
                _checked_image(name, image, self._least, self._voxels)
                for name, image in (("moving", moving), ("fixed", fixed))
            )
            sizes = tf.shape(moving), tf.shape(fixed)
            with tf.control_dependencies([_same(*sizes, "moving and fixed: one shape")]):
                pair = {"moving": tf.identity(moving), "fixed": tf.identity(fixed)}
            return self._register(pair)

        @tf.function(input_signature=[_VOLUME, _GRID])
        def warp(volume: tf.Tensor, grid: tf.Tensor):
            return {"warped": ops.warp(*_checked_sampling(volume, grid, self._voxels))}

        @tf.function(input_signature=[_LABELS, _GRID])
        def warp_labels(volume: tf.Tensor, grid: tf.Tensor):
            checked = _checked_sampling(volume, grid, self._voxels)
            return {"warped": ops.warp(*checked, "nearest")}

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.int32)])
        def card(query: tf.Tensor):
            return {"card": card_answers(query, self._card)}

        return {
            "serving_default": register,
            "warp": warp,
            "warp_labels": warp_labels,
            "card": card,
        }


def card_answers(query: tf.Tensor, card: str) -> tf.Tensor:
    """The card once for each value of a query, (batch,); at most 64 are taken."""
    query = tf.ensure_shape(query, (None,), "query_shape")
    few = _at_most("query", tf.size(query, tf.int64), _QUERIES, "values")
    with tf.control_dependencies([few]):
        return tf.fill(tf.shape(query), card)


def _checked_sampling(
    volume: tf.Tensor, grid: tf.Tensor, voxels: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """A volume and a grid that fit each other."""
    volume = _checked("volume", volume, 1, _VOLUMES_PER_GRID * voxels)
    grid = _checked("grid", grid, 3, voxels)
    sizes = tf.shape(volume)[0], tf.shape(grid)[0]
    with tf.control_dependencies([_same(*sizes, "volume and grid: one batch size")]):
        return tf.identity(volume), tf.identity(grid)


def _checked(name: str, tensor: tf.Tensor, channels: int, most: int, least: int = 1) -> tf.Tensor:
    """The tensor, where its axes are right and its values finite.

    Args:
        name: for messages.
        tensor: (batch, D, H, W, channels).
        channels: that it needs.
        most: voxels of the whole batch.
        least: voxels along D, H and W.
    """
    tensor = tf.ensure_shape(tensor, (None, None, None, None, channels), f"{name}_shape")
    shape = tf.shape(tensor, tf.int64)
    voxels = "a voxel" if least == 1 else f"{least} voxels"
    short = [f"{name}: every axis needs {voxels}, found", shape]
    enough = tf.reduce_all(shape > 0) & tf.reduce_all(shape[1:4] >= least)
    checks = [
        tf.debugging.Assert(enough, short, 5),
        _at_most(name, tf.reduce_prod(shape[:4]), most, "voxels in all of a batch"),
    ]
    with tf.control_dependencies(checks):
        if tensor.dtype.is_integer:
            return tf.identity(tensor)
        # The identity, as the check for NaN must not read a tensor that is too large.
        return tf.debugging.assert_all_finite(
            tf.identity(tensor), f"{name}: not all values are finite"
        )


def _checked_image(name: str, tensor: tf.Tensor, least: int, most: int) -> tf.Tensor:
    """The image, where its size and intensities are such as the network was trained on."""
    tensor = _checked(name, tensor, 1, most, least)
    low, high = tf.reduce_min(tensor), tf.reduce_max(tensor)
    needed = f"{name}: intensities in [0, 1] are needed (window the image first), found"
    within = (low >= -_OVERSHOOT) & (high <= 1 + _OVERSHOOT)
    with tf.control_dependencies([tf.debugging.Assert(within, [needed, low, "to", high])]):
        return tf.identity(tensor)


def _at_most(name: str, count: tf.Tensor, most: int, unit: str) -> tf.Operation:
    found = [f"{name}: at most {most} {unit} are taken, found", count]
    return tf.debugging.Assert(count <= most, found)


def _same(first: tf.Tensor, second: tf.Tensor, needed: str) -> tf.Operation:
    found = [f"{needed} is needed, found", first, "and", second]
    return tf.debugging.Assert(tf.reduce_all(tf.equal(first, second)), found, summarize=5)
