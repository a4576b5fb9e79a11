"""Layers that compare the features of two images, and align them by an affine matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tf_lungreg import ops

_SHARPNESS = 10.0  # lets correlations that differ by 0.1 count e-fold
_LINEAR = 0.9  # |Φ - 1| up to which a displacement is given back as it is

_register = tf.keras.utils.register_keras_serializable(package="tf_lungreg")


@_register
class LocalCorrelation3D(tf.keras.layers.Layer):
    """How alike two maps are at all shifts of a cube; see :func:`ops.local_correlation`.

    The features of each voxel are scaled to unit length first, so that contrast does not count.

    Args:
        radius: the largest shift along each axis, in voxels.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps two (batch, D, H, W, C) to (batch, D, H, W, (2 radius + 1)³)."""
        first, second = (tf.math.l2_normalize(x, axis=-1, epsilon=1e-6) for x in inputs)
        return ops.local_correlation(first, second, self.radius)

    def compute_output_shape(self, input_shape: Sequence[tf.TensorShape]) -> tuple[Any, ...]:
        """One channel a shift."""
        return (*input_shape[0][:4], (2 * self.radius + 1) ** 3)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius}


@_register
class ExpectedShift(tf.keras.layers.Layer):
    """Correlation to the best match, with a learnt sharpness; see :func:`ops.expected_shift`.

    Args:
        radius: of the correlation.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.radius = radius

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes the sharpness, as a multiple of what it begins with."""
        self.sharpness = self.add_weight(name="sharpness", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, shifts) to (batch, D, H, W, 3), voxels."""
        return ops.expected_shift(inputs, self.radius, _SHARPNESS * self.sharpness)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius}


@_register
class FittedAffine(tf.keras.layers.Layer):
    """Displacements of blocks of voxels to the affine matrix of the volume that fits them best.

    Args:
        block: edge of the block of the volume's voxels for which a displacement stands.
        **kwargs: of the Keras layer.
    """

    def __init__(self, block: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [displacement (batch, d, h, w, 3), weights (batch, d, h, w, 1)] to (batch, 3, 4)."""
        shift, weights = inputs
        size = tf.cast(tf.shape(shift)[1:4], shift.dtype)
        fitted = ops.fit_affine(shift * 2 / (size - 1), weights)
        return rescale_affine(fitted, 1 / block_scale(size, self.block))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "block": self.block}


@_register
class BackAlignment3D(tf.keras.layers.Layer):
    """Maps of blocks of voxels, sampled at the inverse of the volume's affine matrix.

    Args:
        block: edge of the block of the volume's voxels for which a voxel of the maps stands.
        **kwargs: of the Keras layer.
    """

    def __init__(self, block: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [maps (batch, d, h, w, C), affine (batch, 3, 4)] to the shape of the maps."""
        maps, affine = inputs
        inverse = ops.invert_affine(affine)
        size = tf.shape(maps)[1:4]
        scale = block_scale(tf.cast(size, maps.dtype), self.block)
        return ops.warp(maps, ops.affine_grid(rescale_affine(inverse, scale), size))

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "block": self.block}


@_register
class RescaledAffine(tf.keras.layers.Layer):
    """The affine matrix of blocks of voxels as that of the volume.

    Args:
        block: edge of a block, voxels of the volume.
        **kwargs: of the Keras layer.
    """

    def __init__(self, block: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [affine (batch, 3, 4), maps of the blocks (batch, d, h, w, C)] to (batch, 3, 4)."""
        affine, maps = inputs
        size = tf.cast(tf.shape(maps)[1:4], affine.dtype)
        return rescale_affine(affine, 1 / block_scale(size, self.block))

    def compute_output_shape(self, input_shape: Sequence[tf.TensorShape]) -> tf.TensorShape:
        """That of the matrix."""
        return input_shape[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "block": self.block}


@_register
class AffineComposition(tf.keras.layers.Layer):
    """One affine matrix, then another; see :func:`ops.compose_affine`."""

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [first, second], both (batch, 3, 4), to that shape."""
        first, second = inputs
        return ops.compose_affine(first, second)


@_register
class DisplacedSampling3D(tf.keras.layers.Layer):
    """Maps sampled at each voxel's place plus a displacement.

    Args:
        detached: whether the displacement gets no gradient from what was sampled there, as between
            the updates of recurrent optical flow: each update then learns from its own error.
        margin: voxels by which the maps extend beyond the displacement on every side.
        **kwargs: of the Keras layer.
    """

    def __init__(self, detached: bool = False, margin: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.detached = detached
        self.margin = margin

    def call(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps [maps (batch, D', H', W', C), displacement (batch, D, H, W, 3)] to the latter's."""
        maps, shift = inputs
        if self.detached:
            shift = tf.stop_gradient(shift)
        places = ops.identity_grid(tf.shape(shift)[1:4], shift.dtype) + self.margin
        return ops.warp(maps, places + shift)

    def compute_output_shape(self, input_shape: Sequence[tf.TensorShape]) -> tuple[Any, ...]:
        """The voxels of the displacement, the channels of the maps."""
        maps, shift = input_shape
        return (*shift[:4], maps[4])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "detached": self.detached, "margin": self.margin}


@_register
class DisplacementGradients(tf.keras.layers.Layer):
    """A displacement to its spatial gradients, ``Φ_d = 1 + tanh(u_d(p + 1) - u_d(p))``.

    Wherever the displacement is a possible one, Φ is near 1 plus its difference along each axis;
    it never leaves [0, 2].
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, 3), voxels, to Φ of the same shape; 1 at the end of each line."""
        return 1 + tf.tanh(_differences(inputs))


@_register
class FadedGradients(tf.keras.layers.Layer):
    """A displacement to its spatial gradients, which give it back wherever they can.

    ``Φ_d = 1 + s(v_d(p + 1) - v_d(p))``, where v fades out along each component's own axis within
    a margin, since the integration holds the ends of each line, and s leaves values up to 0.9 as
    they are and bends larger ones so that Φ never leaves [0, 2]. What lies within the margins and
    changes by less than 0.9 voxels from one voxel to the next is integrated to the displacement
    itself.

    Args:
        margin: voxels.
        **kwargs: of the Keras layer.
    """

    def __init__(self, margin: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.margin = margin

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (batch, D, H, W, 3), voxels, to Φ of the same shape; 1 at the end of each line."""
        faded = [self._fade(inputs[..., axis - 1], axis) for axis in (1, 2, 3)]
        change = _differences(tf.stack(faded, axis=-1))
        excess = tf.nn.relu(tf.abs(change) - _LINEAR)
        bent = _LINEAR + (1 - _LINEAR) * tf.tanh(excess / (1 - _LINEAR))
        return 1 + tf.where(excess > 0, tf.sign(change) * bent, change)

    def _fade(self, component: tf.Tensor, axis: int) -> tf.Tensor:
        size = tf.shape(component)[axis]
        index = tf.range(size)
        inward = tf.minimum(index, size - 1 - index)
        weight = tf.minimum(tf.cast(inward, component.dtype) / self.margin, 1)
        return component * tf.reshape(weight, [-1 if a == axis else 1 for a in range(4)])

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        return {**super().get_config(), "margin": self.margin}


def _differences(displacement: tf.Tensor) -> tf.Tensor:
    """``u_d(p + 1) - u_d(p)``, (batch, D, H, W, 3); 0 at the end of each line."""
    parts = []
    for axis in (1, 2, 3):
        along = displacement[..., axis - 1]
        last = tf.gather(along, [tf.shape(along)[axis] - 1], axis=axis)
        rest = tf.gather(along, tf.range(1, tf.shape(along)[axis]), axis=axis)
        parts.append(tf.concat([rest, last], axis=axis) - along)
    return tf.stack(parts, axis=-1)


def block_scale(size: tf.Tensor, block: int) -> tf.Tensor:
    """How much farther -1 and 1 are from the centre in the volume than in its blocks, (3,).

    They are the centres of the outermost voxels, and those of blocks lie farther inside.

    Args:
        size: (3,), voxels of the volume along D, H, W.
        block: voxels of a block along each axis.
    """
    return (size * block - 1) / (block * (size - 1))


def rescale_affine(affine: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
    """The matrix (batch, 3, 4) in coordinates that are ``scale`` times as large."""
    return affine * scale[:, tf.newaxis] / tf.concat([scale, [1.0]], axis=0)
