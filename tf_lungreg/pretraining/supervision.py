"""The loss of pre-training: how far the network's grid is from the truth of a synthetic pair."""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from tf_lungreg import ops
from tf_lungreg.losses import folding

WEIGHTS = {"error": 1.0, "affine": 0.5, "displacement": 0.5, "matches": 1.0, "folding": 0.5}

_PARTS = ("affine_displacement", "displacement")  # layers of models.matching
_BLOCK = 4  # voxels for which one match of the affine branch stands


def with_parts(model: tf.keras.Model) -> tf.keras.Model:
    """The model of preset ``general`` with what its branches find on the way.

    Its outputs are A, Φ, the matches before A was fitted and the displacement before Φ.
    """
    found = {name: model.get_layer(name).output for name in _PARTS}
    outputs = {name: model.output[name] for name in ("affine", "spatial_gradients")}
    return tf.keras.Model(model.inputs, {**outputs, **found})


def supervised_errors(
    outputs: Mapping[str, tf.Tensor],
    grid: tf.Tensor,
    weight: tf.Tensor,
    offset: tf.Tensor,
    anchor: str,
) -> dict[str, tf.Tensor]:
    """The terms of the loss, in voxels, each a scalar.

    The image is not sampled and the composed grid only at every second voxel along each axis, for
    speed.

    Args:
        outputs: of :func:`with_parts`.
        grid: the truth, (batch, D, H, W, 3).
        weight: how much each voxel's truth counts, (batch, D, H, W).
        offset: (3,) 0 or 1, which of the two voxels.
        anchor: see :func:`tf_lungreg.ops.integrate`.

    Returns:
        ``error``, of the whole grid; ``affine``, of the affine grid alone; ``displacement``, of
        the grid with the displacement itself in place of the integral of Φ; ``matches``, of the
        affine branch's, in blocks; ``folding`` of the deformable grid.
    """
    deformable = ops.integrate(outputs["spatial_gradients"], anchor)
    affine = ops.affine_grid(outputs["affine"], tf.shape(grid)[1:4])
    truth, share, linear = (_thin(x, offset) for x in (grid, weight, affine))
    fields = tf.concat([ops.displacement(deformable), outputs["displacement"]], axis=-1)
    integrated, direct = tf.split(ops.warp(fields, tf.stop_gradient(linear)), 2, axis=-1)
    return {
        "error": mean_distance(linear + integrated, truth, share),
        "affine": mean_distance(linear, truth, share),
        "displacement": mean_distance(linear + direct, truth, share),
        "matches": _match_error(outputs["affine_displacement"], grid, weight),
        "folding": tf.reduce_mean(folding(None, deformable)),
    }


def mean_distance(found: tf.Tensor, truth: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """Weighted mean distance of two fields, smooth at zero; a scalar.

    Args:
        found: (batch, D, H, W, 3).
        truth: the same shape.
        weight: (batch, D, H, W).
    """
    distance = tf.sqrt(tf.reduce_sum((found - truth) ** 2, axis=-1) + 0.01) - 0.1
    return tf.reduce_sum(weight * distance) / tf.reduce_sum(weight)


def _thin(volume: tf.Tensor, offset: tf.Tensor) -> tf.Tensor:
    return volume[:, offset[0] :: 2, offset[1] :: 2, offset[2] :: 2]


def _match_error(found: tf.Tensor, grid: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """The same for the displacement of blocks, whose truth is the weighted mean in each."""
    weight = weight[..., tf.newaxis]
    share = _pool(weight) + 1e-6
    truth = _pool(ops.displacement(grid) * weight) / share / _BLOCK
    distance = tf.norm(found - truth + 1e-6, axis=-1)
    return tf.reduce_sum(distance * share[..., 0]) / tf.reduce_sum(share)


def _pool(volume: tf.Tensor) -> tf.Tensor:
    return tf.nn.avg_pool3d(volume, _BLOCK, _BLOCK, "VALID")
