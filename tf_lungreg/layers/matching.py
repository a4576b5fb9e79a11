"""Layers that compare the features of two images, and align them by an affine matrix."""

from __future__ import annotations

import tensorflow as tf

from tf_lungreg import ops

_SHARPNESS = 10.0  # lets correlations that differ by 0.1 count e-fold

_register = tf.keras.utils.register_keras_serializable(package="tf_lungreg")


@_register
class LocalCorrelation3D(tf.keras.layers.Layer):
    """How alike two maps are at all shifts of a cube; see :func:`ops.local_correlation`.

    The features of each voxel are scaled to unit length first, so that contrast does not count.

    Args:
        radius: the largest shift along each axis, in voxels.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, **kwargs):
        super().__init__(**kwargs)
        self.radius = radius

    def call(self, inputs):
        """Maps two (batch, D, H, W, C) to (batch, D, H, W, (2 radius + 1)³)."""
        first, second = (tf.math.l2_normalize(x, axis=-1, epsilon=1e-6) for x in inputs)
        return ops.local_correlation(first, second, self.radius)

    def compute_output_shape(self, input_shape):
        """One channel a shift."""
        return (*input_shape[0][:4], (2 * self.radius + 1) ** 3)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius}


@_register
class ExpectedShift(tf.keras.layers.Layer):
    """Correlation to the best match, with a learnt sharpness; see :func:`ops.expected_shift`.

    Args:
        radius: of the correlation.
        **kwargs: of the Keras layer.
    """

    def __init__(self, radius: int, **kwargs):
        super().__init__(**kwargs)
        self.radius = radius

    def build(self, input_shape):
        """Makes the sharpness, as a multiple of what it begins with."""
        self.sharpness = self.add_weight(name="sharpness", shape=(), initializer="ones")
        super().build(input_shape)

    def call(self, inputs):
        """Maps (batch, D, H, W, shifts) to (batch, D, H, W, 3), voxels."""
        return ops.expected_shift(inputs, self.radius, _SHARPNESS * self.sharpness)

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "radius": self.radius}


@_register
class FittedAffine(tf.keras.layers.Layer):
    """Displacements of blocks of voxels to the affine matrix of the volume that fits them best.

    Args:
        block: edge of the block of the volume's voxels for which a displacement stands.
        **kwargs: of the Keras layer.
    """

    def __init__(self, block: int, **kwargs):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs):
        """Maps [displacement (batch, d, h, w, 3), weights (batch, d, h, w, 1)] to (batch, 3, 4)."""
        shift, weights = inputs
        size = tf.cast(tf.shape(shift)[1:4], shift.dtype)
        fitted = ops.fit_affine(shift * 2 / (size - 1), weights)
        return rescale_affine(fitted, 1 / block_scale(size, self.block))

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "block": self.block}


@_register
class BackAlignment3D(tf.keras.layers.Layer):
    """Maps of blocks of voxels, sampled at the inverse of the volume's affine matrix.

    Args:
        block: edge of the block of the volume's voxels for which a voxel of the maps stands.
        **kwargs: of the Keras layer.
    """

    def __init__(self, block: int, **kwargs):
        super().__init__(**kwargs)
        self.block = block

    def call(self, inputs):
        """Maps [maps (batch, d, h, w, C), affine (batch, 3, 4)] to the shape of the maps."""
        maps, affine = inputs
        inverse = ops.invert_affine(affine)
        size = tf.shape(maps)[1:4]
        scale = block_scale(tf.cast(size, maps.dtype), self.block)
        return ops.warp(maps, ops.affine_grid(rescale_affine(inverse, scale), size))

    def get_config(self):
        """The arguments of the constructor."""
        return {**super().get_config(), "block": self.block}


@_register
class AffineComposition(tf.keras.layers.Layer):
    """One affine matrix, then another; see :func:`ops.compose_affine`."""

    def call(self, inputs):
        """Maps [first, second], both (batch, 3, 4), to that shape."""
        first, second = inputs
        return ops.compose_affine(first, second)


@_register
class DisplacedSampling3D(tf.keras.layers.Layer):
    """Maps sampled at each voxel's place plus a displacement."""

    def call(self, inputs):
        """Maps [maps (batch, D, H, W, C), displacement (batch, D, H, W, 3)] to the maps' shape."""
        maps, shift = inputs
        return ops.warp(maps, ops.identity_grid(tf.shape(shift)[1:4], shift.dtype) + shift)


@_register
class DisplacementGradients(tf.keras.layers.Layer):
    """A displacement to its spatial gradients, ``Φ_d = 1 + tanh(u_d(p + 1) - u_d(p))``.

    Wherever the displacement is a possible one, Φ is near 1 plus its difference along each axis;
    it never leaves [0, 2].
    """

    def call(self, inputs):
        """Maps (batch, D, H, W, 3), voxels, to Φ of the same shape; 1 at the end of each line."""
        parts = []
        for axis in (1, 2, 3):
            along = inputs[..., axis - 1]
            last = tf.gather(along, [tf.shape(along)[axis] - 1], axis=axis)
            rest = tf.gather(along, tf.range(1, tf.shape(along)[axis]), axis=axis)
            parts.append(tf.concat([rest, last], axis=axis) - along)
        return 1 + tf.tanh(tf.stack(parts, axis=-1))


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
